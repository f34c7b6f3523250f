// Photographs every page into docs/screens/: `node e2e/screens.mjs http://127.0.0.1:8080 [--all]`. Without --all: the
// committed set (English, light, 1440); with it: every width, theme and language, into the folder given by --out.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { LANGUAGES, launch, open, THEMES, WIDTHS } from "./browser.mjs";
import { pages, subjects, visit } from "./pages.mjs";

const args = process.argv.slice(2);
const base = args[0];
const all = args.includes("--all");
const given = args.indexOf("--out");
const only = args.indexOf("--only");
const out = given > 0 ? args[given + 1] : new URL("../../docs/screens/", import.meta.url).pathname;
await mkdir(out, { recursive: true });

const browser = await launch();
const list = pages(await subjects(base)).filter((page) => only < 0 || page.name.includes(args[only + 1]));
let failed = false;
for (const width of all ? WIDTHS : [1440]) {
  for (const theme of all ? THEMES : ["light"]) {
    for (const language of all ? LANGUAGES : ["en"]) {
      for (const one of list) {
        const { page, context, faults } = await open(browser, base, { width, theme, language });
        await visit(page, base, one);
        await page.waitForTimeout(300);
        const name = all ? `${one.name}-${width}-${theme}-${language}.png` : `${one.name}.png`;
        await page.screenshot({ path: join(out, name), fullPage: true });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (overflow > 0) faults.push(`the page is ${overflow} px wider than the screen`);
        if (faults.length > 0) {
          failed = true;
          console.error(name, faults);
        }
        await context.close();
      }
    }
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
