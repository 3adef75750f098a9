/**
 * `npm run soak`: many pictures in one process tree, and what its processes hold meanwhile. Fails when that
 * grows.
 */
import { type Footprint, slope } from './footprint.js';
import { type Sample, soak, variations } from './soaking.js';

const count = Number(process.argv[2] ?? 200);
/** The share of the pictures until which caches and heaps fill. */
const SETTLING = 0.25;
const MEBIBYTE = 2 ** 20;
/**
 * Per picture and process. JavaScript's heap grows in steps of 16 MiB, a leaked graph would be more than a
 * MiB each time.
 */
const LIMIT_BYTES = 256 * 1024;

const columns: readonly { title: string; read(held: Footprint): number }[] = [
  { title: 'RssAnon MiB', read: ({ anonymous }) => Math.round(anonymous / MEBIBYTE) },
  { title: 'descriptors', read: ({ descriptors }) => descriptors },
  { title: 'threads', read: ({ threads }) => threads },
  { title: 'shared KiB', read: ({ shared }) => Math.round(shared / 1024) },
  { title: 'mappings', read: ({ mappings }) => mappings },
];
const WIDTH = 16;

for (const [name, turns] of [
  ['the same size and mode: models stay loaded', variations.slice(0, 1)],
  ['sizes and modes in turn: models are loaded for each picture', variations],
] as const) {
  const samples = await soak(count, turns, (done) => {
    if (done % 20 === 0) process.stderr.write(`${done}/${count}\n`);
  });
  console.log(`\n${count} pictures, ${name}`);
  for (const line of table(samples, turns.length)) console.log(line);
  if (leaks(samples, turns.length)) {
    console.error('distri: something grows');
    process.exitCode = 1;
  }
}

/** Without the pictures during which caches fill. */
function settled(samples: readonly Sample[]): readonly Sample[] {
  return samples.slice(Math.floor(samples.length * SETTLING));
}

/** First, middle and last of the settled samples, all after the same kind of picture of `kinds`. */
function moments(samples: readonly Sample[], kinds: number): readonly Sample[] {
  const last = samples.length - 1;
  const first = last - kinds * Math.floor((last * (1 - SETTLING)) / kinds);
  const middle = last - kinds * Math.floor((last - first) / 2 / kinds);
  return [first, middle, last].map((index) => samples[index] as Sample);
}

function growth(samples: readonly Sample[], process: number): number {
  return slope(settled(samples).map((sample) => (sample[process] as Footprint).anonymous));
}

function table(samples: readonly Sample[], kinds: number): string[] {
  const shown = moments(samples, kinds);
  const titles = [...columns.map(({ title }) => title), 'KiB/picture'];
  const rows = [...(samples[0] as Sample).keys()].map((process) => {
    const cells = columns.map(({ read }) =>
      shown.map((sample) => read(sample[process] as Footprint)).join(' '),
    );
    const name = process === 0 ? 'parent' : `rank ${process - 1}`;
    return [name, ...cells, (growth(samples, process) / 1024).toFixed(1)];
  });
  return [['', ...titles], ...rows].map(([name = '', ...cells]) =>
    [name.padEnd(8), ...cells.map((cell) => cell.padStart(WIDTH))].join(''),
  );
}

/**
 * Whether memory grows all the time, or there are more descriptors, mappings or shared memory than in the
 * middle.
 */
function leaks(samples: readonly Sample[], kinds: number): boolean {
  const [, middle, last] = moments(samples, kinds);
  return [...(samples[0] as Sample).keys()].some((process) => {
    const before = middle?.[process] as Footprint;
    const after = last?.[process] as Footprint;
    const counts = ['descriptors', 'mappings', 'shared'] as const;
    return growth(samples, process) > LIMIT_BYTES || counts.some((key) => after[key] > before[key]);
  });
}
