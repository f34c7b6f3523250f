// What an ethers front end does, reported as facts that do not depend on when or how often it ran.
// The same script runs against a node and through the hub, and the reports must be equal.
//
//   node ethers-compare.mjs HTTP_URL WS_URL TOKEN HOLDER RECEIVER
import { Contract, JsonRpcProvider, WebSocketProvider } from "ethers";

const [httpUrl, wsUrl, token, holder, receiver] = process.argv.slice(2);
const abi = [
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "function balanceOf(address) view returns (uint256)",
  "function transfer(address to, uint256 value) returns (bool)",
];
const failure = async (promise) => {
  try {
    await promise;
    return "no error";
  } catch (error) {
    return { code: error.code, data: error.data ?? null, reason: error.reason ?? null };
  }
};
const provider = new JsonRpcProvider(httpUrl, undefined, { polling: true, pollingInterval: 50 });
const live = new WebSocketProvider(wsUrl);
const coin = new Contract(token, abi, provider);
const signer = await provider.getSigner(holder);

const heads = [];
const heard = [];
live.on("block", (number) => heads.push(number));
await new Contract(token, abi, live).on("Transfer", (from, to, value) => heard.push([from, to, value.toString()]));
await new Promise((done) => setTimeout(done, 500));

const network = await provider.getNetwork();
const [genesis, early, missing, code, storage] = await Promise.all([
  provider.getBlock(0),
  provider.getBlock(8, true),
  provider.getBlock(10_000_000),
  provider.getCode(token),
  provider.getStorage(token, 0),
]);
const before = await coin.balanceOf(receiver);
const answer = await coin.connect(signer).transfer(receiver, 17n, { gasLimit: 200000n });
const receipt = await answer.wait();
const after = await coin.balanceOf(receiver);
const past = await coin.balanceOf(receiver, { blockTag: 8 });
const events = await coin.queryFilter("Transfer", 0, 30);
const byHash = await provider.getTransaction(receipt.hash);
for (let i = 0; i < 200 && !(heads.includes(receipt.blockNumber) && heard.length > 0); i++) {
  await new Promise((done) => setTimeout(done, 50));
}
console.log(JSON.stringify({
  chainId: network.chainId.toString(),
  genesis: genesis.hash,
  early: [early.hash, early.transactions.length, early.prefetchedTransactions.map((t) => t.hash)],
  missing,
  code: code.length,
  storage,
  moved: (after - before).toString(),
  past: past.toString(),
  status: receipt.status,
  logs: receipt.logs.length,
  confirmed: (await answer.confirmations()) > 0,
  mined: byHash.blockNumber === receipt.blockNumber,
  events: events.map((e) => [e.blockNumber, e.index, e.args.value.toString()]),
  revert: await failure(coin.connect(signer).transfer.staticCall(receiver, 10n ** 30n, { blockTag: 8 })),
  gasRevert: await failure(provider.send("eth_estimateGas", [{
    from: holder, to: token, data: coin.interface.encodeFunctionData("transfer", [receiver, 10n ** 30n]),
  }, "0x8"])),
  unknownBlock: await failure(coin.balanceOf(receiver, { blockTag: 10_000_000 })),
  noMethod: await failure(provider.send("eth_noSuchMethod", [])),
  nonceAhead: (await provider.getTransactionCount(holder)) === receipt.nonce || byHash.nonce + 1 === (await provider.getTransactionCount(holder)),
  sawHead: heads.includes(receipt.blockNumber),
  heard: heard.slice(0, 1),
}));
process.exit(0);
