// Runs a test program for wasm32-unknown-unknown. It has no imports, prints nothing, and traps if a test fails.
import { readFile } from "node:fs/promises";

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]));
const failed = instance.exports.main(0, 0);
if (failed) throw new Error(`the tests ended with ${failed}`);
console.log("all tests passed in Node");
