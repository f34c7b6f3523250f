// Our events and our token on a chain, read with the ERC-3643 ABI as published in the text of the standard and a decoder
// that knows nothing of us. Fails when a log does not decode, or when a function of the standard is not answered.
// SPDX-License-Identifier: Apache-2.0
import { ethers } from 'ethers';
import { advance, sent, startDemo } from './chain.mjs';

// The text of ERC-3643, contract types as addresses.
const TOKEN = new ethers.Interface([
  'event UpdatedTokenInformation(string _newName, string _newSymbol, uint8 _newDecimals, string _newVersion, address _newOnchainID)',
  'event IdentityRegistryAdded(address indexed _identityRegistry)',
  'event ComplianceAdded(address indexed _compliance)',
  'event RecoverySuccess(address _lostWallet, address _newWallet, address _investorOnchainID)',
  'event AddressFrozen(address indexed _userAddress, bool indexed _isFrozen, address indexed _owner)',
  'event TokensFrozen(address indexed _userAddress, uint256 _amount)',
  'event TokensUnfrozen(address indexed _userAddress, uint256 _amount)',
  'event Paused(address _userAddress)',
  'event Unpaused(address _userAddress)',
  'event Transfer(address indexed from, address indexed to, uint256 value)',
  'event Approval(address indexed owner, address indexed spender, uint256 value)',
  'event AgentAdded(address indexed _agent)',
  'event AgentRemoved(address indexed _agent)',
  'event OwnershipTransferred(address indexed previousOwner, address indexed newOwner)',
  'event IdentityRegistered(address indexed investorAddress, address indexed identity)',
  'event IdentityRemoved(address indexed investorAddress, address indexed identity)',
  'event IdentityUpdated(address indexed oldIdentity, address indexed newIdentity)',
  'event CountryUpdated(address indexed investorAddress, uint16 indexed country)',
  'event IdentityStored(address indexed investorAddress, address indexed identity)',
  'event IdentityUnstored(address indexed investorAddress, address indexed identity)',
  'event ClaimTopicsRegistrySet(address indexed claimTopicsRegistry)',
  'event IdentityStorageSet(address indexed identityStorage)',
  'event TrustedIssuersRegistrySet(address indexed trustedIssuersRegistry)',
  'event TokenBound(address _token)',
  'event TokenUnbound(address _token)',
  'event TrustedIssuerAdded(address indexed trustedIssuer, uint256[] claimTopics)',
  'event TrustedIssuerRemoved(address indexed trustedIssuer)',
  'event ClaimTopicsUpdated(address indexed trustedIssuer, uint256[] claimTopics)',
]);
const READS = [
  'onchainID() view returns (address)', 'version() view returns (string)', 'identityRegistry() view returns (address)',
  'compliance() view returns (address)', 'paused() view returns (bool)', 'isFrozen(address) view returns (bool)',
  'getFrozenTokens(address) view returns (uint256)', 'name() view returns (string)', 'symbol() view returns (string)',
  'decimals() view returns (uint8)', 'totalSupply() view returns (uint256)', 'balanceOf(address) view returns (uint256)',
  'allowance(address,address) view returns (uint256)', 'owner() view returns (address)', 'isAgent(address) view returns (bool)',
];
const OWNER = ['setName(string)', 'setSymbol(string)', 'setOnchainID(address)', 'setIdentityRegistry(address)', 'setCompliance(address)', 'addAgent(address)', 'removeAgent(address)', 'transferOwnership(address)'];
const AGENT = [
  ['openCase(bytes32)', [ethers.id('case 1')]],
  ['mint(address,uint256)', (a) => [a.alice, 100n]],
  ['burn(address,uint256)', (a) => [a.alice, 1n]],
  ['pause()', []],
  ['unpause()', []],
  ['setAddressFrozen(address,bool)', (a) => [a.bob, true]],
  ['batchSetAddressFrozen(address[],bool[])', (a) => [[a.bob], [false]]],
  ['freezePartialTokens(address,uint256)', (a) => [a.alice, 7n]],
  ['unfreezePartialTokens(address,uint256)', (a) => [a.alice, 3n]],
  ['batchFreezePartialTokens(address[],uint256[])', (a) => [[a.alice], [1n]]],
  ['batchUnfreezePartialTokens(address[],uint256[])', (a) => [[a.alice], [1n]]],
  ['forcedTransfer(address,address,uint256)', (a) => [a.alice, a.bob, 5n]],
  ['batchForcedTransfer(address[],address[],uint256[])', (a) => [[a.alice], [a.bob], [1n]]],
  ['batchMint(address[],uint256[])', (a) => [[a.alice], [5n]]],
  ['batchBurn(address[],uint256[])', (a) => [[a.alice], [5n]]],
  ['recoveryAddress(address,address,address)', (a) => [a.bob, a.next, a.bob]],
];
const HOLDER = [
  ['transfer(address,uint256)', (a) => [a.next, 2n]],
  ['approve(address,uint256)', (a) => [a.next, 2n]],
  ['batchTransfer(address[],uint256[])', (a) => [[a.next], [1n]]],
];

