// The figure `train`: trains a network in a worker (train-worker.js). This script shows what the worker says.

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
    this.state = "still"; // then "running", "paused", "done"
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
    const measured = async () => {
      const { rate } = await this.ask("trial", { settings: plan.settings });
      if (turn !== this.turn || this.state !== "still" || !rate) return;
      const seconds = numbers(rate);
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
    const detail = Object.fromEntries(numbers.map(([name, , value]) => [name, value]));
    this.figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail }));
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
    const enabled = {
      train: state === "still",
      pause: state === "running",
      goOn: state === "paused",
      anew: state !== "still",
      save: state === "paused" || state === "done",
    };
    const focused = document.activeElement;
    for (const [name, isEnabled] of Object.entries(enabled)) form.elements[name].disabled = !isEnabled;
    this.file.disabled = state === "running";
    // the keyboard's focus does not get lost with the button that was pressed
    if (focused?.form === form && focused.disabled) form.querySelector("button:enabled").focus();
  }

  listen() {
    this.form.addEventListener("change", ({ target }) => {
      if (target.tagName === "SELECT") this.plan(target.name).catch((error) => this.say(`${error.message}.`));
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("click", ({ target: { name, type } }) => {
      if (type === "button") this[`press${name[0].toUpperCase()}${name.slice(1)}`]().catch((error) => this.trouble(error));
    });
    this.file.addEventListener("change", () => this.open().catch((error) => this.trouble(error)));
    new MutationObserver(() => {
      if (this.state === "still") this.plan();
      else this.ask("pictures");
    }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  trouble(error) {
    this.say(`${error.message}.`);
  }

  async pressTrain() {
    this.become("running");
    this.bar.hidden = false;
    this.bar.removeAttribute("value");
    this.say("The digits are being loaded.");
    this.since = performance.now();
    const { settings } = this;
    try {
      await this.ask("start", { settings, seed: 1 });
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
    this.become("running");
    this.say("The training goes on.");
    await this.ask("goOn");
  }

  async pressAnew() {
    await this.ask("forget");
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

  /** Classifies the held-out digits with the network of a file. */
  async open() {
    const [file] = this.file.files;
    if (!file) return;
    this.file.value = "";
    this.say("The network of the file classifies the held-out digits.");
    const before = this.state;
    this.become("running");
    this.form.elements.pause.disabled = true;
    this.form.elements.anew.disabled = true;
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const found = await this.ask("load", { bytes });
      this.count([
        ["parameters", "parameters", found.parameters, grouped(found.parameters)],
        ["errors", "misclassified held-out digits", found.errors, percent(found)],
        ["rate", "digits a second", found.of / found.seconds, (found.of / found.seconds).toFixed(0)],
      ]);
      this.say(`The network of ${file.name} misclassifies ${percent(found)} held-out digits.`);
      this.bar.hidden = true;
    } finally {
      this.become(before);
    }
  }

  pictures({ curves, confusion }) {
    if (curves) this.show("picture", curves);
    this.show("confusion", confusion);
    this.figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail: this.numbers }));
  }

  checking({ done, of }) {
    this.bar.hidden = false;
    [this.bar.max, this.bar.value] = [of, done];
  }

  progress({ step, steps, seen, images, rate, loss, error, seconds, secondsLeft }) {
    [this.bar.max, this.bar.value] = [steps, step];
    const isDone = this.state === "done";
    const time = isDone ? seconds : secondsLeft;
    const numbers = [
      ["seen", "digits seen", seen, `${grouped(seen)} of ${grouped(images)}`],
      ["rate", "digits a second", rate, rate ? rate.toFixed(0) : "–"],
      ["loss", "loss", loss, loss === undefined ? "–" : loss.toPrecision(3)],
      ["errors", "misclassified held-out digits", error?.errors, error ? percent(error) : "–"],
      ["seconds", isDone ? "time taken" : "time left", time, isDone ? inWords(time) : `about ${inWords(time)}`],
    ];
    this.numbers = Object.fromEntries(numbers.map(([name, , value]) => [name, value]));
    this.count(numbers);
    // spoken only when something is known that was not before
    if (this.state === "running" && error && error !== this.spoken && error.errors !== this.spoken?.errors) {
      this.spoken = error;
      this.say(`After ${grouped(seen)} digits, ${percent(error)} held-out digits are misclassified. About ${inWords(secondsLeft)} left.`);
    }
  }

  paused(progress) {
    this.become("paused");
    this.progress(progress);
    this.say(`Paused after ${grouped(progress.seen)} digits. The network can be saved now, or the training can go on.`);
  }

  done(progress) {
    this.become("done");
    this.progress(progress);
    this.say(
      `Done: ${percent(progress.error)} held-out digits are misclassified, after ${grouped(progress.seen)} digits ` +
        `in ${inWords(progress.seconds)}.`,
    );
  }
}
