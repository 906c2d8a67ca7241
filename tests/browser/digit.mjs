// Runs the figure `digit` in Node, without a page: prints the activations of the digits that the page offers, the class of each
// drawing of drawings.json, and the median time of an answer, in milliseconds.
//
//     node digit.mjs SITE/_static

import { readFile } from "node:fs/promises";

import { libraryOf } from "./library.mjs";

const { read, ask, give, load } = await libraryOf(process.argv[2]);

const library = await load("network.wasm");
give(library, "digit-network.safetensors", new Uint8Array(await read("digit-network.safetensors")));
const still = { figure: "digit", do: "classify", iterations: 2, turn: 0, right: 0, down: 0 };
const classify = (digit) => {
  const answer = ask(library, { ...still, ...digit });
  if (answer.error) throw new Error(answer.error);
  return answer;
};
const images = JSON.parse(await read("digit-images.json")).map(({ pixels }) => classify({ pixels }).activations);
const drawings = JSON.parse(await readFile(new URL("drawings.json", import.meta.url)));
const classes = drawings.map(({ strokes, pen }) => classify({ strokes, pen }).numbers[0].value);

const measured = (work) => {
  const times = Array.from({ length: 100 }, (_, at) => {
    const [start, used] = [performance.now(), process.cpuUsage()];
    work(at);
    const { user, system } = process.cpuUsage(used);
    return [performance.now() - start, (user + system) / 1000];
  });
  const median = (side) => times.map((time) => time[side]).sort((one, other) => one - other)[50];
  return { wall: median(0), cpu: median(1) };
};
const answer = measured((at) => {
  const { strokes, pen } = drawings[at % drawings.length];
  classify({ strokes, pen });
});
const layers = measured(() => ask(library, { figure: "digit", do: "layers" }));
console.log(JSON.stringify({ images, classes, answer, layers }));
