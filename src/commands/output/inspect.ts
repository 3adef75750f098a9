import { bytesText } from '../../base/numbers.js';
import type { SimdLevel } from '../../engine/addon.js';
import type { Transport } from '../../engine/transports.js';
import type { ExchangeFigures, Latency } from '../../machine/exchange-figures.js';
import type { Machine, NumaNode } from '../../machine/machine.js';
import type { Versions } from '../../machine/versions.js';
import { table } from './table.js';

/** What `distri inspect` found; its `--json`. */
export interface Inspection {
  readonly machine: Machine;
  readonly versions: Versions;
  readonly addon: {
    readonly usable: boolean;
    readonly path: string | undefined;
    /** Of ONNX Runtime. */
    readonly library: string | undefined;
    /** What kernels are chosen for, `DISTRI_SIMD` considered. */
    readonly simdLevel: SimdLevel | undefined;
    /** Why it is not usable. */
    readonly reason: string | undefined;
  };
  readonly transports: readonly Transport[];
  /** Undefined where nothing was measured. */
  readonly exchange: ExchangeFigures | undefined;
}

export function inspectionLines({ machine, versions, addon, transports, exchange }: Inspection): string[] {
  return [
    ...section('machine', machineRows(machine)),
    ...section('versions', versionRows(versions)),
    ...section('native addon', addonRows(addon)),
    ...section(
      'transports',
      transports.map(({ name, available, reason }) => [name, `${available ? 'yes' : 'no'}: ${reason}`]),
    ),
    ...(exchange === undefined ? [] : exchangeLines(exchange)),
  ];
}

type Row = readonly [name: string, value: string];

function section(title: string, rows: readonly Row[]): string[] {
  return [title, ...rows.map(([name, value]) => `  ${name.padEnd(13)} ${value}`), ''];
}

function machineRows(machine: Machine): Row[] {
  const { cpus, allowedCpus, usableCpus, memoryBytes, availableBytes, simd } = machine;
  const nodes = machine.numaNodes.map(describeNode);
  return [
    ['CPU', `${machine.cpuModel} (${machine.architecture}), Linux ${machine.kernel}`],
    ['cores', `${cpus}; ${allowedCpus} of them allowed, time for ${usableCpus}`],
    ['NUMA', nodes.length === 0 ? 'not reported' : nodes.join('; ')],
    ['memory', `${bytesText(memoryBytes)}, ${bytesText(availableBytes)} available`],
    ['SIMD', simd.join(' ') || 'none known'],
  ];
}

function describeNode({ id, cpus, memoryBytes }: NumaNode): string {
  const memory = memoryBytes === undefined ? '' : `, ${bytesText(memoryBytes)}`;
  return `node ${id}: ${cpus.length} CPUs${memory}`;
}

function versionRows({ distri, node, onnxRuntime, sharp, libvips }: Versions): Row[] {
  return [
    ['distri', distri],
    ['Node.js', node],
    ['ONNX Runtime', onnxRuntime ?? 'not loaded'],
    ['sharp', sharp === undefined ? 'not loaded' : `${sharp} (libvips ${libvips})`],
  ];
}

function addonRows({ usable, path, library, simdLevel, reason }: Inspection['addon']): Row[] {
  if (!usable) return [['usable', `no: ${reason?.replaceAll('\n', `\n${' '.repeat(16)}`)}`]];
  return [
    ['usable', 'yes'],
    ['path', path ?? ''],
    ['ONNX Runtime', library ?? ''],
    ['kernels', simdLevel ?? ''],
  ];
}

function exchangeLines({ ranks, barrier, roundTrip, gathers }: ExchangeFigures): string[] {
  const rows = gathers.map(({ bytes, time, algorithmBandwidth, busBandwidth }) => [
    String(bytes),
    time.toFixed(2),
    algorithmBandwidth.toFixed(2),
    busBandwidth.toFixed(2),
  ]);
  const titles = ['size (B)', 'time (us)', 'algbw (GB/s)', 'busbw (GB/s)'];
  return [
    `shared memory between ${ranks} ranks`,
    `  barrier               ${latencyText(barrier)}`,
    `  64 B there and back   ${latencyText(roundTrip)}`,
    '  all-gather; algbw = size / time, busbw = algbw x (n - 1) / n',
    ...table(titles, rows).map((line) => `    ${line}`),
  ];
}

function latencyText({ p50, p99 }: Latency): string {
  return `p50 ${p50.toFixed(2)} us, p99 ${p99.toFixed(2)} us`;
}
