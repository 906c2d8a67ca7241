// Runs a test program of wasm32-unknown-unknown: it has no imports, prints nothing, and traps where a test fails.
import { readFile } from "node:fs/promises";

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]));
const failed = instance.exports.main(0, 0);
if (failed) throw new Error(`the tests ended with ${failed}`);
console.log("all tests passed in Node");
