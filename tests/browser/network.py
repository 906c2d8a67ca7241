"""Draws in the figure `digit` and trains in the figure `train`, in Chromium.

    python network.py SITE FOLDER

Prints what the page says as JSON, and leaves the file that it saves in FOLDER.
"""
import json
import pathlib
import re
import sys
import tempfile
import time

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from browser import READY_SECONDS, serve, start, wait

TRAINED = 500  # digits before the first pause
PATIENCE = 300.0  # for what takes seconds on an idle computer
STILL = 1.5  # seconds that a paused training is watched
SEVEN = [(-0.25, -0.3), (0.25, -0.3), (0.0, 0.3)]  # from the middle of the canvas, whose side is 1
HEAR = """window.heard = [];
arguments[0].addEventListener("drawn", event => window.heard.push(event.detail));"""


class Page:
    """A page with one live figure, whose numbers are heard."""

    def __init__(self, driver, base, name):
        self.driver = driver
        driver.get(f"{base}/figures/{name}.html")
        self.figure = driver.find_element(By.CSS_SELECTOR, f"[data-live={name}]")
        driver.execute_script("arguments[0].scrollIntoView()", self.figure)
        state = lambda: self.figure.get_attribute("data-state") in ("ready", "failed")
        assert wait(READY_SECONDS, state) and self.figure.get_attribute("data-state") == "ready", name
        driver.execute_script(HEAR, self.figure)

    def find(self, selector):
        return self.figure.find_element(By.CSS_SELECTOR, selector)

    def heard(self, name):
        """The values of a number, in the order in which the figure showed them."""
        every = self.driver.execute_script("return window.heard")
        return [numbers[name] for numbers in every if numbers.get(name) is not None]

    def words(self):
        return self.find(".live-words").text

    def press(self, name):
        """Presses a button by the keyboard, when it is enabled."""
        button = self.find(f"button[name={name}]")
        assert wait(PATIENCE, button.is_enabled), f"{name} stays disabled: {self.words()}"
        button.send_keys(Keys.ENTER)

    def draw(self, points):
        """Draws a line with the mouse, and returns the activations of what the network reads."""
        canvas = self.find("canvas")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        side = canvas.size["width"]
        actions = ActionChains(self.driver, duration=50)
        at = lambda point: [round(side * part) for part in point]
        actions.move_to_element_with_offset(canvas, *at(points[0])).click_and_hold()
        for point in points[1:]:
            actions.move_to_element_with_offset(canvas, *at(point))
        before = len(self.heard("class"))
        actions.release().perform()
        assert wait(PATIENCE, lambda: len(self.heard("class")) > before), "the drawing is not read"
        time.sleep(1)
        return self.heard("activations")[-1]

    def choose(self, option):
        """Chooses an image of the list, and returns the activations of what the network reads."""
        before = len(self.heard("class"))
        Select(self.find("select[name=digit]")).select_by_value(option)
        assert wait(PATIENCE, lambda: len(self.heard("class")) > before), f"the image {option} is not read"
        return self.heard("activations")[-1]


def digit(page):
    """What the figure `digit` reads: a drawn 7, and images of its list."""
    drawn = page.draw(SEVEN)
    options = [option.get_attribute("value") for option in Select(page.find("select[name=digit]")).options]
    return {"seven": drawn, "images": {option: page.choose(option) for option in options[2:5]}}


def evaluate(page, name):
    """The number of held-out digits that a network misclassifies, when the page says it."""
    found = lambda: re.search(rf"\((\d+) of 2,000\) .* misclassified by {re.escape(name)}\.", page.words())
    assert wait(PATIENCE, found), page.words()
    return int(found()[1])


def train(page, folder):
    """Trains, pauses, goes on until errors are known, pauses, saves, evaluates, and evaluates the saved file."""
    Select(page.find("select[name=iterations]")).select_by_value("1")  # the fastest
    page.press("train")
    seen = lambda: page.heard("seen")[-1] if page.heard("seen") else 0
    assert wait(PATIENCE, lambda: seen() >= TRAINED), page.words()
    page.press("pause")
    resume = page.find("button[name=goOn]")
    assert wait(PATIENCE, resume.is_enabled), page.words()
    paused = [seen()]
    time.sleep(STILL)
    paused.append(seen())
    page.press("goOn")
    assert wait(PATIENCE, lambda: page.heard("errors")), page.words()
    said, losses = page.words(), page.heard("loss")
    page.press("pause")
    page.press("save")
    file = folder / "capsnet.safetensors"
    assert wait(PATIENCE, file.is_file), "no file was saved"
    drawn = page.draw(SEVEN)
    option = Select(page.find("select[name=digit]")).options[1].get_attribute("value")
    read = [page.choose(option)]
    page.press("evaluate")
    errors = [evaluate(page, "the network trained here")]
    page.find("input[type=file]").send_keys(str(file))
    errors.append(evaluate(page, file.name))
    read.append(page.heard("activations")[-1])
    return {"losses": [losses[0], losses[-1]], "paused": paused, "said": said, "errors": errors, "drawn": drawn, "read": read}


def main():
    site, folder = (pathlib.Path(path).resolve() for path in sys.argv[1:])
    base = serve(site)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = start(profile)
        try:
            behaviour = {"behavior": "allow", "downloadPath": str(folder)}
            driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
            found = {"digit": digit(Page(driver, base, "digit")), "train": train(Page(driver, base, "train"), folder)}
        finally:
            driver.quit()
    print(json.dumps(found))


main()
