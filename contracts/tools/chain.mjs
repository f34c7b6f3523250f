// A private anvil with the demo suite on it, for the checks that need a real chain: receipts, time, refused calls.
// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ethers } from 'ethers';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const MNEMONIC = 'test test test test test test test test test test test junk';
const START_TIMEOUT_MS = 20_000;

/** Path of a program of the repository's toolchain (`scripts/toolchain` installs it). */
export function tool(name) {
  return join(root, '..', '.toolchain', 'bin', name);
}

export function artifact(name, file = `${name}.sol`) {
  return JSON.parse(readFileSync(join(root, 'out', file, `${name}.json`), 'utf8'));
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * Deploys the demo on the anvil at ANVIL_URL, or on one that it starts, and hands over wallets and contracts. `stop` ends
 * the anvil it started.
 */
export async function startDemo() {
  const port = await freePort();
  const url = process.env.ANVIL_URL || `http://127.0.0.1:${port}`;
  const stop = process.env.ANVIL_URL ? () => {} : startAnvil(port);
  const provider = new ethers.JsonRpcProvider(url, 31337, { staticNetwork: true, cacheTimeout: -1, pollingInterval: 20 });
  await ready(provider);
  // Runs side by side must not read each other's addresses.
  const name = process.env.DEPLOYMENT || `31337-${process.pid}`;
  const deployed = spawnSync(tool('forge'), ['script', 'script/DeployDemo.s.sol', '--rpc-url', url, '--broadcast'], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, DEPLOYMENT: name },
  });
  if (deployed.status !== 0) throw new Error(`deploy failed:\n${deployed.stdout}\n${deployed.stderr}`);
  const file = join(root, 'deployments', `${name}.json`);
  const addresses = JSON.parse(readFileSync(file, 'utf8'));
  if (!process.env.DEPLOYMENT) rmSync(file);
  const wallet = (k) =>
    ethers.HDNodeWallet.fromPhrase(MNEMONIC, undefined, `m/44'/60'/0'/0/${k}`).connect(provider);
  const at = (contract, address, signer, file) => new ethers.Contract(address, artifact(contract, file).abi, signer ?? provider);
  return { provider, addresses, wallet, at, stop };
}

function startAnvil(port) {
  const steps = process.env.ANVIL_STEPS ? ['--steps-tracing'] : [];
  const anvil = spawn(tool('anvil'), ['--host', '127.0.0.1', '--port', String(port), '--silent', ...steps], { stdio: 'ignore' });
  const stop = () => anvil.kill();
  process.once('exit', stop);
  return stop;
}

async function ready(provider) {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await provider.send('eth_chainId', []);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Sends and waits; a reverted transaction throws. */
export async function sent(promise) {
  const receipt = await (await promise).wait();
  if (receipt.status !== 1) throw new Error(`reverted: ${receipt.hash}`);
  return receipt;
}

/** Moves the chain's clock and makes a block. */
export async function advance(provider, seconds) {
  await provider.send('evm_increaseTime', [seconds]);
  await provider.send('evm_mine', []);
}

/** True when the call is refused with the named error of `contract` (or of `iface`). */
export async function refused(promise, iface, errorName) {
  try {
    await promise;
  } catch (error) {
    const data = error.data ?? error.info?.error?.data ?? error.error?.data;
    const parsed = typeof data === 'string' && data !== '0x' ? iface.parseError(data) : null;
    if (parsed?.name === errorName) return parsed;
    throw new Error(`refused, but not with ${errorName}: ${parsed?.name ?? error.shortMessage ?? error.message}`);
  }
  throw new Error(`went through; expected ${errorName}`);
}
