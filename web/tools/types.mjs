// TypeScript types of the API from docs/openapi.json, which the daemon's tests keep true. `--check` fails on a difference.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const source = new URL("../../docs/openapi.json", import.meta.url);
const target = new URL("../src/api/schema.d.ts", import.meta.url);
const head = "// Generated from docs/openapi.json by `npm run types`. Do not edit.\n";
const text = head + astToString(await openapiTS(JSON.parse(await readFile(source, "utf8"))));
if (process.argv.includes("--check")) {
  const present = await readFile(target, "utf8").catch(() => "");
  if (present !== text) {
    console.error("src/api/schema.d.ts is not what docs/openapi.json says; run `npm run types` in web/");
    process.exit(1);
  }
} else {
  await writeFile(target, text);
}
