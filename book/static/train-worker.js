// Trains a network in a worker of its own, slice by slice, and answers the page between two slices. train.js has the other end.

import { ask, file, give, load, take } from "./library.js";

const DIGITS = ["digits-images.gz", "digits-labels.gz"];
/** How long a slice takes, about, in milliseconds: so long a pause may have to wait. */
const SLICE = 150;
/** The number of digits that are classified in a slice. The numbers of held-out digits are multiples of it. */
const COUNT = 10;
/** How often the page hears of progress, in milliseconds. */
const OFTEN = 500;

const loading = load("network.wasm");
loading.catch(() => {}); // each request reports it

/** The training that is under way: its plan, what has been measured, and what comes next. */
let training;
let running = false;
let evaluating = false;
let hasDigits = false;
/** Counts what the reader asks for, so that a training whose digits still load does not begin after it was stopped. */
let wanted = 0;

const request = async (what) => {
  const answer = ask(await loading, { figure: "train", ...what });
  if (answer.error) throw new Error(answer.error);
  return answer;
};
const rest = () => new Promise((done) => setTimeout(done));
const now = () => performance.now();

/** Measures two quantities at once: how much was done in how much time. */
class Rate {
  constructor() {
    this.parts = [];
  }

  add(count, milliseconds) {
    this.parts.push([count, milliseconds]);
    if (this.parts.length > 60) this.parts.shift();
  }

  /** How much a second, of late; undefined if nothing has been measured. */
  get value() {
    const [count, time] = this.parts.reduce((sum, part) => [sum[0] + part[0], sum[1] + part[1]], [0, 0]);
    return time > 0 ? (1000 * count) / time : undefined;
  }
}

async function getDigits() {
  if (hasDigits) return;
  const library = await loading;
  for (const name of DIGITS) {
    give(library, name, new Uint8Array(await (await file(name)).arrayBuffer()));
  }
  hasDigits = true;
}

/** Times a step of the network of the settings, on noise. The first steps are slower, until the browser has optimised the code. */
async function trial(settings) {
  let best = Infinity;
  let images;
  for (let step = 0; step < 3 && !running; step++) {
    const start = now();
    ({ images } = await request({ do: "trial", settings }));
    best = Math.min(best, now() - start);
    await rest();
  }
  return images === undefined ? {} : { rate: (1000 * images) / best };
}

/** Classifies held-out digits slice by slice, with `report` after each. Returns the last answer, or nothing if the reader paused. */
async function check(all, report, goesOn) {
  for (;;) {
    if (!goesOn()) return undefined;
    const start = now();
    const answer = await request({ do: "check", count: COUNT, all });
    report(answer, now() - start);
    if (answer.done === answer.of) return answer;
    await rest();
  }
}

/** What the page shows of the training. */
function progress() {
  const { plan, step, steps, loss, rates, checking, checksDone } = training;
  const batch = plan.images / plan.steps;
  const left = Math.max(0, plan.checks - 1 - checksDone) * plan.curve + (checksDone < plan.checks ? plan.heldOut : 0);
  // until it has been measured: a forward pass takes about a third of a step
  const checkRate = checking.value ?? 3 * rates.value;
  return {
    step,
    steps,
    loss,
    seen: step * batch,
    images: plan.images,
    rate: rates.value,
    secondsLeft: rates.value && ((steps - step) * batch) / rates.value + left / checkRate,
    seconds: training.seconds + (now() - training.since) / 1000,
    check: training.check,
  };
}

const tell = (kind, message) => postMessage({ kind, ...message });

async function pictures(dark) {
  tell("pictures", await request({ do: "picture", dark }));
}

/** Trains until the end or until the reader pauses. */
async function go() {
  running = true;
  const of = training;
  const { plan, rates } = of;
  const turn = ++of.turn;
  const isCurrent = () => training === of && of.turn === turn;
  const goesOn = () => running && isCurrent();
  of.since = now();
  let told = 0;
  const tellProgress = (isUrgent) => {
    if (!isUrgent && now() - told < OFTEN) return;
    told = now();
    tell("progress", progress());
  };
  try {
    let count = 1;
    while (goesOn() && of.checksDone < plan.checks) {
      const next = Math.round(((of.checksDone + 1) * of.steps) / plan.checks);
      while (goesOn() && of.step < next) {
        const start = now();
        const before = of.step;
        const answer = await request({ do: "step", steps: Math.min(count, next - of.step) });
        const time = now() - start;
        rates.add(((answer.step - before) * plan.images) / plan.steps, time);
        of.step = answer.step;
        of.loss = answer.loss ?? of.loss;
        count = Math.max(1, Math.min(50, Math.round((SLICE / time) * (of.step - before))));
        tellProgress(false);
        if (now() - of.drawn > 2 * OFTEN) {
          of.drawn = now();
          await pictures(of.dark);
        }
        await rest();
      }
      const isLast = of.checksDone === plan.checks - 1;
      const report = (answer, time) => {
        of.checking.add(COUNT, time);
        tellProgress(false);
      };
      const found = await check(isLast, report, goesOn);
      if (!found) break;
      of.check = { errors: found.errors, of: found.of };
      of.checksDone++;
      tellProgress(true);
      await pictures(of.dark);
    }
    if (!isCurrent()) return;
    of.seconds += (now() - of.since) / 1000;
    of.since = now();
    const isDone = of.checksDone === plan.checks;
    tell(isDone ? "done" : "paused", progress());
  } finally {
    if (isCurrent()) running = false;
  }
}

const actions = {
  plan: (message) => request({ ...message, do: "plan" }),
  trial: ({ settings }) => trial(settings),
  async start({ settings, seed, dark }) {
    const mine = ++wanted;
    await getDigits();
    if (mine !== wanted) return { isStopped: true };
    const plan = await request({ do: "plan", settings });
    const { steps } = await request({ do: "start", settings, seed });
    training = {
      ...{ plan, steps, dark, step: 0, checksDone: 0, seconds: 0, turn: 0, drawn: now() },
      ...{ rates: new Rate(), checking: new Rate() },
    };
    await pictures(dark);
    go().catch(failed);
    return {};
  },
  async pause() {
    running = evaluating = false;
    if (!training) wanted++;
    return {};
  },
  async goOn() {
    if (training && !running) {
      await request({ do: "resume" });
      go().catch(failed);
    }
    return {};
  },
  async forget() {
    wanted++;
    running = false;
    training = undefined;
    return request({ do: "forget" });
  },
  async pictures({ dark }) {
    if (training) training.dark = dark;
    await pictures(dark);
    return {};
  },
  async save() {
    const { file } = await request({ do: "save" });
    return { bytes: take(await loading, file) };
  },
  async load({ bytes, name }) {
    give(await loading, "loaded.safetensors", bytes ?? new Uint8Array(await (await file(name)).arrayBuffer()));
    return request({ do: "load" });
  },
  async evaluate({ dark }) {
    await getDigits();
    await request({ do: "evaluate" });
    const since = now();
    let found;
    const report = (answer) => tell("checking", (found = answer));
    evaluating = true;
    await check(true, report, () => evaluating);
    evaluating = false;
    await pictures(dark);
    return { ...found, seconds: (now() - since) / 1000 };
  },
  read: (message) => request({ ...message, do: "read" }),
};

function failed(error) {
  running = false;
  tell("failed", { error: error.message });
}

onmessage = async ({ data: { id, action, ...message } }) => {
  try {
    postMessage({ id, ...(await actions[action](message)) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
