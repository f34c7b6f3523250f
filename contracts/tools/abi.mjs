// ABIs of the suite for the hub and the front ends: abi/hub/<Contract>.json, only the ABI array, in a fixed order.
//   node tools/abi.mjs write | check     check fails when a file differs from the build, is missing or is left over
// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact, root } from './chain.mjs';

const folder = join(root, '..', 'abi', 'hub');
const CONTRACTS = [
  'ComplianceEngine', 'Distributor', 'DocumentRegistry', 'DvpSettlement', 'PrimaryOffering', 'RedemptionQueue',
  'RwaToken', 'TimelockController', 'TokenFactory', 'TokenPolicyView', 'VersionRegistry',
];
const ORDER = ['constructor', 'event', 'error', 'function', 'fallback', 'receive'];

const signature = (entry) => `${entry.name ?? ''}(${(entry.inputs ?? []).map((i) => i.type).join(',')})`;

function render(name) {
  const abi = [...artifact(name).abi];
  // The engine's libraries emit and revert in its name with what its interface declares, so its ABI is complete.
  abi.sort((a, b) => ORDER.indexOf(a.type) - ORDER.indexOf(b.type) || (signature(a) < signature(b) ? -1 : 1));
  return `[\n${abi.map((entry) => `  ${JSON.stringify(entry)}`).join(',\n')}\n]\n`;
}

if (process.argv[2] === 'write') {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of CONTRACTS) writeFileSync(join(folder, `${name}.json`), render(name));
} else {
  const faults = CONTRACTS.filter((name) => {
    const file = join(folder, `${name}.json`);
    return !existsSync(file) || readFileSync(file, 'utf8') !== render(name);
  }).map((name) => `abi/hub/${name}.json differs from the build; run contracts/run abi`);
  for (const file of existsSync(folder) ? readdirSync(folder) : []) {
    if (!CONTRACTS.includes(file.replace(/\.json$/, ''))) faults.push(`abi/hub/${file}: no such contract`);
  }
  for (const fault of faults) console.error(fault);
  if (faults.length === 0) console.log(`abi: ${CONTRACTS.length} files equal the build`);
  process.exit(faults.length === 0 ? 0 : 1);
}
