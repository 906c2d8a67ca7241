// The figure `digit`: a drawing, or a digit of MNIST, goes through the shipped network, which runs in the library (network.wasm).
// A request and its answer are described beside `answer` in book/live/src/network/digit/mod.rs.

import { ask, file, give, load } from "./library.js";
import { Pad, loadImages } from "./pad.js";

const WEIGHTS = "digit-network.safetensors";
/** How long the pen or a slider must rest before the layers are drawn, in milliseconds. */
const REST = 120;

const isDark = () => document.documentElement.dataset.theme === "dark";

/** Wakes the figure. */
export async function wake(figure) {
  figure.dataset.state = "loading";
  const words = figure.querySelector(".live-words");
  try {
    const parts = [load("network.wasm"), file(WEIGHTS).then((found) => found.arrayBuffer()), loadImages()];
    const [library, weights, images] = await Promise.all(parts);
    give(library, WEIGHTS, new Uint8Array(weights));
    new Digit(figure, library, images).start();
    figure.dataset.state = "ready";
  } catch (error) {
    figure.dataset.state = "failed";
    words.textContent = `This figure stands still: ${error.message}. Reload the page to try again.`;
    console.warn(error);
  }
}

class Digit {
  constructor(figure, library, images) {
    Object.assign(this, { figure, library });
    const find = (selector) => figure.querySelector(selector);
    this.form = find("form");
    this.pad = new Pad(find("canvas"), this.form.elements.digit, images, () => this.soon());
    this.seen = find(".digit-seen");
    this.layers = find(".digit-layers");
    this.numbers = find(".live-numbers");
    this.words = find(".live-words");
  }

  start() {
    this.form.querySelector("fieldset").disabled = false;
    this.listen();
    this.reset();
  }

  reset() {
    for (const control of this.form.elements) if (control.type === "range") control.value = 0;
    this.form.elements.iterations.value = 2;
    this.pad.choose(this.pad.images[0].number);
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
      this.pad.choose("");
      this.draw();
    });
    new MutationObserver(() => this.soon()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
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
    this.pad.show();
    const [iterations, turn, right, down] = ["iterations", "turn", "right", "down"].map((name) => Number(elements[name].value));
    try {
      const start = performance.now();
      const answer = this.ask({ do: "classify", iterations, turn, right, down, ...this.pad.digit });
      this.show(answer, performance.now() - start);
      clearTimeout(this.resting);
      if (!this.pad.isDrawing && !this.moving) this.showLayers();
      else this.resting = setTimeout(() => this.showLayers(), REST);
    } catch (error) {
      this.words.textContent = `${error.message}.`;
      console.warn(error);
    }
  }

  show(answer, time) {
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
    const words = this.pad.label + answer.words;
    this.saying = setTimeout(() => (this.words.textContent = words), this.pad.isDrawing ? 400 : 60);
    const detail = Object.fromEntries(numbers.map(({ name, value }) => [name, value]));
    detail.activations = answer.activations;
    this.figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail }));
  }

  showLayers() {
    this.layers.innerHTML = this.ask({ do: "layers" })
      .map((svg) => `<div class="live-picture">${svg}</div>`)
      .join("");
  }
}
