"""Opens every page of the built site in Chromium and prints a line for each fault; exits 1 if there is one.

    python browser.py SITE

On each page: no error in the console, no request to another host, every equation rendered, no serious finding of axe, nothing
wider than a telephone, a weight within the limit. Each live figure gets ready and answers to each of its controls. A line "shown" has
the settings and numbers of each at its end, for who calls to check.
"""
import functools
import http.server
import importlib.util
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

READY_SECONDS = 5.0  # from coming into view, with everything that a figure loads
ANSWER_SECONDS = 1.5  # from a change to the new picture, or to words such as that digits are being loaded
ADDRESS_SECONDS = 0.5  # until the settings are in the address
MOST_BYTES = 1_500_000  # of a page with everything that it loads, but for the library of its live figures
NARROW = 360
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1400,1000",
)
# An equation's boxes are hidden from assistive programs, which read the MathML beside them. Of the code, whose thousands of
# elements take half a minute, only what stands before the first section is looked at; the colours are everywhere the same.
SERIOUS = """const done = arguments[arguments.length - 1];
axe.run({exclude: [".katex-html", "section section .highlight"]}, {preload: false, resultTypes: ["violations"], ...arguments[0]}).then(found => done(found.violations
  .filter(rule => ["serious", "critical"].includes(rule.impact))
  .map(rule => `${rule.id} at ${rule.nodes.length} places: ${rule.nodes[0].html.slice(0, 160)}`)));"""
STILL = """const style = document.createElement("style");
style.textContent = "* { transition: none !important; }";
document.head.append(style);"""
BYTES = """const entries = type => performance.getEntriesByType(type);
return [...entries("navigation"), ...entries("resource")]
  .filter(entry => !entry.name.includes(".wasm")).reduce((sum, entry) => sum + entry.encodedBodySize, 0);"""
