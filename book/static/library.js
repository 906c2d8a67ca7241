// Loads the library as WebAssembly (book/live/), for a page or for a worker, and calls it.

const HERE = new URL(".", import.meta.url);

/** Loads a file that lies beside the scripts. The browser asks whether the one that it keeps is still the newest: the files of one
 * making of the book belong together. */
export async function file(name) {
  const url = new URL(name, HERE);
  const response = await fetch(url, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${url.pathname} cannot be loaded: status ${response.status}`);
  return response;
}

/** Loads a WebAssembly module of book/live/ and returns its functions. */
export async function load(name) {
  const response = await file(name);
  let memory;
  // What the standard library of the target wasm32-wasip1 asks for: no environment, messages to the console, no exit, random bytes,
  // and no other thread to yield to.
  const view = () => new DataView(memory.buffer);
  const wasi_snapshot_preview1 = {
    environ_get: () => 0,
    environ_sizes_get(count, size) {
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return 0;
    },
    fd_write(file, parts, count, written) {
      let [text, length] = ["", 0];
      for (let part = 0; part < count; part++) {
        const [start, size] = [0, 4].map((offset) => view().getUint32(parts + 8 * part + offset, true));
        text += new TextDecoder().decode(new Uint8Array(memory.buffer, start, size));
        length += size;
      }
      console.warn(text.trimEnd());
      view().setUint32(written, length, true);
      return 0;
    },
    random_get(start, size) {
      crypto.getRandomValues(new Uint8Array(memory.buffer, start, size));
      return 0;
    },
    sched_yield: () => 0,
    proc_exit(code) {
      throw new Error(`the module ended with code ${code}`);
    },
  };
  // A host that does not send the type application/wasm is served too.
  const bytes = await response.arrayBuffer();
  const { instance } = await WebAssembly.instantiate(bytes, { wasi_snapshot_preview1 });
  memory = instance.exports.memory;
  return instance.exports;
}

/** Asks the library; returns its answer. */
export function ask(library, request) {
  const bytes = new TextEncoder().encode(JSON.stringify(request));
  const start = put(library, bytes);
  const found = library.answer(start, bytes.length);
  library.release(start, bytes.length);
  const [at, length] = [Number(found >> 32n), Number(found & 0xffffffffn)];
  const text = new TextDecoder().decode(new Uint8Array(library.memory.buffer, at, length));
  library.release(at, length);
  return JSON.parse(text);
}

/** Copies bytes into the memory of the module; returns their address. */
function put(library, bytes) {
  const start = library.allocate(bytes.length);
  new Uint8Array(library.memory.buffer, start, bytes.length).set(bytes);
  return start;
}

/** Gives the module a file under a name that its figures know. */
export function give(library, name, bytes) {
  const text = new TextEncoder().encode(name);
  const [at, file] = [text, bytes].map((part) => put(library, part));
  library.give(at, text.length, file, bytes.length);
  library.release(at, text.length);
  library.release(file, bytes.length);
}

/** Returns a copy of a file of the module. */
export function take(library, name) {
  const text = new TextEncoder().encode(name);
  const at = put(library, text);
  const found = library.file(at, text.length);
  library.release(at, text.length);
  return new Uint8Array(library.memory.buffer, Number(found >> 32n), Number(found & 0xffffffffn)).slice();
}
