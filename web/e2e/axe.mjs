// Accessibility of every page in two languages, two themes and three widths, with axe: `node e2e/axe.mjs http://127.0.0.1:8080`.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { LANGUAGES, launch, open, THEMES, WIDTHS } from "./browser.mjs";
import { pages, subjects, visit } from "./pages.mjs";

const base = process.argv[2];
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await launch();
const list = pages(await subjects(base));
let checked = 0;
let found = 0;
for (const language of LANGUAGES) {
  for (const one of list) {
    const { page, context, faults } = await open(browser, base, { language });
    await visit(page, base, one);
    // Runs outside the page's own policy, which forbids foreign scripts.
    await page.evaluate(axe);
    if ((await page.evaluate(() => document.documentElement.lang)) !== language) faults.push(`the page is not in ${language}`);
    for (const theme of THEMES) {
      await page.emulateMedia({ colorScheme: theme });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        const where = `${theme} ${width}`;
        for (const violation of violations) faults.push(`${where}: ${violation.id}: ${violation.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
        if (overflow > 0) faults.push(`${where}: ${overflow} px wider than the screen`);
        checked += 1;
      }
    }
    if (faults.length > 0) {
      found += 1;
      console.error(`${one.name} ${language}:`, faults);
    }
    await context.close();
  }
}
await browser.close();
console.log(`axe: ${checked} views checked, ${found} pages with faults`);
process.exit(found > 0 ? 1 : 0);