CHANGE = """const [figure, control] = arguments;
window.drawn = 0;
if (!figure.watched) { figure.watched = true; figure.addEventListener("drawn", event => { window.drawn++; figure.numbers = event.detail; }); }
const fire = name => control.dispatchEvent(new Event(name, {bubbles: true}));
if (control.tagName === "BUTTON") control.click();
else {
  if (control.tagName === "SELECT") control.selectedIndex = (control.selectedIndex + 1) % control.options.length;
  else if (control.type === "checkbox" || control.type === "radio") control.checked = !control.checked;
  else if (+control.value + (+control.step || 1) <= +control.max) control.stepUp(); else control.stepDown();
  fire("input"); fire("change");
}"""
# The settings that differ from the start, from the address, and the numbers of the last picture.
SHOWN = """const figure = arguments[0], name = figure.dataset.live;
const own = [...new URLSearchParams(location.search)].filter(([key]) => key.startsWith(`${name}.`));
return {figure: name, settings: Object.fromEntries(own.map(([key, value]) => [key.slice(name.length + 1), value])), numbers: figure.numbers};"""
PICTURE = """return [...arguments[0].querySelectorAll("svg, img, canvas")]
  .map(element => element.tagName === "CANVAS" ? element.toDataURL() : element.outerHTML).join();"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm"}

    def log_message(self, *arguments):
        pass


def serve(site):
    """Serves the site on a free port; returns its address."""
    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def start(profile):
    """Starts the browser, with a log of its console and its requests."""
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(flag)
    names = ("chromium", "chromium-browser", "google-chrome")
    options.binary_location = next(path for path in map(shutil.which, names) if path)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def wait(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def logged(driver, base):
    """Yields what the console and the requests of a page have wrong."""
    for entry in driver.get_log("browser"):
        if entry["level"] == "SEVERE":
            yield f"console: {entry['message'][:200]}"
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if url.startswith(("http", "ws")) and not url.startswith(base):
                yield f"asks another host: {url[:120]}"


def live(driver, figure):
    """Yields what a live figure has wrong."""
    name = figure.get_attribute("data-live")
    driver.execute_script("arguments[0].scrollIntoView()", figure)
    state = lambda: figure.get_attribute("data-state")
    if not wait(READY_SECONDS, lambda: state() in ("ready", "failed")) or state() != "ready":
        yield f"{name} is {state()} after {READY_SECONDS} s"
        return
    first, changed = driver.execute_script(PICTURE, figure), False
    drawn = lambda: driver.execute_script("return window.drawn") > 0
    controls = figure.find_elements(By.CSS_SELECTOR, "form :is(input, select, button):enabled")
    if not controls:
        yield f"{name} has no control"
    words = lambda: [element.text for element in figure.find_elements(By.CSS_SELECTOR, ".live-words")]
    for control in controls:
        before = words()
        driver.execute_script(CHANGE, figure, control)
        if not (wait(ANSWER_SECONDS, drawn) or (words() != before and wait(READY_SECONDS, drawn))):
            yield f"{name} does not answer to {control.get_attribute('name')}"
        changed = changed or driver.execute_script(PICTURE, figure) != first
    if not changed:
        yield f"{name} never changes its picture"
    for handle in {element.get_attribute("data-drag") for element in figure.find_elements(By.CSS_SELECTOR, "[data-drag]")}:
        point = figure.find_element(By.CSS_SELECTOR, f"[data-drag='{handle}']")
        driver.execute_script("window.drawn = 0; arguments[0].focus()", point)
        if driver.switch_to.active_element != point:
            yield f"{name}: the point {handle} cannot have the keyboard's focus"
            continue
        for key in (Keys.ARROW_RIGHT, Keys.ARROW_UP):
            driver.switch_to.active_element.send_keys(key)
        if not wait(ANSWER_SECONDS, drawn):
            yield f"{name}: the point {handle} does not move by arrow keys"
    time.sleep(ADDRESS_SECONDS)
    print("shown", json.dumps(driver.execute_script(SHOWN, figure)), flush=True)


def page(driver, base, path, axe):
    """Yields what a page has wrong."""
    driver.get(f"{base}/{path}")
    if not wait(10, lambda: driver.execute_script("return document.readyState") == "complete"):
        yield "is not loaded after 10 s"
    driver.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    if errors := driver.execute_script("return document.querySelectorAll('.katex-error').length"):
        yield f"{errors} equations are not rendered"
    figures = driver.find_elements(By.CSS_SELECTOR, "[data-live]")
    for figure in figures:
        yield from live(driver, figure)
    if (size := driver.execute_script(BYTES)) > MOST_BYTES:
        yield f"weighs {size} bytes with what it loads"
    driver.execute_script(axe)
    driver.execute_script(STILL)
    for name, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        driver.execute_script("document.documentElement.dataset.theme = arguments[0]", name)
        for finding in driver.execute_async_script(SERIOUS, rules):
            yield f"axe, {name}: {finding}"
    metrics = {"width": NARROW, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    if (width := driver.execute_script("return document.documentElement.scrollWidth")) > NARROW:
        yield f"is {width} wide on a screen of {NARROW}"
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    yield from logged(driver, base)


def search(driver, site):
    """Yields an error if the search finds nothing when the pages are opened as files."""
    driver.get(f"{(site / 'search.html').as_uri()}?q=posterior")
    if not wait(10, lambda: driver.find_elements(By.CSS_SELECTOR, "#search-results li")):
        yield "search.html: finds nothing without a server"


def main():
    site = pathlib.Path(sys.argv[1]).resolve()
    axe = pathlib.Path(importlib.util.find_spec("axe_playwright_python").origin).with_name("axe.min.js").read_text()
    base = serve(site)
    paths = sorted(path.relative_to(site) for path in site.rglob("*.html"))
    pages = [path.as_posix() for path in paths if path.parts[0] not in ("_static", "api")]
    count = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = start(profile)
        try:
            driver.set_script_timeout(60)
            for path in pages:
                for fault in page(driver, base, path, axe):
                    print(f"{path}: {fault}", flush=True)
                    count += 1
            for fault in search(driver, site):
                print(fault, flush=True)
                count += 1
        finally:
            driver.quit()
    print(f"{len(pages)} pages opened, {count} faults")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
