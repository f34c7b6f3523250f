import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { messages } from "../src/i18n/messages";

const root = new URL("../src", import.meta.url).pathname;
const sources = (dir: string): string[] =>
  readdirSync(dir, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? sources(join(dir, e.name)) : [join(dir, e.name)]));

describe("messages", () => {
  it("have the same places to fill in both languages, and no empty text", () => {
    const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort();
    for (const [key, [en, pt]] of Object.entries(messages)) {
      expect(en.trim(), key).not.toBe("");
      expect(pt.trim(), key).not.toBe("");
      expect(places(pt), key).toEqual(places(en));
    }
  });

  it("are all used", () => {
    const code = sources(root)
      .filter((file) => /\.tsx?$/.test(file) && !file.endsWith("messages.ts"))
      .map((file) => readFileSync(file, "utf8"))
      .join("\n");
    // Keys put together at run time, by their beginning.
    const built = ["events.", "settings.theme.", "overview.", "unit.", "live.", "portfolio.reason.", "transfer.step."];
    const unused = Object.keys(messages).filter((key) => !code.includes(`"${key}"`) && !built.some((start) => key.startsWith(start)));
    expect(unused).toEqual([]);
  });
});
