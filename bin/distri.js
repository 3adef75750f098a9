#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const parts = ['dist/program/cli.js', 'build/native/distri.node'];
const missing = parts.filter((part) => !existsSync(new URL(`../${part}`, import.meta.url)));

if (missing.length > 0) {
  console.error(`distri is not built (${missing.join(' and ')} missing): run \`npm run build\` in ${root}`);
  process.exit(1);
}
const { main } = await import('../dist/program/cli.js');
// Explicitly, because work that an interruption left behind would keep the process alive.
process.exit(await main(process.argv.slice(2)));
