/**
 * Runs `distri run-pixart --mode benchmark` with everything that N ranks can do, one after another, and writes one table: latency, time of a step,
 * memory and bytes. What the command refuses is listed below the table with its reason.
 *
 *   node dist/bench/dit/sweep.js [--random_weights pixart-mid] [--image_size 256] [--ranks 1,2,4] [--steps 6] [--test_times 3]
 *     [--csv table.csv]
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { BenchmarkRecord } from '../../src/app/records/benchmark-record.js';
import { toError } from '../../src/base/errors.js';
import { writeAtomically } from '../../src/base/file-io.js';
import { watchInterruption } from '../../src/base/interruption.js';
import { integer } from '../../src/commands/options/parsers.js';
import { markdownLine, markdownTable } from '../markdown.js';
import { sweepRuns } from './sweep-runs.js';
import { cells, columns, csvTable, sweepRow } from './sweep-table.js';

const command = fileURLToPath(new URL('../../../bin/distri.js', import.meta.url));

const { values } = parseArgs({
  options: {
    random_weights: { type: 'string', default: 'pixart-mid' },
    image_size: { type: 'string', default: '256' },
    ranks: { type: 'string', default: '1,2,4' },
    steps: { type: 'string', default: '6' },
    test_times: { type: 'string', default: '3' },
    csv: { type: 'string' },
  },
});

/** What one benchmark measured; rejects with the command's own message. */
async function measure(options: readonly string[], interruption: AbortSignal): Promise<BenchmarkRecord> {
  const folder = await mkdtemp(join(tmpdir(), 'distri-sweep-'));
  const json = join(folder, 'run.json');
  const common = {
    mode: 'benchmark',
    random_weights: values.random_weights,
    image_size: values.image_size,
    num_inference_steps: values.steps,
    warmup_times: '1',
    test_times: values.test_times,
    output_type: 'latent',
    json,
  };
  const fixed = Object.entries(common).flatMap(([name, value]) => [`--${name}`, value]);
  try {
    const given = [command, 'run-pixart', '--quiet', '--no_resolution_binning', ...fixed, ...options];
    await promisify(execFile)(process.execPath, given, { signal: interruption });
    return JSON.parse(await readFile(json, 'utf8')) as BenchmarkRecord;
  } catch (error) {
    interruption.throwIfAborted();
    const { stderr, message } = error as Error & { readonly stderr?: string };
    throw new Error(stderr?.trim().split('\n').at(-1) || message);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function sweep(interruption: AbortSignal): Promise<void> {
  const counts = values.ranks.split(',').map(integer('--ranks', 1));
  const rows: string[][] = [];
  const head = columns.map(({ title }) => title);
  console.log(
    `${values.random_weights}, ${values.image_size} px, ${values.steps} steps, calls measured: ${values.test_times}, on ${availableParallelism()} CPUs\n`,
  );
  console.log(markdownTable(head, []));
  const refused: string[] = [];
  for (const { ranks, name, options } of counts.flatMap(sweepRuns)) {
    try {
      const record = await measure(options, interruption);
      const row = cells(sweepRow(ranks, name, record));
      rows.push(row);
      console.log(markdownLine(row));
    } catch (error) {
      interruption.throwIfAborted();
      refused.push(`- ${ranks} ranks, ${name}: ${toError(error).message}`);
    }
  }
  if (refused.length > 0) console.log(`\nRefused or failed:\n${refused.join('\n')}`);
  if (values.csv !== undefined) {
    const csv = csvTable(head, rows);
    await writeAtomically(values.csv, (handle) => handle.writeFile(csv));
  }
  if (rows.length === 0) throw new Error('nothing could be measured');
}

const interruption = watchInterruption();
try {
  await sweep(interruption.signal);
} catch (error) {
  console.error(`sweep: ${toError(error).message}`);
  process.exitCode = 1;
} finally {
  interruption.dispose();
}
