// What people do, in a real browser against a real hub and chain: HUB_URL and NODE_URL from scripts/web.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { walletScript } from "./wallet.mjs";

const { HUB_URL: hub, NODE_URL: node } = process.env;
const CHAIN = 31337;
/** From a block's arrival at the node to the number on the screen. */
const LIVE_MS_MAX = 1_000;
let browser;
let accounts;
let bond;
let dollar;

async function rpc(method, params = []) {
  const response = await fetch(node, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
  const { result, error } = await response.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

const word = (value) => (typeof value === "string" ? value.slice(2).toLowerCase() : BigInt(value).toString(16)).padStart(64, "0");
async function send(from, to, selector, ...args) {
  const hash = await rpc("eth_sendTransaction", [{ from, to, data: selector + args.map(word).join(""), gas: "0x7a120" }]);
  for (;;) {
    const receipt = await rpc("eth_getTransactionReceipt", [hash]);
    if (receipt) {
      assert.equal(receipt.status, "0x1", `${selector} by ${from} was refused`);
      return receipt;
    }
    await new Promise((next) => setTimeout(next, 100));
  }
}
const MINT = "0x40c10f19";
const TRANSFER = "0xa9059cbb";
const SET_ADDRESS_FROZEN = "0xc69c09cf";

/** A market page with a wallet of `account`; `faults` must be empty at the end. */
async function withWallet(account, options = {}) {
  const opened = await open(browser, hub, { ...options, init: walletScript({ account, chain: options.chain ?? CHAIN }) });
  await opened.page.exposeFunction("sendFromWallet", (transaction) => rpc("eth_sendTransaction", [{ ...transaction, gas: "0x7a120" }]));
  return opened;
}

async function connect(page) {
  await page.getByRole("button", { name: /Connect wallet|Conectar carteira/ }).first().click();
  await page.getByRole("button", { name: "Test Wallet" }).click();
}

before(async () => {
  browser = await launch();
  accounts = await rpc("eth_accounts");
  const { items } = await (await fetch(`${hub}/api/v1/tokens`)).json();
  bond = items.find((token) => token.standard === "erc3643");
  dollar = items.find((token) => token.standard === "erc20");
});
after(() => browser?.close());

test("whoever is verified sees that they can hold the bond, another sees why not", async () => {
  for (const [account, text] of [
    [accounts[10], "You can receive it"],
    [accounts[0], "You cannot receive it: your wallet is not verified for it"],
  ]) {
    const { page, context, faults } = await withWallet(account);
    await page.goto(`${hub}/market/tokens/${CHAIN}/${bond.address}`);
    await connect(page);
    await page.getByText(text, { exact: true }).waitFor();
    assert.deepEqual(faults, []);
    await context.close();
  }
});

test("an investor sends dollars; the receiver's portfolio changes without a reload", async () => {
  const [from, to] = [accounts[10], accounts[11]];
  const receiver = await open(browser, hub, { language: "pt-BR" });
  await receiver.page.goto(`${hub}/market/portfolio?address=${to}`);
  const balance = () => receiver.page.getByRole("row", { name: /Mock USD/ }).getByRole("cell").nth(1).innerText();
  await receiver.page.getByRole("row", { name: /Mock USD/ }).waitFor();
  const earlier = await balance();

  const sender = await withWallet(from, { language: "pt-BR" });
  const { page } = sender;
  await page.goto(`${hub}/market/transfer`);
  await connect(page);
  await page.getByLabel("Token").selectOption({ label: "Mock USD (mUSD)" });
  await page.getByLabel("Para", { exact: true }).fill(to);
  await page.getByLabel(/Quantidade/).fill("1,5.0");
  await page.getByRole("button", { name: "Revisar" }).click();
  await page.getByText(/Número inválido/).waitFor();
  await page.getByLabel(/Quantidade/).fill("1.234,56");
  await page.getByRole("button", { name: "Revisar" }).click();
  await page.getByText("Você envia 1.234,56 mUSD").waitFor();
  await page.getByText("Esta transferência seria aceita agora.").waitFor();
  await page.evaluate(() => window.testWallet.set("reject"));
  await page.getByRole("button", { name: "Assinar na carteira" }).click();
  await page.getByText("Você recusou na carteira. Nada foi enviado.").waitFor();
  await page.evaluate(() => window.testWallet.set("locked"));
  await page.getByRole("button", { name: "Assinar na carteira" }).click();
  await page.getByText("A carteira está bloqueada. Desbloqueie-a e tente novamente.").waitFor();
  await page.evaluate(() => window.testWallet.set("good"));
  await page.getByRole("button", { name: "Assinar na carteira" }).click();
  await page.locator("li.done", { hasText: "Final" }).waitFor({ timeout: 30_000 });

  await receiver.page.waitForFunction(
    ([before]) => [...document.querySelectorAll("tbody tr")].some((row) => row.textContent.includes("Mock USD") && !row.textContent.includes(before)),
    [earlier],
  );
  const units = (text) => {
    const [whole, fraction = ""] = text.replace(/[^\d,]/g, "").split(",");
    return BigInt(whole + fraction.padEnd(6, "0"));
  };
  assert.equal(units(await balance()) - units(earlier), 1_234_560_000n);

  // Closing the page keeps the progress.
  await page.reload();
  await page.locator("li.done", { hasText: "Final" }).waitFor();
  assert.deepEqual([...sender.faults, ...receiver.faults], []);
  await sender.context.close();
  await receiver.context.close();
});

test("the wrong network is named and switched, another account is followed, a look-alike is warned of", async () => {
  const { page, context, faults } = await withWallet(accounts[12], { chain: 1 });
  await page.goto(`${hub}/market/transfer`);
  await connect(page);
  const fill = async (to) => {
    await page.getByLabel("Token").selectOption({ label: "Mock USD (mUSD)" });
    await page.getByLabel("To", { exact: true }).fill(to);
    await page.getByLabel(/Amount/).fill("1");
    await page.getByRole("button", { name: "Review" }).click();
  };
  await fill(accounts[13]);
  await page.getByText(/The wallet is on another network/).waitFor();
  await page.getByRole("button", { name: "Switch network" }).click();
  await page.getByRole("button", { name: "Sign in the wallet" }).click();
  await page.locator("li", { hasText: "Signed and sent" }).first().waitFor();
  const forged = `${accounts[13].slice(0, 6)}${"0".repeat(32)}${accounts[13].slice(-4)}`.toLowerCase();
  await fill(forged);
  await page.getByText(/this address begins and ends like/).waitFor();
  await page.evaluate((next) => window.testWallet.account(next), accounts[14]);
  await page.locator("header").getByTitle(new RegExp(accounts[14], "i")).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("a frozen account shows at once, and the check says why a transfer is refused", async () => {
  const agent = accounts[2];
  const investor = accounts[13];
  const portfolio = await open(browser, hub);
  await portfolio.page.goto(`${hub}/market/portfolio?address=${investor}`);
  await portfolio.page.getByRole("row", { name: /ACME Bond/ }).waitFor();
  await send(agent, bond.address, SET_ADDRESS_FROZEN, investor, 1);
  await portfolio.page.getByText("the account is frozen by an agent of the issuer").waitFor();

  const check = await open(browser, hub);
  await check.page.goto(`${hub}/admin/tokens/${CHAIN}/${bond.address}`);
  await check.page.getByRole("tab", { name: "Check a transfer" }).click();
  await check.page.getByLabel("From").fill(investor);
  await check.page.getByLabel("To", { exact: true }).fill(accounts[12]);
  await check.page.getByLabel(/Amount/).fill("1");
  await check.page.getByRole("button", { name: "Check" }).click();
  await check.page.getByText(/This transfer would be refused now/).waitFor();
  await send(agent, bond.address, SET_ADDRESS_FROZEN, investor, 0);
  await check.page.getByText("This transfer would pass now.").waitFor();
  assert.deepEqual([...portfolio.faults, ...check.faults], []);
  await portfolio.context.close();
  await check.context.close();
});

test("a block is on the screen within a second, and a reorganisation takes it back in sight", async () => {
  const { page, context, faults } = await open(browser, hub);
  await page.goto(`${hub}/admin/`);
  await page.getByText("Live", { exact: true }).waitFor();
  const snapshot = Number(await rpc("eth_blockNumber"));
  const amount = 424_242_000_001n;
  const receipt = await send(accounts[2], dollar.address, MINT, accounts[10], amount);
  const mined = Date.now();
  await page.getByText("424,242.000001 mUSD").first().waitFor();
  const took = Date.now() - mined;
  console.log(`from receipt to screen: ${took} ms`);
  assert.ok(took <= LIVE_MS_MAX, `${took} ms`);
  // Deep enough to drop that block, shallower than the finalized one.
  const depth = Number(await rpc("eth_blockNumber")) - Number(receipt.blockNumber) + 1;
  assert.ok(snapshot > 0 && depth <= 4, `depth ${depth}`);
  await rpc("anvil_reorg", [depth, []]);
  await page.locator("tr.retracted", { hasText: "424,242.000001" }).first().waitFor();
  await page.goto(`${hub}/admin/indexer`);
  assert.deepEqual(faults, []);
  await context.close();
});

test("without a connection the page says from when its data is", async () => {
  const { page, context } = await open(browser, hub);
  await page.goto(`${hub}/market/`);
  await page.getByText("Live", { exact: true }).waitFor();
  await context.setOffline(true);
  // An open stream notices only when it breaks.
  await page.evaluate(() => window.dispatchEvent(new Event("offline")));
  await page.getByText(/No connection to the hub. What you see is from/).waitFor();
  await context.setOffline(false);
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await page.getByText("Live", { exact: true }).waitFor();
  await context.close();
});

test("everything works from the keyboard: skip link, tabs with arrows, a card by Enter", async () => {
  const { page, context, faults } = await open(browser, hub);
  await page.goto(`${hub}/market/`);
  await page.locator("a.token").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to content");
  await page.locator("a.token").first().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("tab").first().waitFor();
  await page.getByRole("tab").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.getByRole("tab", { selected: true }).innerText(), "Holders");
  await page.keyboard.press("End");
  assert.equal(await page.getByRole("tab", { selected: true }).innerText(), "Contract");
  assert.deepEqual(faults, []);
  await context.close();
});
