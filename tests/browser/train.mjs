// Trains in Node as the page's worker does, without a page: STEPS steps on the first DIGITS digits. Writes the network, and prints how
// many digits a second of the processor's time it has trained on, and classified: medians over steps.
//
//     node train.mjs SITE/_static DIGITS STEPS NETWORK

import { writeFile } from "node:fs/promises";

import { libraryOf } from "./library.mjs";

const [path, digits, steps, network] = process.argv.slice(2);
const { read, ask, give, load, take } = await libraryOf(path);
const library = await load("network.wasm");
for (const name of ["digits-images.gz", "digits-labels.gz"]) give(library, name, new Uint8Array(await read(name)));
const request = (what) => {
  const answer = ask(library, { figure: "train", ...what });
  if (answer.error) throw new Error(answer.error);
  return answer;
};
const rate = (count, images, work) => {
  const rates = Array.from({ length: count }, () => {
    const { user, system } = process.cpuUsage();
    work();
    const used = process.cpuUsage();
    return (1e6 * images) / (used.user + used.system - user - system);
  });
  return rates.sort((one, other) => one - other)[count >> 1];
};
request({ do: "start", settings: { digits }, seed: 1 });
const trained = rate(Number(steps), 8, () => request({ do: "step", steps: 1 }));
await writeFile(network, take(library, request({ do: "save" }).file));
const classified = rate(20, 10, () => request({ do: "check", count: 10, all: true }));
console.log(JSON.stringify({ trained, classified }));
