// The figure `digit`: a drawing, or a digit of MNIST, goes through the shipped network, which runs in the library (network.wasm).
// A request and its answer are described beside `answer` in book/live/src/network/digit/mod.rs.

import { ask, give, load } from "./library.js";

const HERE = new URL(".", import.meta.url);
const WEIGHTS = "digit-network.safetensors";
const IMAGES = "digit-images.json";
/** The diameter of the pen, for a canvas with a side of 1. */
const PEN = 0.075;
/** The least distance between two points of a line. */
const CLOSE = 0.006;
/** How long the pen or a slider must rest before the layers are drawn, in milliseconds. */
const REST = 120;

const isDark = () => document.documentElement.dataset.theme === "dark";

async function file(name) {
  const url = new URL(name, HERE);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: status ${response.status}`);
  return response;
}

/** Wakes the figure. */
export async function wake(figure) {
  figure.dataset.state = "loading";
  const words = figure.querySelector(".live-words");
  try {
    const parts = [load("network.wasm"), file(WEIGHTS).then((found) => found.arrayBuffer()), file(IMAGES)];
    const [library, weights, images] = await Promise.all(parts);
    give(library, WEIGHTS, new Uint8Array(weights));
    new Digit(figure, library, await images.json()).start();
    figure.dataset.state = "ready";
  } catch (error) {
    figure.dataset.state = "failed";
    words.textContent = `This figure stands still: ${error.message}. Reload the page to try again.`;
    console.warn(error);
  }
}

class Digit {
  constructor(figure, library, images) {
    Object.assign(this, { figure, library, images, strokes: [], pen: null });
    const find = (selector) => figure.querySelector(selector);
    this.form = find("form");
    this.canvas = find("canvas");
    this.seen = find(".digit-seen");
    this.layers = find(".digit-layers");
    this.numbers = find(".live-numbers");
    this.words = find(".live-words");
  }

  start() {
    const group = (label, images) => {
      const options = images.map(({ number, label }) => new Option(`${label} (test image ${number})`, number));
      const group = document.createElement("optgroup");
      group.label = label;
      group.append(...options);
      return group;
    };
    const select = this.form.elements.digit;
    const wrong = ({ mistake }) => mistake;
    select.append(
      group("MNIST", this.images.filter((image) => !wrong(image))),
      group("mistakes of the network", this.images.filter(wrong)),
    );
    this.form.querySelector("fieldset").disabled = false;
    this.listen();
    this.reset();
  }

  reset() {
    for (const control of this.form.elements) if (control.type === "range") control.value = 0;
    this.form.elements.iterations.value = 2;
    this.form.elements.digit.value = this.images[0].number;
    this.strokes = [];
    this.draw();
  }

  listen() {
    // a slider sends `input` while it is moved, and `change` at the end
    for (const name of ["input", "change"]) {
      this.form.addEventListener(name, () => {
        this.moving = name === "input";
        this.soon();
      });
    }
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.reset();
    });
    this.form.elements.clear.addEventListener("click", () => {
      this.begin();
      this.draw();
    });
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, (event) => this.lift(event));
    new MutationObserver(() => this.soon()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** Begins a new drawing. */
  begin() {
    this.form.elements.digit.value = "";
    this.strokes = [];
  }

  press(event) {
    if (this.pen !== null || event.button > 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.pen = event.pointerId;
    if (this.form.elements.digit.value) this.begin();
    this.strokes.push([]);
    this.add(event);
  }

  move(event) {
    if (event.pointerId !== this.pen) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) this.add(one);
  }

  lift(event) {
    if (event.pointerId === this.pen) this.pen = null;
  }

  /** Adds a point to the last line. */
  add({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    const within = (share) => Math.min(1, Math.max(0, share));
    const [x, y] = [within((clientX - box.left) / box.width), within((clientY - box.top) / box.height)];
    const line = this.strokes.at(-1);
    if (line.length && Math.hypot(x - line.at(-2), y - line.at(-1)) < CLOSE) return;
    line.push(x, y);
    this.soon();
  }

  /** Draws at once, but at most once a frame. */
  soon() {
    if (this.frame) return (this.waiting = true);
    this.waiting = false;
    this.frame = requestAnimationFrame(() => {
      this.frame = undefined;
      if (this.waiting) this.soon();
    });
    this.draw();
  }

  ask(what) {
    const answer = ask(this.library, { figure: "digit", dark: isDark(), ...what });
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  /** Shows the digit and what the network makes of it, and the layers when the hand rests. */
  draw() {
    const { elements } = this.form;
    for (const control of elements) {
      const output = control.parentElement.querySelector("output");
      if (output && control.type === "range") output.textContent = control.value;
    }
    const image = this.images.find(({ number }) => String(number) === elements.digit.value);
    this.showDrawing(image);
    const [iterations, turn, right, down] = ["iterations", "turn", "right", "down"].map((name) => Number(elements[name].value));
    const digit = image ? { pixels: image.pixels } : { strokes: this.strokes, pen: PEN };
    try {
      const start = performance.now();
      const answer = this.ask({ do: "classify", iterations, turn, right, down, ...digit });
      this.show(answer, image, performance.now() - start);
      clearTimeout(this.resting);
      if (this.pen === null && !this.moving) this.showLayers();
      else this.resting = setTimeout(() => this.showLayers(), REST);
    } catch (error) {
      this.words.textContent = `${error.message}.`;
      console.warn(error);
    }
  }

  show(answer, image, time) {
    this.seen.innerHTML = answer.svg;
    const spent = { name: "time", label: "computed in", value: time, text: `${time.toFixed(0)} ms` };
    const numbers = [...answer.numbers, spent];
    this.numbers.replaceChildren(
      ...numbers.map(({ name, label, text }) => {
        const [row, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
        [term.textContent, value.textContent, value.dataset.number] = [label, text, name];
        row.append(term, value);
        return row;
      }),
    );
    // said when the hand rests, so that a screen reader does not read every position of the pen
    clearTimeout(this.saying);
    const label = image ? `MNIST test image ${image.number}, labelled ${image.label}. ` : "";
    this.saying = setTimeout(() => (this.words.textContent = label + answer.words), this.pen === null ? 60 : 400);
    const detail = Object.fromEntries(numbers.map(({ name, value }) => [name, value]));
    detail.activations = answer.activations;
    this.figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail }));
  }

  showLayers() {
    this.layers.innerHTML = this.ask({ do: "layers" })
      .map((svg) => `<div class="live-picture">${svg}</div>`)
      .join("");
  }

  /** Shows the strokes, or the image that was chosen, in the square. */
  showDrawing(image) {
    const [context, { width: side }] = [this.canvas.getContext("2d"), this.canvas];
    context.clearRect(0, 0, side, side);
    const ink = getComputedStyle(this.canvas).color;
    if (image) {
      const cell = side / 28;
      context.fillStyle = ink;
      image.pixels.forEach((level, at) => {
        context.globalAlpha = level / 255;
        context.fillRect((at % 28) * cell, Math.floor(at / 28) * cell, cell, cell);
      });
      context.globalAlpha = 1;
    }
    Object.assign(context, { strokeStyle: ink, lineWidth: PEN * side, lineCap: "round", lineJoin: "round" });
    for (const line of image ? [] : this.strokes) {
      context.beginPath();
      context.moveTo(line[0] * side, line[1] * side);
      if (line.length === 2) context.lineTo(line[0] * side, line[1] * side);
      for (let at = 2; at < line.length; at += 2) context.lineTo(line[at] * side, line[at + 1] * side);
      context.stroke();
    }
  }
}
