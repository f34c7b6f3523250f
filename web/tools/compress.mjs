// Brotli beside every text asset, so that the daemon never compresses at run time; and the budget of the first load.
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = new URL("../dist/", import.meta.url).pathname;
// What a browser loads before it shows a page, gzip, per entry.
const FIRST_LOAD_BYTES_MAX = 110_000;

async function files(dir) {
  const entries = await readdir(dir, { withFileTypes: true });
  const lists = await Promise.all(entries.map((e) => (e.isDirectory() ? files(join(dir, e.name)) : [join(dir, e.name)])));
  return lists.flat();
}

for (const file of await files(dist)) {
  if (!/\.(js|css|html|svg|json)$/.test(file)) continue;
  const bytes = await readFile(file);
  await writeFile(
    `${file}.br`,
    brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }),
  );
}

let over = false;
for (const entry of ["admin", "market"]) {
  const html = await readFile(join(dist, `${entry}.html`), "utf8");
  const names = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((m) => m[1]);
  let sum = gzipSync(html).length;
  for (const name of names) sum += gzipSync(await readFile(join(dist, name))).length;
  const verdict = sum > FIRST_LOAD_BYTES_MAX ? "TOO MUCH" : "ok";
  over ||= sum > FIRST_LOAD_BYTES_MAX;
  console.log(`${entry}: first load ${(sum / 1000).toFixed(1)} kB gzip of ${FIRST_LOAD_BYTES_MAX / 1000} (${verdict})`);
}
if (over) process.exit(1);
