// What a viem front end does, reported as facts that do not depend on when or how often it ran.
// The same script runs against a node and through the hub, and the reports must be equal.
//
//   node viem-compare.mjs HTTP_URL WS_URL TOKEN HOLDER RECEIVER
import { createPublicClient, createWalletClient, http, parseAbi, webSocket } from "viem";
import { foundry } from "viem/chains";

const [httpUrl, wsUrl, token, holder, receiver] = process.argv.slice(2);
const abi = parseAbi([
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "function balanceOf(address) view returns (uint256)",
  "function transfer(address to, uint256 value) returns (bool)",
]);
const failure = async (promise) => {
  try {
    await promise;
    return "no error";
  } catch (error) {
    const deepest = error.walk ? error.walk() : error;
    return [error.name, deepest.name, deepest.code ?? null, deepest.data ?? null];
  }
};
const client = createPublicClient({ chain: foundry, transport: http(httpUrl, { batch: true, retryCount: 0 }), pollingInterval: 50 });
const live = createPublicClient({ chain: foundry, transport: webSocket(wsUrl) });
const wallet = createWalletClient({ account: holder, chain: foundry, transport: http(httpUrl) });
const seen = { blocks: [], transfers: [] };
live.watchBlocks({ onBlock: (block) => seen.blocks.push(block.number) });
live.watchContractEvent({
  address: token, abi, eventName: "Transfer",
  onLogs: (logs) => seen.transfers.push(...logs.map((log) => log.transactionHash)),
});
await new Promise((done) => setTimeout(done, 500));
const balance = (options = {}) =>
  client.readContract({ address: token, abi, functionName: "balanceOf", args: [receiver], ...options });
const [chainId, genesis, early, before, code, storage, past] = await Promise.all([
  client.getChainId(),
  client.getBlock({ blockNumber: 0n }),
  client.getBlock({ blockNumber: 8n, includeTransactions: true }),
  balance(),
  client.getCode({ address: token }),
  client.getStorageAt({ address: token, slot: "0x0" }),
  balance({ blockNumber: 8n }),
]);
const hash = await wallet.writeContract({
  address: token, abi, functionName: "transfer", args: [receiver, 19n], gas: 200000n,
});
const receipt = await client.waitForTransactionReceipt({ hash, timeout: 15000 });
const after = await balance();
const events = await client.getContractEvents({ address: token, abi, eventName: "Transfer", fromBlock: 0n, toBlock: 30n });
const filter = await client.createContractEventFilter({ address: token, abi, eventName: "Transfer", fromBlock: receipt.blockNumber });
const filtered = await client.getFilterLogs({ filter });
for (let i = 0; i < 200 && !(seen.blocks.includes(receipt.blockNumber) && seen.transfers.includes(hash)); i++) {
  await new Promise((done) => setTimeout(done, 50));
}
const simulate = { account: holder, address: token, abi, functionName: "transfer", args: [receiver, 10n ** 30n], blockNumber: 8n };
console.log(JSON.stringify({
  chainId, genesis: genesis.hash,
  early: [early.hash, early.transactions.map((t) => [t.hash, t.type, t.nonce])],
  moved: (after - before).toString(), past: past.toString(),
  code: code.length, storage, status: receipt.status, logs: receipt.logs.length,
  events: events.map((e) => [Number(e.blockNumber), e.logIndex, e.args.value.toString()]),
  filtered: filtered.length,
  revert: await failure(client.simulateContract(simulate)),
  gasRevert: await failure(client.estimateContractGas(simulate)),
  unknownBlock: await failure(balance({ blockNumber: 10n ** 7n })),
  missingBlock: await failure(client.getBlock({ blockNumber: 10n ** 7n })),
  noMethod: await failure(client.request({ method: "eth_noSuchMethod", params: [] })),
  sawBlock: seen.blocks.includes(receipt.blockNumber),
  sawTransfer: seen.transfers.includes(hash),
}));
process.exit(0);
