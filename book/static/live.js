// Wakes the live figures of a page. A figure is computed and drawn by the Rust library (live.wasm); this script listens, asks, and
// shows the answer. A request and its answer are described beside `answer` in src/live/mod.rs.

import { ask, file, give, load } from "./library.js";

export { ask, load };

const HERE = new URL(".", import.meta.url);
const SVG = "http://www.w3.org/2000/svg";

/** The functions of each module of this page's figures, loaded once. */
const loading = new Map();

/** Loads the module of a figure, and the files that it needs. */
async function loadFor({ dataset: { module = "live.wasm", files = "" } }) {
  if (!loading.has(module)) loading.set(module, load(module));
  const names = files.split(" ").filter(Boolean);
  const parts = names.map(async (name) => new Uint8Array(await (await file(name)).arrayBuffer()));
  const [library, ...found] = await Promise.all([loading.get(module), ...parts]);
  names.forEach((name, index) => give(library, name, found[index]));
  return library;
}

const isDark = () => document.documentElement.dataset.theme === "dark";

class Live {
  constructor(figure) {
    this.figure = figure;
    this.name = figure.dataset.live;
    this.form = figure.querySelector("form");
    this.picture = figure.querySelector(".live-picture");
    this.words = figure.querySelector(".live-words");
    this.settings = {};
    this.events = [];
    this.dragged = null;
    this.idle = [];
  }

