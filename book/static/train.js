// The figure `train`: trains a network in a worker (train-worker.js). This script shows what the worker says, and gives it digits
// that the reader draws.

import { Pad, loadImages } from "./pad.js";

const HERE = new URL(".", import.meta.url);

const isDark = () => document.documentElement.dataset.theme === "dark";
const grouped = (count) => Math.round(count).toLocaleString("en");

/** A time in words, to the accuracy that an estimate has. */
function inWords(seconds) {
  if (!Number.isFinite(seconds)) return "not known yet";
  if (seconds < 10) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 100) return `${5 * Math.round(seconds / 5)} s`;
  const minutes = seconds / 60;
  return `${minutes < 10 ? (Math.round(2 * minutes) / 2).toFixed(1).replace(".0", "") : Math.round(minutes)} min`;
}

const percent = ({ errors, of }) => `${((100 * errors) / of).toFixed(1)} % (${errors} of ${grouped(of)})`;

/** The book's own network, as the figure `digit` has it. */
const BOOK = "digit-network.safetensors";

export function wake(figure) {
  return new Train(figure).wake();
}

class Train {
  constructor(figure) {
    this.figure = figure;
    this.form = figure.querySelector("form");
    this.words = figure.querySelector(".live-words");
    this.file = figure.querySelector("input[type=file]");
    this.bar = figure.querySelector("progress");
    this.answers = new Map();
    this.asked = 0;
    this.state = "still"; // then "running", "paused", "done"; with the network of a file "loaded"; "loading" and "evaluating" for a while
    this.reader = new Reader(figure, (digit) => this.ask("read", digit));
    this.evaluateButton = this.reader.form.elements.evaluate;
    this.bookButton = figure.querySelector("[name=book]");
  }

  async wake() {
    this.figure.dataset.state = "loading";
    try {
      this.worker = new Worker(new URL("train-worker.js", HERE), { type: "module" });
      this.worker.onmessage = ({ data }) => this.heard(data);
      this.worker.onerror = (event) => this.fail(new Error(event.message || "its worker cannot be loaded"));
      const dark = isDark();
      await this.plan();
      this.listen();
      this.enable();
      if (isDark() !== dark) await this.plan();
      this.figure.dataset.state = "ready";
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    this.figure.dataset.state = "failed";
    this.say(`This figure stands still: ${error.message}. Reload the page to try again.`);
    console.warn(error);
  }

  /** Asks the worker; resolves with its answer. */
  ask(action, message = {}, files = []) {
    const id = ++this.asked;
    this.worker.postMessage({ id, action, dark: isDark(), ...message }, files);
    return new Promise((resolve, reject) => this.answers.set(id, { resolve, reject }));
  }

  heard({ id, kind, error, ...message }) {
    if (id) {
      const { resolve, reject } = this.answers.get(id);
      this.answers.delete(id);
      if (error) reject(new Error(error));
      else resolve(message);
    } else if (kind === "failed") {
      this.become("done");
      this.say(`The training stopped: ${error}. Start anew with other settings.`);
    } else if (this.state !== "still") {
      this[kind](message);
    }
  }

  get settings() {
    return Object.fromEntries([...this.form.querySelectorAll("select")].map((select) => [select.name, select.value]));
  }

  say(words) {
    this.words.textContent = words;
  }

  /** Shows the network of the settings, and how long its training will take. */
  async plan(changed) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const { settings } = this;
    const plan = await this.ask("plan", { settings, changed });
    if (turn !== this.turn || this.state !== "still") return;
    for (const [name, value] of Object.entries(plan.settings)) this.form.elements[name].value = value;
    this.show("picture", plan.picture);
    this.show("confusion");
    const numbers = (rate) => {
      const seconds = rate && plan.images / rate + (plan.heldOut + (plan.checks - 1) * plan.curve) / (3 * rate);
      this.count([
        ["parameters", "parameters", plan.parameters, grouped(plan.parameters)],
        ["images", "digits to see", plan.images, grouped(plan.images)],
        ["rate", "digits a second, now", rate, rate ? rate.toFixed(0) : "being measured"],
        ["seconds", "expected time", seconds, rate ? `about ${inWords(seconds)}` : "being measured"],
      ]);
      return seconds;
    };
    numbers();
    const said = this.words.textContent;
    const measured = async () => {
      const { rate } = await this.ask("trial", { settings: plan.settings });
      if (turn !== this.turn || this.state !== "still" || !rate) return;
      const seconds = numbers(rate);
      if (this.words.textContent !== said) return; // an error, which stays
      this.say(
        `A network of ${grouped(plan.parameters)} parameters. On this computer, the training will take about ` +
          `${inWords(seconds)}, as measured by a few steps just now.`,
      );
    };
    measured().catch((error) => this.trouble(error));
  }

  show(place, picture) {
    const box = this.figure.querySelector(`[data-place=${place}]`);
    box.hidden = !picture;
    box.classList.toggle("live-dark", Boolean(picture?.dark)); // the worker cannot draw again before a print
    box.innerHTML = picture ? picture.svg : "";
  }

