// Safe (2 of 3) -> timelock -> upgrade on anvil, with the real Safe bytecode, and the shortcuts that must be refused.
// SPDX-License-Identifier: Apache-2.0
import { ethers } from 'ethers';
import { advance, artifact, refused, sent, startDemo } from './chain.mjs';

const SAFE = [
  'function nonce() view returns (uint256)',
  'function getThreshold() view returns (uint256)',
  'function getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256) view returns (bytes32)',
  'function execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes) payable returns (bool)',
  'event ExecutionSuccess(bytes32 indexed txHash, uint256 payment)',
];
const ZERO = ethers.ZeroAddress;
const ZERO32 = ethers.ZeroHash;

const { provider, addresses, wallet, at, stop } = await startDemo();
const { governance, contracts, demo } = addresses;
const safe = new ethers.Contract(governance.safe, SAFE, wallet(0));
const timelock = at('TimelockController', governance.timelock);
const token = at('RwaToken', demo.token);
const versions = at('VersionRegistry', contracts.VersionRegistry);
const owners = [7, 8, 9].map(wallet).sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1));

let steps = 0;
const step = (text) => console.log(`${String(++steps).padStart(2)}  ${text}`);
const need = (ok, what) => {
  if (!ok) throw new Error(what);
};

async function viaSafe(to, data, signers) {
  const common = [to, 0, data, 0, 0, 0, 0, ZERO, ZERO];
  const hash = await safe.getTransactionHash(...common, await safe.nonce());
  const signatures = ethers.concat(signers.map((s) => s.signingKey.sign(hash).serialized));
  return safe.execTransaction(...common, signatures, { gasLimit: 3_000_000 });
}

async function fails(promise, what) {
  let receipt;
  try {
    receipt = await (await promise).wait();
  } catch {
    return step(`refused: ${what}`);
  }
  throw new Error(`went through: ${what} (${receipt.hash})`);
}

const scheduled = (to, data, delay = governance.delaySecs) =>
  timelock.interface.encodeFunctionData('schedule', [to, 0, data, ZERO32, ZERO32, delay]);
const execute = (to, data) => timelock.connect(wallet(6)).execute(to, 0, data, ZERO32, ZERO32);

need((await safe.getThreshold()) === 2n, 'the Safe is not 2 of 3');
for (const address of [...Object.values(contracts), demo.token]) {
  need((await at('RwaToken', address).owner()) === governance.timelock, `${address} is not owned by the timelock`);
}
step('every contract and the token belong to the timelock');

const v2Factory = new ethers.ContractFactory(artifact('RwaTokenV2').abi, artifact('RwaTokenV2').bytecode.object, wallet(0));
const v2 = await v2Factory.deploy(contracts.VersionRegistry, contracts.DocumentRegistry);
await v2.waitForDeployment();
const v2Address = await v2.getAddress();
const upgrade = token.interface.encodeFunctionData('upgradeToAndCall', [v2Address, '0x']);
const listing = versions.interface.encodeFunctionData('add', [ethers.id('RwaToken'), v2Address, '2.0.0']);
const before = [await token.totalSupply(), await token.balanceOf(wallet(5).address)];

await refused(token.connect(wallet(0)).upgradeToAndCall.staticCall(v2Address, '0x'), token.interface, 'OwnableUnauthorizedAccount');
step('refused: the deployer upgrades');
await refused(token.connect(wallet(2)).upgradeToAndCall.staticCall(v2Address, '0x'), token.interface, 'OwnableUnauthorizedAccount');
step('refused: the token agent upgrades');
await fails(viaSafe(demo.token, upgrade, owners.slice(0, 2)), 'the Safe upgrades without the timelock');
await fails(viaSafe(governance.timelock, scheduled(demo.token, upgrade), owners.slice(0, 1)), 'one Safe owner alone proposes');
await fails(viaSafe(governance.timelock, scheduled(demo.token, upgrade, 1), owners.slice(0, 2)), 'the Safe proposes with a shorter delay');
await refused(timelock.connect(wallet(0)).schedule.staticCall(demo.token, 0, upgrade, ZERO32, ZERO32, governance.delaySecs), timelock.interface, 'AccessControlUnauthorizedAccount');
step('refused: the deployer proposes');

await sent(viaSafe(governance.timelock, scheduled(contracts.VersionRegistry, listing), owners.slice(0, 2)));
await sent(viaSafe(governance.timelock, scheduled(demo.token, upgrade), owners.slice(1, 3)));
step('two owners propose the listing of version 2 and the upgrade');
await refused(timelock.connect(wallet(6)).execute.staticCall(demo.token, 0, upgrade, ZERO32, ZERO32), timelock.interface, 'TimelockUnexpectedOperationState');
step('refused: executing before the delay has passed');
await advance(provider, governance.delaySecs);
await fails(execute(demo.token, upgrade), 'upgrading to a version that is not listed yet');
await sent(execute(contracts.VersionRegistry, listing));
await sent(execute(demo.token, upgrade));
step('after the delay anyone executes; the token runs version 2');
need(await at('RwaTokenV2', demo.token).isSecondVersion(), 'not upgraded');
need((await token.totalSupply()) === before[0] && (await token.balanceOf(wallet(5).address)) === before[1], 'state lost');
step('supply and balances are as before');

await sent(token.connect(wallet(4)).pause());
step('the guardian pauses at once');
await refused(token.connect(wallet(4)).unpause.staticCall(), token.interface, 'MissingRight');
step('refused: the guardian resumes');
await sent(viaSafe(demo.token, token.interface.encodeFunctionData('revokeRights', [wallet(2).address, 1]), owners.slice(0, 2)));
step('the Safe takes the right to mint from the agent at once, without the timelock');
await refused(token.connect(wallet(2)).mint.staticCall(wallet(5).address, 1), token.interface, 'MissingRight');
step('refused: the agent mints');
stop();
console.log(`governance: ${steps} steps as expected`);
process.exit(0);
