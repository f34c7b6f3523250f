// What a front end does through the hub's JSON-RPC endpoint, with viem: reads, logs, a transaction,
// and subscriptions over WebSocket. Prints one JSON object; any failure ends with a non-zero code.
//
//   node viem.mjs HTTP_URL WS_URL TOKEN HOLDER RECEIVER
import { createPublicClient, createWalletClient, http, parseAbi, webSocket } from "viem";
import { foundry } from "viem/chains";

const [httpUrl, wsUrl, token, holder, receiver] = process.argv.slice(2);
const abi = parseAbi([
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "function balanceOf(address) view returns (uint256)",
  "function transfer(address to, uint256 value) returns (bool)",
]);
const client = createPublicClient({ chain: foundry, transport: http(httpUrl, { batch: true }) });
const live = createPublicClient({ chain: foundry, transport: webSocket(wsUrl) });
const wallet = createWalletClient({ account: holder, chain: foundry, transport: http(httpUrl) });

const seen = { blocks: [], transfers: [] };
const stopBlocks = live.watchBlocks({ onBlock: (block) => seen.blocks.push(Number(block.number)) });
const stopEvents = live.watchContractEvent({
  address: token, abi, eventName: "Transfer",
  onLogs: (logs) => seen.transfers.push(...logs.map((log) => log.transactionHash)),
});
await new Promise((done) => setTimeout(done, 500));

const [chainId, number, before] = await Promise.all([
  client.getChainId(),
  client.getBlockNumber(),
  client.readContract({ address: token, abi, functionName: "balanceOf", args: [receiver] }),
]);
const logs = await client.getContractEvents({ address: token, abi, eventName: "Transfer", fromBlock: 0n });
const hash = await wallet.writeContract({
  address: token, abi, functionName: "transfer", args: [receiver, 123n], gas: 200000n,
});
await client.request({ method: "evm_mine", params: [] }).catch(() => undefined);
const receipt = await client.waitForTransactionReceipt({ hash, pollingInterval: 50, timeout: 15000 });
const after = await client.readContract({ address: token, abi, functionName: "balanceOf", args: [receiver] });
let reverted = "no error";
try {
  await client.readContract({
    address: token, abi, functionName: "balanceOf", args: [receiver], blockNumber: 10n ** 9n,
  });
} catch (error) {
  reverted = error.name;
}
for (let i = 0; i < 100 && !seen.transfers.includes(hash); i++) {
  await new Promise((done) => setTimeout(done, 50));
}
stopBlocks();
stopEvents();
console.log(JSON.stringify({
  chainId, number: Number(number), logs: logs.length, status: receipt.status,
  moved: (after - before).toString(), reverted,
  sawBlock: seen.blocks.includes(Number(receipt.blockNumber)),
  sawTransfer: seen.transfers.includes(hash),
}));
process.exit(0);