  /** Shows numbers: name, label, value and text of each. */
  count(numbers) {
    this.figure.querySelector(".live-numbers").replaceChildren(
      ...numbers.map(([name, label, , text]) => {
        const [row, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
        term.textContent = label;
        value.textContent = text;
        value.dataset.number = name;
        row.append(term, value);
        return row;
      }),
    );
    this.numbers = Object.fromEntries(numbers.map(([name, , value]) => [name, value]));
    this.drawn();
  }

  drawn() {
    this.figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail: this.numbers }));
  }

  become(state) {
    this.state = state;
    this.enable();
  }

  /** Enables what has a meaning now. */
  enable() {
    const { state, form } = this;
    form.querySelector("fieldset").disabled = false;
    for (const select of form.querySelectorAll("select")) select.disabled = state !== "still";
    const isBusy = ["running", "loading", "evaluating"].includes(state);
    const enabled = {
      train: state === "still",
      pause: state === "running",
      goOn: state === "paused",
      anew: !["still", "loading", "evaluating"].includes(state),
      save: state === "paused" || state === "done",
    };
    const focused = this.figure.contains(document.activeElement) && document.activeElement;
    for (const [name, isEnabled] of Object.entries(enabled)) form.elements[name].disabled = !isEnabled;
    this.file.disabled = this.bookButton.disabled = isBusy;
    this.evaluateButton.textContent = state === "evaluating" ? "Stop" : "Classify the held-out digits";
    if (["still", "running", "loading"].includes(state)) this.reader.close();
    else this.reader.open().catch((error) => this.trouble(error));
    // the keyboard's focus does not get lost with the button that was pressed
    if (focused?.disabled) {
      if (focused.form === form) form.querySelector("button:enabled")?.focus();
      else this.lost = focused;
    }
    if (this.lost && !this.lost.disabled) {
      if (document.activeElement === document.body) this.lost.focus();
      this.lost = undefined;
    }
  }

  listen() {
    this.form.addEventListener("change", ({ target }) => {
      if (target.tagName === "SELECT") this.plan(target.name).catch((error) => this.say(`${error.message}.`));
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("click", ({ target: { name, type } }) => {
      if (type === "button") this[`press${name[0].toUpperCase()}${name.slice(1)}`]().catch((error) => this.trouble(error));
    });
    const guarded = (work) => () => work().catch((error) => this.trouble(error));
    this.file.addEventListener("change", guarded(() => this.open()));
    this.bookButton.addEventListener("click", guarded(() => this.load("the book's network", { name: BOOK })));
    this.evaluateButton.addEventListener("click", guarded(() => this.evaluate()));
    new MutationObserver(() => {
      const drawn = [this.state === "still" ? this.plan() : this.ask("pictures"), this.reader.read()];
      Promise.all(drawn).catch((error) => this.trouble(error));
    }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  trouble(error) {
    this.say(`${error.message}.`);
  }

  async pressTrain() {
    this.loaded = this.spoken = undefined;
    this.become("running");
    this.bar.hidden = false;
    this.bar.removeAttribute("value");
    this.say("The digits are being loaded.");
    this.since = performance.now();
    const { settings } = this;
    try {
      const { isStopped } = await this.ask("start", { settings, seed: 1 });
      if (isStopped) {
        if (this.state === "running") this.become("still");
        this.bar.hidden = this.state !== "running";
        this.say("The training was stopped before it began.");
        return;
      }
    } catch (error) {
      this.become("still");
      this.bar.hidden = true;
      throw error;
    }
    this.say("The training has begun.");
  }

  async pressPause() {
    await this.ask("pause");
  }

  async pressGoOn() {
    this.loaded = undefined;
    this.bar.hidden = false;
    this.become("running");
    this.say("The training goes on.");
    await this.ask("goOn");
  }

  async pressAnew() {
    await this.ask("forget");
    this.loaded = undefined;
    this.become("still");
    this.bar.hidden = true;
    await this.plan();
  }

  async pressSave() {
    const { bytes } = await this.ask("save");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    link.download = "capsnet.safetensors";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.say(
      `The network is saved as capsnet.safetensors, ${(bytes.length / 1e6).toFixed(1)} MB. ` +
        "The program reads it: em-routing eval --weights capsnet.safetensors",
    );
  }

  /** Loads the network of a file of the reader. */
  async open() {
    const [file] = this.file.files;
    if (!file) return;
    const bytes = new Uint8Array(await file.arrayBuffer());
    this.file.value = "";
    await this.load(file.name, { bytes });
  }

  /** Loads a network, to draw for and to evaluate, from a file of the site or of the reader. */
  async load(name, source) {
    const before = this.state;
    this.become("loading");
    this.say(`${name} is being loaded.`);
    try {
      const { parameters } = await this.ask("load", source);
      this.loaded = { name, parameters };
    } catch (error) {
      this.become(before);
      throw error;
    }
    this.count(this.loadedNumbers);
    if (before === "still") this.show("picture"); // that of the settings
    await this.evaluate(before === "still" ? "loaded" : before);
  }

  get loadedNumbers() {
    const { parameters } = this.loaded ?? {};
    return parameters ? [["parameters", "parameters", parameters, grouped(parameters)]] : [];
  }

  /** Classifies the held-out digits with the network at hand and returns to a state, or stops that. */
  async evaluate(before = this.state) {
    if (before === "evaluating") return this.ask("pause");
    this.become("evaluating");
    const name = this.loaded?.name ?? "the network trained here";
    this.say(`The held-out digits are classified by ${name}. You can draw meanwhile.`);
    try {
      const found = await this.ask("evaluate");
      const share = percent({ errors: found.errors, of: found.done });
      this.count([
        ...this.loadedNumbers,
        ["errors", "misclassified held-out digits", found.errors, share],
        ["rate", "digits a second", found.done / found.seconds, (found.done / found.seconds).toFixed(0)],
      ]);
      const stopped = found.done < found.of ? "It was stopped: " : "";
      this.say(`${stopped}${share} held-out digits are misclassified by ${name}.`);
    } finally {
      this.bar.hidden = true;
      this.become(before);
    }
  }

  pictures({ curves, confusion }) {
    this.show("picture", curves);
    this.show("confusion", confusion);
    this.drawn();
  }

  checking({ done, of }) {
    this.bar.hidden = false;
    [this.bar.max, this.bar.value] = [of, done];
  }

  progress({ step, steps, seen, images, rate, loss, check, seconds, secondsLeft }) {
    [this.bar.max, this.bar.value] = [steps, step];
    const isDone = this.state === "done";
    const time = isDone ? seconds : secondsLeft;
    const numbers = [
      ["seen", "digits seen", seen, `${grouped(seen)} of ${grouped(images)}`],
      ["rate", "digits a second", rate, rate ? rate.toFixed(0) : "–"],
      ["loss", "loss", loss, loss === undefined ? "–" : loss.toPrecision(3)],
      ["errors", "misclassified held-out digits", check?.errors, check ? percent(check) : "–"],
      ["seconds", isDone ? "time taken" : "time left", time, isDone ? inWords(time) : `about ${inWords(time)}`],
    ];
    this.count(numbers);
    // spoken only when something is known that was not before
    if (this.state === "running" && check && check.errors !== this.spoken) {
      this.spoken = check.errors;
      this.say(`After ${grouped(seen)} digits, ${percent(check)} held-out digits are misclassified. About ${inWords(secondsLeft)} left.`);
    }
  }

  paused(progress) {
    this.become("paused");
    this.progress(progress);
    this.say(`Paused after ${grouped(progress.seen)} digits. Draw for the network, save it, or go on.`);
  }

  done(progress) {
    this.become("done");
    this.progress(progress);
    this.say(
      `Done: ${percent(progress.check)} held-out digits are misclassified, after ${grouped(progress.seen)} digits ` +
        `in ${inWords(progress.seconds)}. Now draw for the network.`,
    );
  }
}

/** Where the reader draws a digit for the network at hand. */
class Reader {
  /** `ask` resolves with what the network reads. */
  constructor(figure, ask) {
    Object.assign(this, { figure, ask });
    this.section = figure.querySelector(".train-read");
    this.form = this.section.querySelector("form");
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.elements.digit.addEventListener("change", () => this.read());
    this.form.elements.clear.addEventListener("click", () => {
      this.pad.choose("");
      this.read();
    });
  }

  async open() {
    this.section.hidden = false;
    this.images ??= await loadImages();
    this.pad ??= new Pad(this.section.querySelector("canvas"), this.form.elements.digit, this.images, () => this.read());
    this.form.querySelector("fieldset").disabled = this.section.hidden;
    await this.read();
  }

  close() {
    this.section.hidden = true;
    this.form.querySelector("fieldset").disabled = true;
  }

  /** Reads the digit; while the network is busy with one, only the last of those that follow waits. */
  async read() {
    if (this.section.hidden || !this.pad) return;
    this.pad.show();
    if (this.isBusy) return (this.waits = true);
    this.isBusy = true;
    try {
      do {
        this.waits = false;
        this.show(await this.ask(this.pad.digit));
      } while (this.waits);
    } finally {
      this.isBusy = false;
    }
  }

  show({ svg, words, numbers, activations }) {
    this.section.querySelector(".digit-seen").innerHTML = svg;
    clearTimeout(this.saying);
    const whole = this.pad.label + words;
    const status = this.section.querySelector("[role=status]");
    this.saying = setTimeout(() => (status.textContent = whole), this.pad.isDrawing ? 400 : 60);
    const detail = { ...Object.fromEntries(numbers.map(({ name, value }) => [name, value])), activations };
    this.figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail }));
  }
}
