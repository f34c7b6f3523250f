// Reads lcov.info of `forge coverage`, sums the files under src/, and fails below the thresholds.
// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './chain.mjs';

const LINES_MIN = 95;
const BRANCHES_MIN = 90;

const totals = { LF: 0, LH: 0, BRF: 0, BRH: 0 };
let file = '';
let own = {};
for (const line of readFileSync(join(root, 'lcov.info'), 'utf8').split('\n')) {
  const [key, value] = [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)];
  if (key === 'SF') [file, own] = [value, { LF: 0, LH: 0, BRF: 0, BRH: 0 }];
  if (key in totals) own[key] = Number(value);
  if (line !== 'end_of_record' || !/(^|\/)src\//.test(file)) continue;
  for (const k of Object.keys(totals)) totals[k] += own[k];
  if (own.LH < own.LF || own.BRH < own.BRF) {
    console.log(`${file}: lines ${own.LH}/${own.LF}, branches ${own.BRH}/${own.BRF}`);
  }
}
const percent = (hit, found) => (found === 0 ? 0 : (100 * hit) / found);
const lines = percent(totals.LH, totals.LF);
const branches = percent(totals.BRH, totals.BRF);
console.log(`coverage of src/: lines ${lines.toFixed(2)} % (${totals.LH}/${totals.LF}), branches ${branches.toFixed(2)} % (${totals.BRH}/${totals.BRF})`);
if (lines < LINES_MIN || branches < BRANCHES_MIN) {
  console.error(`coverage: below ${LINES_MIN} % of lines or ${BRANCHES_MIN} % of branches`);
  process.exit(1);
}
