// Runs the tests in a real browser, and prints the name of each check and how long it took.
//
//   node run.mjs PATH_TO_POSTROOM [--shots DIRECTORY] [FILE…]
//
// Each file has daemons and a browser of its own, and two run at a time. `FILE` is the name of one of them, such as
// `drafts`. With `--shots` the walk keeps a picture of each page.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { run } from 'node:test';

const args = process.argv.slice(2);
const flag = args.indexOf('--shots');
const [, shots] = flag < 0 ? [] : args.splice(flag, 2);
const [binary, ...only] = args;
const folder = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
// Those that take longest start first.
const all = ['walk', 'drafts', 'outage', 'bulk', 'hostile', 'live', 'addresses', 'look'];
const unknown = only.find((it) => !all.includes(it));
if (!binary || !fs.existsSync(binary) || (flag >= 0 && !shots) || unknown) {
  console.error(`usage: node run.mjs PATH_TO_POSTROOM [--shots DIRECTORY] [FILE…]\nfiles: ${all.join(', ')}`);
  process.exit(2);
}
process.env.POSTROOM = path.resolve(binary);
if (shots) process.env.SHOTS = path.resolve(shots);

const files = all.filter((it) => only.length === 0 || only.includes(it)).map((it) => path.join(folder, `${it}.test.mjs`));
const failed = [];
let count = 0;
const begun = Date.now();
const seconds = (ms) => `${(ms / 1000).toFixed(1).padStart(6)} s`;
const stream = run({ files, concurrency: Math.min(2, os.availableParallelism()), timeout: 300_000 });
for await (const { type, data } of stream) {
  const theme = data?.file && path.basename(data.file, '.test.mjs');
  if (type === 'test:stderr' || type === 'test:stdout') process.stderr.write(data.message);
  if (type !== 'test:pass' && type !== 'test:fail') continue;
  // A file is told of, too, as if it were a test.
  const isFile = files.includes(data.name);
  if (isFile && type === 'test:pass') continue;
  if (!isFile) count += 1;
  const why = data.details.error?.cause ?? data.details.error;
  const word = type === 'test:fail' ? 'FAILED' : data.skip !== undefined ? 'skipped' : 'ok';
  console.log(`${word.padEnd(7)} ${seconds(data.details.duration_ms)}  ${theme}: ${isFile ? 'the file' : data.name}`);
  if (data.skip) console.log(`                   ${data.skip}`);
  if (word === 'FAILED' && (data.details.error?.failureType !== 'subtestsFailed')) {
    failed.push(`${theme}: ${data.name}\n${why?.stack ?? why}`);
  }
}
console.log(`${count} checks in ${seconds(Date.now() - begun).trim()}`);
if (failed.length > 0) {
  console.error(`\n${failed.length} failed:\n\n${failed.join('\n\n')}`);
  process.exit(1);
}
