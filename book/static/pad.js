// A square to draw a digit in, and a list of digits to choose from instead: for the figures `digit` and `train`.

import { file } from "./library.js";

const IMAGES = "digit-images.json";
/** The diameter of the pen, for a canvas with a side of 1. */
const PEN = 0.075;
/** The least distance between two points of a line. */
const CLOSE = 0.006;

/** Loads the digits to choose from. */
export const loadImages = async () => (await file(IMAGES)).json();

export class Pad {
  /** `changed` is called after each change of the drawing; a change of the list is the caller's to hear. */
  constructor(canvas, select, images, changed) {
    Object.assign(this, { canvas, select, images, changed, strokes: [], pen: null });
    const group = (label, images) => {
      const options = images.map(({ number, label }) => new Option(`${label} (test image ${number})`, number));
      const group = document.createElement("optgroup");
      group.label = label;
      group.append(...options);
      return group;
    };
    const wrong = ({ mistake }) => mistake;
    select.append(
      group("MNIST", images.filter((image) => !wrong(image))),
      group("mistakes of the book's network", images.filter(wrong)),
    );
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.lift(event));
  }

  /** The image that is chosen from the list, if one is. */
  get image() {
    return this.images.find(({ number }) => String(number) === this.select.value);
  }

  /** What the library is to read: the chosen image, or the drawing. */
  get digit() {
    const { image } = this;
    return image ? { pixels: image.pixels } : { strokes: this.strokes, pen: PEN };
  }

  /** The words that name the chosen image. */
  get label() {
    const { image } = this;
    return image ? `MNIST test image ${image.number}, labelled ${image.label}. ` : "";
  }

  get isDrawing() {
    return this.pen !== null;
  }

  /** Chooses an image, or with "" begins a new drawing. */
  choose(number) {
    this.select.value = number;
    this.strokes = [];
  }

  press(event) {
    if (this.isDrawing || event.button > 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.pen = event.pointerId;
    if (this.image) this.choose("");
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
    this.changed();
  }

  /** Shows the strokes, or the image that was chosen. */
  show() {
    const [context, { width: side }] = [this.canvas.getContext("2d"), this.canvas];
    context.clearRect(0, 0, side, side);
    const [ink, { image }] = [getComputedStyle(this.canvas).color, this];
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
