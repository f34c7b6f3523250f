// Gas of whole transactions, read from receipts on anvil, beside what T-REX 4.1.6 takes for the same thing.
// Fails when one is above its limit. The T-REX figures were measured on the published T-REX and OnchainID bytecode on
// anvil 1.7.1 (receipts, median): 1 claim topic + 4 modules unless the row says otherwise.
// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ethers } from 'ethers';
import { advance, root, sent, startDemo } from './chain.mjs';

const ORDER_TYPES = {
  Order: [
    ['address', 'maker'], ['address', 'taker'], ['address', 'token'], ['address', 'currency'], ['bool', 'sell'],
    ['uint128', 'amount'], ['uint128', 'payment'], ['uint128', 'minFill'], ['uint64', 'expiry'], ['uint64', 'nonce'],
    ['uint16', 'maxFeeBps'],
  ].map(([type, name]) => ({ type, name })),
};

const rows = [];
function row(what, receipt, trex, limit) {
  rows.push({ what, gas: Number(receipt.gasUsed), trex, limit });
}

const { provider, addresses, wallet, at, stop } = await startDemo();
const { contracts, demo } = addresses;
const [deployer, kyc, agent, attestor] = [0, 1, 2, 3].map(wallet);
const [alice, bob] = [5, 6].map(wallet);
const engine = at('ComplianceEngine', contracts.ComplianceEngine);
const token = at('RwaToken', demo.token);
const usd = at('MockUsd', demo.MockUsd);
const dvp = at('DvpSettlement', contracts.DvpSettlement);
await advance(provider, 120); // past the lock-up of what the demo minted

async function transfers() {
  const rules = await engine.rulesOf(demo.token);
  const six = rules.maxBalance > 0n && rules.holderCap > 0n && rules.requiredTopics > 0n && rules.lockupSecs > 0n
    && rules.countryMode > 0n && (await engine.identity(alice.address)) === alice.address;
  if (!six) throw new Error('the demo token does not have all six rules on');
  row('transfer, six rules, both wallets hold already', await sent(token.connect(alice).transfer(bob.address, 1_000_001n)), 385_692, 70_000);
  await sent(token.connect(bob).transfer(alice.address, 1_000_001n));
}

async function onboarding() {
  const own = ethers.Wallet.createRandom().address;
  row('register an investor (wallet is its own identity)', await sent(engine.connect(kyc).registerIdentity(own, own, 276)), 79_590, 60_000);
  const [other, identity] = [ethers.Wallet.createRandom().address, ethers.Wallet.createRandom().address];
  row('register an investor (separate identity address)', await sent(engine.connect(kyc).registerIdentity(other, identity, 276)), 79_590, 60_000);
  const many = Array.from({ length: 10 }, () => ethers.Wallet.createRandom().address);
  const batch = await sent(engine.connect(kyc).batchRegisterIdentity(many, many, many.map(() => 276)));
  rows.push({ what: 'register, each of 10 in a batch', gas: Math.round(Number(batch.gasUsed) / 10), trex: 36_000 });
  const { timestamp } = await provider.getBlock('latest');
  const attestation = { identity: own, topic: 1, validUntil: timestamp + 31_536_000, issuedAt: timestamp };
  const domain = { name: 'RWA Hub ComplianceEngine', version: '1', chainId: 31337, verifyingContract: contracts.ComplianceEngine };
  const types = { Attestation: [['address', 'identity'], ['uint8', 'topic'], ['uint32', 'validUntil'], ['uint32', 'issuedAt']].map(([type, name]) => ({ type, name })) };
  const signature = await attestor.signTypedData(domain, types, attestation);
  row('attest, signed by the issuer (T-REX: create identity + add claim)', await sent(engine.connect(kyc).attest(attestation, attestor.address, signature)), 456_500 + 307_000);
  row('first tokens to a new holder', await sent(token.connect(alice).transfer(own, 1_000_000n)), 422_108);
  await attestFor(identity, timestamp);
  row('transfer to a holder with a separate identity, first', await sent(token.connect(alice).transfer(other, 1_000_000n)), 422_108);
  row('transfer to a holder with a separate identity, again', await sent(token.connect(alice).transfer(other, 1_000_001n)), 385_692, 70_000);
  const [owner, ownId] = [ethers.Wallet.createRandom().connect(provider), ethers.Wallet.createRandom().address];
  await provider.send('anvil_setBalance', [owner.address, '0xde0b6b3a7640000']);
  await sent(engine.connect(kyc).registerIdentity(owner.address, ownId, 250));
  await attestFor(ownId, timestamp);
  await sent(token.connect(alice).transfer(owner.address, 1_000_000n));
  row('transfer between holders with separate identities', await sent(token.connect(owner).transfer(other, 900_001n)), 385_692, 70_000);
}

async function attestFor(identity, timestamp) {
  const a = { identity, topic: 1, validUntil: timestamp + 31_536_000, issuedAt: timestamp };
  await sent(engine.connect(attestor).attest(a, attestor.address, '0x'));
}

