// Headless Chromium as the tests use it: no background traffic, a fresh profile, every foreign request a failure.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = [process.env.RWAHUB_TEST_CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Widths that every page is looked at in: phone, tablet, desk. */
export const WIDTHS = [320, 768, 1440];
export const THEMES = ["light", "dark"];
export const LANGUAGES = ["en", "pt-BR"];

export async function launch() {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  if (!executablePath) throw new Error("no Chromium: install the package chromium, or set RWAHUB_TEST_CHROMIUM to its path");
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/**
 * A page of the hub at `base`. Faults (errors on the page, requests to elsewhere, policy violations) are
 * gathered in `faults`, and a test fails on any that it does not expect.
 */
export async function open(browser, base, { width = 1440, height = 900, theme = "light", language = "en", init } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, locale: language, reducedMotion: "reduce" });
  const faults = [];
  await context.route("**/*", (route) => {
    const url = new URL(route.request().url());
    if (url.origin === new URL(base).origin || url.protocol === "data:") return route.continue();
    faults.push(`request to ${url.origin}`);
    return route.abort();
  });
  if (init) await context.addInitScript(init);
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()}`);
  });
  return { page, context, faults };
}
