// Compares the storage layout of every namespaced struct with what is checked in under layout/.
//   node tools/layout.mjs check    fails when a stored value would be read from another place or as another type
//   node tools/layout.mjs write    records the present layout (after a deliberate, compatible addition)
// Compatible: members added at the end of a namespace, or at the end of a struct that only mappings hold.
// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artifact, root } from './chain.mjs';

const folder = join(root, 'layout');
const SOURCES = ['RwaToken', 'ComplianceEngine', 'TokenFactory', 'DvpSettlement', 'PrimaryOffering', 'Distributor', 'RedemptionQueue', 'DocumentRegistry'];

/** A type with everything it contains, names of contracts reduced to `address`, ids of the compiler left out. */
function expand(id, types, inMapping, path = []) {
  const t = types[id];
  const label = t.label.replace(/^contract \w+$/, 'address').replace(/^enum [\w.]+$/, `uint${8 * Number(t.numberOfBytes)}`);
  if (path.includes(id)) return { type: label };
  const next = [...path, id];
  if (t.members) return { type: label, growable: inMapping, members: members(t.members, types, next) };
  if (t.encoding === 'mapping') return { type: 'mapping', key: types[t.key].label, value: expand(t.value, types, true, next) };
  if (t.base) return { type: label, base: expand(t.base, types, false, next) };
  return { type: label, bytes: Number(t.numberOfBytes) };
}

function members(list, types, path) {
  return list.map((m) => ({ name: m.label, slot: Number(m.slot), offset: m.offset, ...expand(m.type, types, false, path) }));
}

function current() {
  const { storage, types } = artifact('Layouts').storageLayout;
  return Object.fromEntries(storage.map((v) => [v.label, { members: members(types[v.type].members, types, [v.type]) }]));
}

function compare(old, now, where, growable, faults) {
  old.forEach((member, k) => {
    const found = now[k];
    const path = `${where}.${member.name}`;
    if (!found) return faults.push(`${path}: gone`);
    if (found.name !== member.name || found.slot !== member.slot || found.offset !== member.offset) {
      return faults.push(`${path}: now ${found.name} at slot ${found.slot} offset ${found.offset}, was slot ${member.slot} offset ${member.offset}`);
    }
    sameType(member, found, path, faults);
  });
  if (now.length > old.length && !growable) faults.push(`${where}: members added to a struct that is stored inline`);
}

function sameType(old, now, path, faults) {
  if (old.type !== now.type || old.bytes !== now.bytes || old.key !== now.key) {
    faults.push(`${path}: ${now.type} (was ${old.type})`);
    return;
  }
  if (old.members) compare(old.members, now.members, path, old.growable === true, faults);
  if (old.value) sameType(old.value, now.value, path, faults);
  if (old.base) sameType(old.base, now.base, path, faults);
}

function check() {
  const faults = [];
  for (const name of SOURCES) {
    const plain = artifact(name).storageLayout.storage;
    if (plain.length !== 0) faults.push(`${name}: variables outside its namespace: ${plain.map((v) => v.label).join(', ')}`);
  }
  const now = current();
  const known = readdirSync(folder).map((file) => file.replace(/\.json$/, ''));
  for (const name of known) {
    const old = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
    if (now[name]) compare(old.members, now[name].members, name, true, faults);
    else faults.push(`${name}: namespace gone`);
  }
  for (const name of Object.keys(now)) {
    if (!known.includes(name)) faults.push(`${name}: not recorded; run layout write`);
    else if (JSON.stringify(now[name]) !== JSON.stringify(JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')))) {
      if (faults.length === 0) faults.push(`${name}: compatible addition not recorded; run layout write`);
    }
  }
  return faults;
}

if (process.argv[2] === 'write') {
  mkdirSync(folder, { recursive: true });
  for (const [name, layout] of Object.entries(current())) {
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(layout, null, 2)}\n`);
  }
} else {
  const faults = check();
  for (const fault of faults) console.error(`storage layout: ${fault}`);
  if (faults.length === 0) console.log('storage layout: compatible with layout/');
  process.exit(faults.length === 0 ? 0 : 1);
}