async function agentWork() {
  const id = ethers.id('case');
  row('mint to a holder', await sent(token.connect(agent).mint(alice.address, 1_000_001n)), 320_455);
  row('forced transfer, with case id', await sent(token.connect(agent)['forcedTransfer(address,address,uint256,bytes32)'](alice.address, bob.address, 5n, id)), 323_657);
  row('burn, with case id', await sent(token.connect(agent)['burn(address,uint256,bytes32)'](bob.address, 5n, id)), 162_118);
  row('freeze a wallet', await sent(token.connect(agent)['setAddressFrozen(address,bool)'](bob.address, true)), 61_400);
  await sent(token.connect(agent)['setAddressFrozen(address,bool)'](bob.address, false));
  row('pause', await sent(token.connect(agent).pause()), 42_700);
  await sent(token.connect(agent).unpause());
}

async function newToken() {
  const factory = at('TokenFactory', contracts.TokenFactory, deployer);
  const terms = {
    name: 'ACME Note 2029', symbol: 'ACME29', isin: 'DE000A0DEMO2', assetType: 'note', salt: 'acme-2029', decimals: 6,
    onchainId: ethers.ZeroAddress, owner: addresses.governance.timelock,
    rules: { maxBalance: 1_000_000_000_000n, holderCap: 150, requiredTopics: 2, lockupSecs: 60, countryMode: 1, senderAttested: true },
    countries: [276, 250, 756], agents: [agent.address, wallet(4).address, addresses.governance.safe], rights: [0x1fff, 1 << 5, 1 << 8],
  };
  const predicted = await factory.predictAddress(deployer.address, terms.salt);
  const receipt = await sent(factory.deployToken(terms));
  const event = receipt.logs.map((log) => factory.interface.parseLog(log)).find((e) => e?.name === 'TokenDeployed');
  if (event.args.token !== predicted) throw new Error(`predicted ${predicted}, got ${event.args.token}`);
  row('new token with rules, view and three agents', receipt, 4_424_402, 1_000_000);
}

async function settlement() {
  await sent(token.connect(alice).approve(contracts.DvpSettlement, ethers.MaxUint256));
  await sent(usd.connect(bob).approve(contracts.DvpSettlement, ethers.MaxUint256));
  const domain = { name: 'RWA Hub DvpSettlement', version: '1', chainId: 31337, verifyingContract: contracts.DvpSettlement };
  const base = { taker: ethers.ZeroAddress, token: demo.token, currency: demo.MockUsd, amount: 1_000_000n, payment: 2_000_000n, minFill: 0n, expiry: 4_000_000_000n, maxFeeBps: 100 };
  const signed = async (maker, sell, nonce) => {
    const order = { ...base, maker: maker.address, sell, nonce };
    return [order, await maker.signTypedData(domain, ORDER_TYPES, order)];
  };
  const [warmUp, s0] = await signed(alice, true, 256n); // the fee recipient's first fee is not part of an order's cost
  await sent(dvp.connect(bob).settle(warmUp, s0, 1_000_000n));
  const [first, s1] = await signed(alice, true, 0n);
  row("settle one order whole, with fee, first of a maker's 256 nonces", await sent(dvp.connect(bob).settle(first, s1, 1_000_000n)), 439_000, 150_000);
  const [second, s2] = await signed(alice, true, 1n);
  row('settle one order whole, with fee', await sent(dvp.connect(bob).settle(second, s2, 1_000_000n)), 296_000, 150_000);
  const [third, s3] = await signed(alice, true, 2n);
  row('settle one order in part, with fee, first part', await sent(dvp.connect(bob).settle(third, s3, 300_000n)), 439_000, 150_000);
  const [sell, s4] = await signed(alice, true, 3n);
  const [buy, s5] = await signed(bob, false, 0n);
  const match = { sell, buy, sellSignature: s4, buySignature: s5, fill: 1_000_000n, payment: 2_000_000n };
  await sent(dvp.connect(bob).cancel(77n));
  row('settle two signed orders against each other, with fee', await sent(dvp.connect(deployer).settleMatch(match)), 439_000);
}

await transfers();
await onboarding();
await agentWork();
await newToken();
await settlement();
stop();

const number = (n) => (n === undefined ? '' : n.toLocaleString('en-US'));
const lines = [
  '| operation | gas | limit | T-REX 4.1.6 | ratio |',
  '| --- | ---: | ---: | ---: | ---: |',
  ...rows.map((r) => `| ${r.what} | ${number(r.gas)} | ${number(r.limit)} | ${number(r.trex)} | ${(r.trex / r.gas).toFixed(1)} |`),
];
console.log(lines.join('\n'));
writeFileSync(join(root, 'out', 'gas-receipts.json'), `${JSON.stringify(rows, null, 2)}\n`);
const above = rows.filter((r) => r.limit !== undefined && r.gas > r.limit);
for (const r of above) console.error(`above the limit: ${r.what}: ${number(r.gas)} > ${number(r.limit)}`);
process.exit(above.length === 0 ? 0 : 1);
