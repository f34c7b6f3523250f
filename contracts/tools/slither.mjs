// Runs slither on src/ and fails on a high or medium finding without an explanation in tools/slither.explained.json, and on
// an explanation that no finding needs any more. Without Python it is a counted skip, which CI does not allow.
// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { root, tool } from './chain.mjs';

const VERSION = '0.11.6';
const venv = join(root, '..', '.toolchain', `slither-${VERSION}`);
const program = join(venv, 'bin', 'slither');

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  if (done.error) throw done.error;
  return done;
}

function skip(reason) {
  const line = `SKIP slither: ${reason}`;
  console.error(line);
  if (process.env.RWAHUB_TEST_SKIPS) appendFileSync(process.env.RWAHUB_TEST_SKIPS, `${line}\n`);
  process.exit(process.env.CI === 'true' ? 1 : 0);
}

if (!existsSync(program)) {
  console.log(`installing slither ${VERSION} into .toolchain/, once`);
  rmSync(venv, { recursive: true, force: true });
  for (const [command, args] of [['python3', ['-m', 'venv', venv]], [join(venv, 'bin', 'pip'), ['install', '-q', '--disable-pip-version-check', `slither-analyzer==${VERSION}`]]]) {
    const done = spawnSync(command, args, { encoding: 'utf8' });
    if (done.error?.code === 'ENOENT') skip(`no ${command}; install Python 3 with venv (Debian: apt-get install python3-venv)`);
    if (done.status !== 0) {
      rmSync(venv, { recursive: true, force: true });
      skip(`${command} ${args.join(' ')}: ${(done.stderr || done.stdout).trim().split('\n').at(-1)}`);
    }
  }
}
// It compiles from scratch, into a folder of its own so that the build stays as it is.
const out = join('cache', 'slither');
const report = join(root, out, 'slither.json');
mkdirSync(dirname(report), { recursive: true });
rmSync(report, { force: true });
const PATH = [dirname(tool('forge')), join(venv, 'bin'), process.env.PATH].join(delimiter);
const done = run(program, ['.', '--foundry-out-directory', join(out, 'out'), '--filter-paths', 'node_modules|test|script', '--exclude-low', '--exclude-informational', '--exclude-optimization', '--json', report], { env: { ...process.env, PATH, FOUNDRY_OUT: join(out, 'out'), FOUNDRY_CACHE_PATH: join(out, 'cache') } });
if (!existsSync(report)) throw new Error(`slither made no report\n${done.stdout}\n${done.stderr}`);
const { success, error, results } = JSON.parse(readFileSync(report, 'utf8'));
if (!success) throw new Error(`slither failed: ${error}`);

const explained = JSON.parse(readFileSync(join(root, 'tools', 'slither.explained.json'), 'utf8'));
const used = new Set();
const unexplained = [];
for (const finding of results.detectors ?? []) {
  const where = finding.elements.find((e) => e.type === 'function');
  const contract = where?.type_specific_fields.parent.name;
  const entry = explained.find((e) => e.check === finding.check && e.contract === contract && e.functions.includes(where.name));
  if (entry) used.add(`${entry.check} ${entry.contract} ${where.name}`);
  else unexplained.push(`${finding.impact} ${finding.check}: ${finding.description.split('\n')[0]}`);
}
const stale = explained.flatMap((e) => e.functions.map((f) => `${e.check} ${e.contract} ${f}`)).filter((key) => !used.has(key));
for (const text of unexplained) console.error(`unexplained: ${text}`);
for (const text of stale) console.error(`explained, but not found any more: ${text}`);
console.log(`slither ${VERSION}: ${(results.detectors ?? []).length} high or medium findings, ${unexplained.length} unexplained`);
process.exit(unexplained.length + stale.length === 0 ? 0 : 1);
