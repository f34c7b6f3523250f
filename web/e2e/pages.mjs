// The pages, as a list: what is checked for accessibility and what is photographed. `token`, `holder` and `hash`
// come from the running hub.
export const pages = ({ token, holder, hash }) => [
  { name: "market-explore", path: "/market/", ready: ".token" },
  { name: "market-asset", path: `/market/tokens/${token}`, ready: ".bars li" },
  { name: "market-asset-holders", path: `/market/tokens/${token}`, ready: ".bars li", tab: 1, then: "table tbody tr" },
  { name: "market-asset-activity", path: `/market/tokens/${token}`, ready: ".bars li", tab: 2, then: "table tbody tr" },
  { name: "market-asset-check", path: `/market/tokens/${token}`, ready: ".bars li", tab: 3, then: "form" },
  { name: "market-asset-contract", path: `/market/tokens/${token}`, ready: ".bars li", tab: 4, then: ".facts" },
  { name: "market-portfolio", path: `/market/portfolio?address=${holder}`, ready: "table tbody tr" },
  { name: "market-activity", path: `/market/activity?address=${holder}`, ready: "table tbody tr" },
  { name: "market-transaction", path: `/market/transactions/${hash}`, ready: "table tbody tr" },
  { name: "market-transfer", path: "/market/transfer", ready: "main button" },
  { name: "market-status", path: "/market/status", ready: ".figures" },
  { name: "market-settings", path: "/market/settings", ready: ".segments" },
  { name: "admin-overview", path: "/admin/", ready: ".figures" },
  { name: "admin-tokens", path: "/admin/tokens", ready: "table tbody tr" },
  { name: "admin-token", path: `/admin/tokens/${token}`, ready: ".bars li" },
  { name: "admin-token-holders", path: `/admin/tokens/${token}`, ready: ".bars li", tab: 1, then: "table tbody tr" },
  { name: "admin-events", path: "/admin/events", ready: "table tbody tr" },
  { name: "admin-indexer", path: "/admin/indexer", ready: ".figures" },
  { name: "admin-system", path: "/admin/system", ready: ".facts" },
  { name: "admin-settings", path: "/admin/settings", ready: ".segments" },
];

export async function visit(page, base, { path, ready, tab, then }) {
  await page.goto(base + path, { waitUntil: "load" });
  await page.waitForSelector(ready);
  if (tab !== undefined) await page.getByRole("tab").nth(tab).click();
  if (then) await page.waitForSelector(then);
}

/** A restricted token, one of its holders and one of its transactions. */
export async function subjects(base) {
  const get = async (path) => (await fetch(base + path)).json();
  const { items } = await get("/api/v1/tokens");
  const token = items.find((one) => one.standard === "erc3643") ?? items[0];
  const holders = await get(`/api/v1/tokens/${token.chain_id}/${token.address}/holders`);
  const events = await get(`/api/v1/events?contract=${token.address}&order=asc&limit=1`);
  return { token: `${token.chain_id}/${token.address}`, holder: holders.items[0].holder, hash: events.items[0].tx_hash };
}
