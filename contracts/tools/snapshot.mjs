// Compares the gas that test/Gas.t.sol measures with what is checked in under snapshots/, and restores the file: a check
// must not change what it checks.
// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, tool } from './chain.mjs';

const TOLERANCE = 0.02;
const file = join(root, 'snapshots', 'calls.json');
const text = readFileSync(file, 'utf8');
const done = spawnSync(tool('forge'), ['test', '--match-contract', 'GasTest'], { cwd: root, encoding: 'utf8' });
const now = JSON.parse(readFileSync(file, 'utf8'));
writeFileSync(file, text);
if (done.status !== 0) throw new Error(done.stdout + done.stderr);
const old = JSON.parse(text);
const faults = [];
for (const name of new Set([...Object.keys(old), ...Object.keys(now)])) {
  const drift = (Number(now[name]) - Number(old[name])) / Number(old[name]);
  console.log(`${name}: ${now[name]} (recorded ${old[name]})`);
  if (!(Math.abs(drift) <= TOLERANCE)) faults.push(`${name}: ${old[name]} -> ${now[name]}`);
}
for (const fault of faults) console.error(`gas drifted by more than ${TOLERANCE * 100} %: ${fault}`);
process.exit(faults.length === 0 ? 0 : 1);
