import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { planRun } from '../../src/app/plan-run.js';
import { DistriError } from '../../src/base/errors.js';
import { table } from '../../src/commands/output/table.js';
import { type DtypeName, dtypeNames, loweredDevice } from '../../src/engine/device.js';
import { integer, integers, oneOf, option, runBench, word, words } from '../bench.js';
import { heaviestLayers, operationsOf, type ProductLayer } from './layers.js';
import { wordsOf } from './words.js';

const options = {
  random_weights: option(word('name'), 'architecture of the noise model', 'sdxl-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 512),
  dtype: option(oneOf(dtypeNames), 'element type', 'bf16'),
  layers: option(integer(), 'layers that are measured, those with most operations in a step', 20),
  only: option(words('text'), 'of these those with this text in their title', []),
  threads: option(integers(), 'threads', [1, 2]),
  weights: option(oneOf(['cold', 'warm']), 'in no cache before a call, as in a step, or in all', 'cold'),
  rounds: option(integer(), 'turns of each, of three calls', 6),
};

/** What oneDNN may use where DISTRI_SIMD names what distri may. */
const onednnLevels: Readonly<Record<string, string>> = {
  narrow: 'SSE41',
  v3: 'AVX2',
  v4: 'AVX512_CORE',
  bf16: 'AVX512_CORE_BF16',
  amx: 'AVX512_CORE_AMX',
};

await runBench(
  {
    name: 'kernels',
    text:
      'Convolutions and linear layers of a step, as its commands compute them, in turns with the fastest of ' +
      "oneDNN's ways to compute the same, where its library is: GFLOP/s of the layer as it is defined.",
    options,
  },
  async ({ random_weights: name, image_size: size, dtype, layers: count, only, threads, ...how }, signal) => {
    const layers = (await layersOf(name, size, dtype))
      .slice(0, count)
      .filter(({ title }) => only.every((part) => title.includes(part)));
    const input = wordsOf(layers, loweredDevice(dtype).dtype === 'bf16' ? 'bfloat16' : 'float32');
    const program = buildProgram();
    for (const number of threads) {
      console.log(`${dtype}, ${number} ${number === 1 ? 'thread' : 'threads'}, ${how.weights} weights`);
      const lines = await measure(program, [String(number), String(how.rounds), how.weights], input, signal);
      print(layers, lines);
    }
  },
);

async function layersOf(model: string, size: number, dtype: DtypeName): Promise<readonly ProductLayer[]> {
  const { commands } = await planRun(model, {
    randomWeights: true,
    measure: false,
    height: size,
    width: size,
    ranks: 1,
    commandsOf: 0,
    ...loweredDevice(dtype),
  });
  const step = commands?.parts.find(({ part }) => part === 'step');
  return heaviestLayers(step?.commands ?? []);
}

function buildProgram(): string {
  // From dist/bench/kernels.
  const build = fileURLToPath(new URL('../../../build/native', import.meta.url));
  const name = 'distri_product_bench';
  const { status, stderr, error } = spawnSync('cmake', ['--build', build, '--target', name], {
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new DistriError('native', `${name} can't be built: ${error?.message ?? stderr.trim()}`);
  return join(build, name);
}

/** Its lines of numbers, one for each layer. */
async function measure(
  program: string,
  args: readonly string[],
  input: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const level = onednnLevels[process.env.DISTRI_SIMD ?? ''];
  const env = { ...process.env, ...(level !== undefined && { ONEDNN_MAX_CPU_ISA: level }) };
  const child = spawn(program, args, { env, signal, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (status !== 0) throw new DistriError('native', `the program that measures ended with status ${status}`);
  return output.trimEnd().split('\n');
}

function print(layers: readonly ProductLayer[], lines: readonly string[]): void {
  let compared = false;
  const rows = layers.map(({ title, count, shape }, index) => {
    const [best, median, otherBest, otherMedian, way] = (lines[index] as string).split('\t');
    const speed = (seconds: string) => ((1e-9 * operationsOf(shape)) / Number(seconds)).toFixed(0);
    const own = [title, String(count), speed(best as string), speed(median as string)];
    if (otherBest === undefined || otherMedian === undefined) return own;
    compared = true;
    const ratio = (other: string, seconds: string) => (Number(other) / Number(seconds)).toFixed(2);
    return [
      ...own,
      ...[speed(otherBest), speed(otherMedian), way as string],
      ...[ratio(otherBest, best as string), ratio(otherMedian, median as string)],
    ];
  });
  const own = ['layer', 'a step', 'best', 'median'];
  const other = ["oneDNN's best", 'median', 'by', 'ratio of the best', 'of medians'];
  for (const line of table(compared ? [...own, ...other] : own, rows, [0, 6])) console.log(line);
  if (!compared) console.log('oneDNN was not found when this was built: there is nothing to compare with');
}
