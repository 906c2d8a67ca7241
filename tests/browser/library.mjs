// The book's library.js in Node, which reads the files of the site instead of fetching them.

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

/** Returns the functions of library.js of a folder with the site's static files, and one that reads a file of it. */
export async function libraryOf(path) {
  const folder = pathToFileURL(`${path}/`);
  const read = (name) => readFile(new URL(name, folder));
  globalThis.fetch = async (url) => new Response(await readFile(url));
  // Node takes a .js file without a package for a CommonJS script
  const place = JSON.stringify(new URL("library.js", folder));
  const script = String(await read("library.js")).replace("import.meta.url", place);
  return { read, ...(await import(`data:text/javascript,${encodeURIComponent(script)}`)) };
}