  async wake() {
    this.figure.dataset.state = "loading";
    try {
      this.library = await loadFor(this.figure);
      this.overlay = document.createElementNS(SVG, "svg");
      this.overlay.classList.add("live-handles");
      this.picture.append(this.overlay);
      this.listen();
      for (const [key, value] of new URLSearchParams(location.search)) {
        if (key.startsWith(`${this.name}.`)) this.settings[key.slice(this.name.length + 1)] = value;
      }
      this.start = ask(this.library, { figure: this.name }).settings;
      if (!this.draw()) {
        this.settings = {}; // settings in the address that the figure does not take
        this.draw();
      }
      this.form.querySelector("fieldset").disabled = false;
      this.figure.dataset.state = "ready";
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    clearTimeout(this.saying);
    this.figure.dataset.state = "failed";
    this.overlay?.remove();
    this.words.textContent = "The program of this figure could not be loaded, or has failed. Reload the page to try again.";
    console.warn(error);
  }

  /** Asks for the picture after what has happened, and shows it. Returns false if the answer is an error, which is shown. */
  draw() {
    const [events, before] = [this.events.splice(0), this.shown];
    let answer;
    do {
      const request = { figure: this.name, settings: this.settings, event: events.shift(), dark: isDark() };
      answer = ask(this.library, request);
      if (answer.error) {
        clearTimeout(this.saying);
        this.words.textContent = `${answer.error}.`;
        this.settings = before ?? {}; // those of the picture, which stays
        return false;
      }
      this.settings = answer.settings;
    } while (events.length);
    this.shown = this.settings;
    this.show(answer);
    return true;
  }

  show(answer) {
    const old = this.picture.querySelector("svg:not(.live-handles)");
    const template = document.createElement("template");
    template.innerHTML = answer.svg;
    old.replaceWith(template.content.firstElementChild);
    this.showHandles(answer);
    for (const [name, value] of Object.entries(answer.settings)) this.showSetting(name, value);
    this.idle = answer.idle;
    this.showIdle();
    const numbers = this.figure.querySelector(".live-numbers");
    numbers.replaceChildren(
      ...answer.numbers.map(({ name, label, text }) => {
        const [row, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
        term.append(...withSubscripts(label));
        value.textContent = text;
        value.dataset.number = name;
        row.append(term, value);
        return row;
      }),
    );
    this.say(answer.words);
    this.keepInAddress();
    const detail = Object.fromEntries(answer.numbers.map(({ name, value }) => [name, value]));
    this.figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail }));
  }

  showSetting(name, value, isLeft = false) {
    const control = this.form.elements[name];
    if (!control) return;
    if (control.type === "checkbox") control.checked = value === "on";
    // a number that is being typed stays as it is
    else if (isLeft || control.type !== "number" || control !== document.activeElement) control.value = value;
    const output = control.parentElement.querySelector("output");
    if (output && output.textContent !== value) output.textContent = value;
  }

  /** Disables the controls that have no effect now. The one with the focus keeps it: it is only marked until the focus leaves it. */
  showIdle() {
    for (const control of this.form.elements) {
      if (!control.name) continue;
      const [idle, focused] = [this.idle.includes(control.name), control === document.activeElement];
      control.disabled = idle && !focused;
      if (idle && focused) control.setAttribute("aria-disabled", "true");
      else control.removeAttribute("aria-disabled");
    }
  }

  /** Announces the words when the hand rests, so that a screen reader does not read every position of a drag. */
  say(words) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => (this.words.textContent = words), this.dragged ? 400 : 60);
  }

  /** Moves the handles: existing elements stay, so that focus and drags survive. */
  showHandles({ handles, plane }) {
    const picture = this.picture.querySelector("svg:not(.live-handles)");
    const [width, height] = ["width", "height"].map((side) => Number(picture.getAttribute(side)));
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.plane = plane;
    this.overlay.classList.toggle("live-plane", Boolean(plane));
    this.overlay.classList.toggle("live-many", handles.length > 12);
    const known = new Map([...this.overlay.children].map((circle) => [circle.dataset.drag, circle]));
    handles.forEach((handle, index) => {
      let circle = known.get(handle.name);
      known.delete(handle.name);
      if (!circle) {
        circle = document.createElementNS(SVG, "circle");
        circle.dataset.drag = handle.name;
        circle.setAttribute("role", "slider");
        circle.setAttribute("tabindex", index ? -1 : 0);
        this.overlay.append(circle);
      }
      const [x, y] = handle.at.map((value) => Number(value.toPrecision(3)));
      circle.frame = handle.frame;
      for (const [attribute, value] of Object.entries({
        cx: handle.pixel[0].toFixed(1),
        cy: handle.pixel[1].toFixed(1),
        r: handle.radius,
        "aria-label": handle.label,
        "aria-valuemin": handle.frame[4],
        "aria-valuemax": handle.frame[5],
        "aria-valuenow": x,
        "aria-valuetext": `x ${x}, y ${y}`,
      })) {
        circle.setAttribute(attribute, value);
      }
    });
    for (const circle of known.values()) {
      const next = circle.previousElementSibling ?? circle.nextElementSibling;
      if (circle === document.activeElement && next) focusOn(next, circle);
      circle.remove();
    }
    if (!this.overlay.querySelector('[tabindex="0"]')) this.overlay.firstElementChild?.setAttribute("tabindex", 0);
  }

  /** The settings that differ from the start are in the address, so that a picture can be linked to. */
  keepInAddress() {
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => {
      const url = new URL(location.href);
      for (const key of [...url.searchParams.keys()]) {
        if (key.startsWith(`${this.name}.`)) url.searchParams.delete(key); // also names that are no settings
      }
      for (const [name, value] of Object.entries(this.settings)) {
        if (value !== this.start[name]) url.searchParams.set(`${this.name}.${name}`, value);
      }
      history.replaceState(history.state, "", url);
    }, 300);
  }

  /** Draws at once, but at most once a frame: what happens until the next one is drawn together. */
  soon(event) {
    if (this.figure.dataset.state === "failed") return;
    if (event) {
      const last = this.events.at(-1);
      const same = last?.kind === "drag" && event.kind === "drag" && last.handle === event.handle;
      if (same) this.events.pop();
      this.events.push(event);
    }
    if (this.frame) return (this.waiting = true);
    this.waiting = false;
    this.frame = requestAnimationFrame(() => {
      this.frame = undefined;
      if (this.waiting) this.soon();
    });
    try {
      this.draw();
    } catch (error) {
      this.fail(error);
    }
  }

  listen() {
    const changed = ({ target, type }) => {
      const [name, value] = [target.name, valueOf(target)];
      if (!name || target.type === "button") return;
      if (type === "change" && this.settings[name] === value) return; // its "input" came before
      this.settings = { ...this.settings, [name]: value };
      this.soon({ kind: "change", name });
    };
    this.form.addEventListener("input", changed);
    this.form.addEventListener("change", changed);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("click", ({ target }) => {
      if (target.type === "button" && !target.ariaDisabled) this.soon({ kind: "press", name: target.name });
    });
    this.form.addEventListener("focusout", ({ target: { name, type } }) => {
      if (type === "number" && this.shown) this.showSetting(name, this.shown[name], true); // a refused number
      this.showIdle();
    });
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.settings = {};
      this.events = [];
      this.soon();
    });
    this.overlay.addEventListener("pointerdown", (event) => this.grab(event));
    this.overlay.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.overlay.addEventListener(end, (event) => this.release(event));
    }
    // Browsers ignore `touch-action` within an SVG: without this, a finger on a point would scroll the page.
    const onPoint = (event) => event.target.closest("[data-drag]") && event.preventDefault();
    this.overlay.addEventListener("touchstart", onPoint, { passive: false });
    this.overlay.addEventListener("click", (event) => this.place(event));
    this.overlay.addEventListener("keydown", (event) => this.key(event));
    new MutationObserver(() => this.soon()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** The pointer's position in the picture's pixels. */
  pixel(event) {
    const box = this.overlay.getBoundingClientRect();
    const { width, height } = this.overlay.viewBox.baseVal;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  /** Takes a point by the first finger or the main button. */
  grab(event) {
    this.held = Boolean(event.target.closest("[data-drag]"));
    if (!this.held || event.button !== 0 || this.dragged) return;
    event.preventDefault();
    const circle = event.target.closest("[data-drag]");
    circle.focus({ preventScroll: true });
    const pixel = this.pixel(event);
    const centre = ["cx", "cy"].map((side) => Number(circle.getAttribute(side)));
    this.dragged = { circle, pointer: event.pointerId, offset: centre.map((value, side) => value - pixel[side]) };
    this.overlay.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (event.pointerId !== this.dragged?.pointer) return;
    if (event.buttons === 0) return this.release(event);
    const { circle, offset } = this.dragged;
    const pixel = this.pixel(event).map((value, side) => value + offset[side]);
    this.soon({ kind: "drag", handle: circle.dataset.drag, at: unitsOf(pixel, circle.frame) });
  }

  release(event) {
    if (event.pointerId === this.dragged?.pointer) this.dragged = null;
  }

  /** Places something where the plane is clicked. A swipe over the picture is no click, and neither is the end of a drag. */
  place(event) {
    const pixel = this.pixel(event);
    if (!this.held && this.plane && inside(pixel, this.plane)) {
      this.soon({ kind: "place", at: unitsOf(pixel, this.plane) });
    }
  }

  key(event) {
    const circle = event.target.closest("[data-drag]");
    if (!circle || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = event.shiftKey ? 20 : 4;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const handle = circle.dataset.drag;
    if (ways[event.key]) {
      const centre = ["cx", "cy"].map((side) => Number(circle.getAttribute(side)));
      const pixel = centre.map((value, side) => value + step * ways[event.key][side]);
      this.soon({ kind: "drag", handle, at: unitsOf(pixel, circle.frame) });
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.soon({ kind: "remove", handle });
    } else if (event.key === "PageDown" || event.key === "PageUp") {
      const next = event.key === "PageDown" ? circle.nextElementSibling : circle.previousElementSibling;
      if (next) focusOn(next, circle);
    } else return;
    event.preventDefault();
  }
}

/** Moves the focus from one point to another, and with it the place in the order of Tab. */
function focusOn(next, circle) {
  circle.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
}

function valueOf(control) {
  return control.type === "checkbox" ? (control.checked ? "on" : "off") : control.value;
}

/** Splits a label such as "start of θ_A" into text and subscripts. */
function withSubscripts(label) {
  return label.split(/_(\w)/).map((part, index) => {
    if (index % 2 === 0) return part;
    const subscript = document.createElement("sub");
    subscript.textContent = part;
    return subscript;
  });
}

function inside([x, y], [left, top, width, height]) {
  return x >= left && x <= left + width && y >= top && y <= top + height;
}

/** Converts pixels of the picture to the units of the axes, whose frame is their rectangle and their ranges. */
function unitsOf([x, y], [left, top, width, height, x0, x1, y0, y1]) {
  return [x0 + ((x - left) / width) * (x1 - x0), y1 - ((y - top) / height) * (y1 - y0)];
}

/** Wakes a figure, by this script or by one of its own. */
async function wake(figure) {
  const { script } = figure.dataset;
  if (!script) return new Live(figure).wake();
  try {
    (await import(new URL(script, HERE))).wake(figure);
  } catch (error) {
    figure.dataset.state = "failed";
    figure.querySelector(".live-words").textContent = "The program of this figure could not be loaded. Reload the page to try again.";
    console.warn(error);
  }
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      wake(target);
    }
  },
  { rootMargin: "200px" },
);
for (const figure of document.querySelectorAll("[data-live]")) near.observe(figure);