const { provider, addresses, wallet, at, stop } = await startDemo();
await advance(provider, 120);
const people = { alice: wallet(5).address, bob: wallet(6).address, next: ethers.Wallet.createRandom().address };
const engine = at('ComplianceEngine', addresses.contracts.ComplianceEngine, wallet(1));
await sent(engine.registerIdentity(people.next, people.bob, 250));
await advance(provider, 1);

const call = (signer, signature, values) =>
  sent(new ethers.Contract(addresses.demo.token, [`function ${signature}`], signer).getFunction(signature)(...values));
for (const [signature, values] of AGENT) await call(wallet(2), signature, Array.isArray(values) ? values : values(people));
await advance(provider, 120);
for (const [signature, values] of HOLDER) await call(wallet(5), signature, values(people));
for (const signature of READS) {
  const f = new ethers.Contract(addresses.demo.token, [`function ${signature}`], provider);
  const name = signature.slice(0, signature.indexOf('('));
  await f.getFunction(name)(...f.interface.getFunction(name).inputs.map(() => people.alice));
}
// The owner is the timelock; to anybody else the setters answer with the owner check, not with silence.
for (const signature of OWNER) {
  const f = new ethers.Contract(addresses.demo.token, [`function ${signature}`, 'error OwnableUnauthorizedAccount(address)', 'error MissingRight(address,uint256)'], wallet(5));
  const name = signature.slice(0, signature.indexOf('('));
  const value = signature.includes('string') ? 'x' : wallet(2).address;
  const error = await f.getFunction(name).staticCall(value).catch((e) => e);
  if (!['OwnableUnauthorizedAccount', 'MissingRight'].includes(error.revert?.name)) throw new Error(`${signature}: ${error.shortMessage}`);
}

const known = new Map(TOKEN.fragments.map((f) => [f.topicHash, f]));
const seen = new Map();
for (const log of await provider.getLogs({ fromBlock: 0, toBlock: 'latest' })) {
  const fragment = known.get(log.topics[0]);
  if (!fragment) continue;
  const parsed = TOKEN.parseLog(log); // throws, or is null, when the indexed fields differ
  if (!parsed) throw new Error(`does not decode: ${fragment.name} of ${log.address}`);
  seen.set(fragment.name, (seen.get(fragment.name) ?? 0) + 1);
}
stop();
const missing = TOKEN.fragments.map((f) => f.name).filter((name) => !seen.has(name));
const total = [...seen.values()].reduce((a, b) => a + b, 0);
console.log(`ERC-3643: ${total} logs of ${seen.size} kinds decode; ${AGENT.length + HOLDER.length + READS.length + OWNER.length} functions answered`);
// What the demo has no occasion for is covered by test/Erc3643.t.sol.
const EXCUSED = ['AgentRemoved', 'IdentityRemoved', 'IdentityUpdated', 'IdentityUnstored', 'TokenUnbound', 'TrustedIssuerRemoved', 'ClaimTopicsUpdated'];
const unexcused = missing.filter((name) => !EXCUSED.includes(name));
if (unexcused.length !== 0) console.error(`never emitted: ${unexcused.join(', ')}`);
process.exit(unexcused.length === 0 ? 0 : 1);
