import { readdirSync, readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { availableCpus, parseCpuList } from './cpus.js';
import { availableMemory } from './memory.js';

export interface NumaNode {
  readonly id: number;
  readonly cpus: readonly number[];
  readonly memoryBytes: number | undefined;
}

/** What there is to compute with. */
export interface Machine {
  readonly cpuModel: string;
  readonly architecture: string;
  readonly kernel: string;
  /** CPUs of the machine. */
  readonly cpus: number;
  /** Those that this process may run on. */
  readonly allowedCpus: number;
  /** How many it can keep busy: fewer where a control group limits its time. */
  readonly usableCpus: number;
  readonly numaNodes: readonly NumaNode[];
  readonly memoryBytes: number;
  /** What can be allocated without swapping, limits of control groups counted. */
  readonly availableBytes: number;
  /** Instruction sets that numeric kernels choose by, in the kernel's spelling. */
  readonly simd: readonly string[];
}

/** Instruction sets worth telling: x86-64 first, then 64-bit ARM. */
const instructionSets = [
  ...[
    'sse4_2',
    'avx',
    'f16c',
    'fma',
    'avx2',
    'avx_vnni',
    'avx512f',
    'avx512vl',
    'avx512_vnni',
    'avx512_bf16',
  ],
  ...['avx512_fp16', 'amx_tile', 'amx_bf16', 'amx_int8'],
  ...['asimd', 'asimdhp', 'asimddp', 'sve', 'sve2', 'bf16', 'i8mm'],
];

export function describeMachine(): Machine {
  const info = readText('/proc/cpuinfo') ?? '';
  const { ids, count } = availableCpus();
  return {
    cpuModel: cpuModel(),
    architecture: arch(),
    kernel: release(),
    cpus: cpus().length,
    allowedCpus: ids.length,
    usableCpus: count,
    numaNodes: readNumaNodes('/sys/devices/system/node'),
    memoryBytes: totalmem(),
    availableBytes: availableMemory(),
    simd: readInstructionSets(info),
  };
}

/** The processor's name, as it calls itself. */
export function cpuModel(): string {
  return cpus()[0]?.model.trim() || 'unknown';
}

/** Those of `instructionSets` that the text of /proc/cpuinfo has. */
export function readInstructionSets(cpuinfo: string): string[] {
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
  return instructionSets.filter((name) => flags.has(name));
}

/** The nodes below `folder`; none where the kernel was built without NUMA. */
export function readNumaNodes(folder: string): NumaNode[] {
  const names = readFolder(folder).filter((name) => /^node\d+$/.test(name));
  return names
    .map((name): NumaNode => {
      const kilobytes = /MemTotal:\s+(\d+) kB/.exec(readText(join(folder, name, 'meminfo')) ?? '')?.[1];
      return {
        id: Number(name.slice('node'.length)),
        cpus: parseCpuList(readText(join(folder, name, 'cpulist'))?.trim() ?? ''),
        memoryBytes: kilobytes === undefined ? undefined : 1024 * Number(kilobytes),
      };
    })
    .toSorted((a, b) => a.id - b.id);
}

function readFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
