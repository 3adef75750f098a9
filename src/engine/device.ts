import { DistriError, expected } from '../base/errors.js';
import type { StoredType } from '../checkpoint/formats/safetensors.js';
import type { Graph, GraphPart } from '../graph/graph.js';
import { Kernels } from '../graph/kernels/kernels.js';
import type { Layout } from '../graph/value.js';
import { availableMemory } from '../machine/memory.js';
import type { ElementType } from '../tensor/element-type.js';
import type { SimdLevel } from './addon.js';
import type { Executable, ExecutableOptions } from './executable.js';
import { exactSumBytes } from './lowered/command.js';
import { type LoweredPart, lower } from './lowered/lower.js';

/** What a rank computes on, and how. Chosen once for a run and handed to families, planner and ranks. */
export interface Device {
  readonly name: string;
  /** What runs programs on it. */
  readonly engine: EngineName;
  /** Of activations, and so of what ranks exchange. */
  readonly elementType: ElementType;
  /** Types in which it takes weights from files as they are; the first is what others are converted to. */
  readonly weightTypes: readonly StoredType[];
  /** Whether one copy of the weights serves all ranks at full speed, so that there is no choice. */
  readonly sharesWeights: boolean;
  /** Whether ranks load ONNX Runtime for it. */
  readonly usesOnnxRuntime: boolean;
  /** Runs after which a program is as fast as it will be. */
  readonly warmUpRuns: number;
  /** How images may lie in its memory. */
  readonly layouts: readonly Layout[];
  /** What a rank runs of a part, of engines that run commands of our own: what plans show and count. */
  readonly commands: ((part: GraphPart, rank: number) => LoweredPart) | undefined;
  /** What models are built of. */
  kernels(graph: Graph): Kernels;
  load(part: GraphPart, options: ExecutableOptions): Promise<Executable>;
  /** Bytes that can still be allocated. */
  freeBytes(): number;
}

/** Names of `--dtype`, as torch's users write them, and the element types that they mean. */
const dtypes = { fp32: 'float32', bf16: 'bfloat16' } as const satisfies Readonly<Record<string, ElementType>>;
export type DtypeName = keyof typeof dtypes;
export const dtypeNames = Object.keys(dtypes) as readonly DtypeName[];

/** Names of `--engine`, see docs/engines.md. */
export const engineNames = ['onnxruntime', 'lowered'] as const;
export type EngineName = (typeof engineNames)[number];

/** What all CPUs have in common, whatever runs on them. */
const cpu = {
  name: 'cpu',
  weightTypes: ['F32'],
  kernels: (graph: Graph) => new Kernels(graph),
  freeBytes: () => availableMemory(),
} as const;

/** float32 on any CPU, by ONNX Runtime: the reference that everything else is compared with. */
const onnxruntime: Device = {
  ...cpu,
  engine: 'onnxruntime',
  elementType: 'float32',
  layouts: ['row_major'],
  commands: undefined,
  sharesWeights: false,
  usesOnnxRuntime: true,
  // Only the second one uses the memory that ONNX Runtime plans after the first.
  warmUpRuns: 2,
  load: async (part, options) => {
    // A process that only plans runs nothing.
    const { SessionExecutable } = await import('./onnxruntime/session-executable.js');
    return SessionExecutable.load(part, options);
  },
};

/** Commands of kernels of our own. */
function lowered(elementType: ElementType): Device {
  return {
    ...cpu,
    engine: 'lowered',
    kernels: (graph) => new Kernels(graph, { statisticBytes: exactSumBytes, framesImages: true }),
    elementType,
    layouts: ['channels_last'],
    commands: (part, rank) => lower(part, elementType, rank),
    sharesWeights: true,
    usesOnnxRuntime: false,
    warmUpRuns: 1,
    load: async (part, options) => {
      const { ProgramExecutable } = await import('./lowered/program-executable.js');
      return ProgramExecutable.load(part, elementType, options);
    },
  };
}

const devices: readonly Device[] = [onnxruntime, lowered('float32'), lowered('bfloat16')];

/** Which device a run asks for; it travels to the ranks. */
export interface DeviceChoice {
  readonly device: string;
  readonly engine: EngineName;
  readonly dtype: DtypeName;
}

/** All that can be asked for. */
export const deviceChoices: readonly DeviceChoice[] = devices.map(choiceOf);

/** How a device is asked for; `auto` is as good as nothing. */
export interface AskedDevice {
  readonly dtype?: DtypeName | 'auto' | undefined;
  readonly engine?: EngineName | 'auto' | undefined;
}

/** Levels whose instructions multiply bfloat16: there it is faster than float32, elsewhere slower. */
const bfloat16Levels: readonly SimdLevel[] = ['bf16', 'amx'];

/**
 * By a CPU's level and the element type the engine that was measured to be the faster one: docs/engines.md.
 */
const fasterEngines: Readonly<Record<SimdLevel, Readonly<Record<DtypeName, EngineName>>>> = {
  narrow: { fp32: 'onnxruntime', bf16: 'lowered' },
  v3: { fp32: 'lowered', bf16: 'lowered' },
  v4: { fp32: 'lowered', bf16: 'lowered' },
  bf16: { fp32: 'lowered', bf16: 'lowered' },
  amx: { fp32: 'lowered', bf16: 'lowered' },
};

/**
 * The fastest device that is as asked for, on a CPU of this level: of element types the shortest that it
 * multiplies as it is, of engines the faster one in that type. What this build can't compute is refused.
 */
export function chooseDevice(asked: AskedDevice, level: SimdLevel): DeviceChoice {
  const { dtype = 'auto', engine = 'auto' } = asked;
  if (dtype !== 'auto' && !dtypeNames.includes(dtype))
    throw expected(`one of auto, ${dtypeNames.join(', ')}`, 'the dtype', dtype);
  if (engine !== 'auto' && !engineNames.includes(engine))
    throw expected(`one of auto, ${engineNames.join(', ')}`, 'the engine', engine);
  const fastest: DtypeName = bfloat16Levels.includes(level) ? 'bf16' : 'fp32';
  const speed = (choice: DeviceChoice) =>
    2 * Number(choice.dtype === fastest) + Number(choice.engine === fasterEngines[level][choice.dtype]);
  const found = deviceChoices
    .filter(
      (choice) =>
        (dtype === 'auto' || choice.dtype === dtype) && (engine === 'auto' || choice.engine === engine),
    )
    .toSorted((a, b) => speed(b) - speed(a));
  if (found[0]) return found[0];
  const others = deviceChoices.filter((choice) => choice.dtype === dtype).map((choice) => choice.engine);
  throw new DistriError(
    'unsupported',
    `--engine ${engine} has no ${dtype}; --engine ${others.join(' or ')} has`,
  );
}

/** The one of this type that runs commands of our own. */
export function loweredDevice(dtype: DtypeName): DeviceChoice {
  return choiceOf(lowered(dtypes[dtype]));
}

/** What all others are compared with, and what computes where nothing can be asked for. */
export const referenceDevice: DeviceChoice = choiceOf(onnxruntime);

/** The device of a choice. */
export function openDevice(choice: DeviceChoice = referenceDevice): Device {
  const found = devices.find((device) => sameChoice(choiceOf(device), choice));
  if (found) return found;
  const all = devices.map((device) => Object.values(choiceOf(device)).join(' ')).join(', ');
  throw expected(`one of ${all}`, 'the device', Object.values(choice).join(' '));
}

/** How a device is asked for. */
export function choiceOf({
  name,
  engine,
  elementType,
}: Pick<Device, 'name' | 'engine' | 'elementType'>): DeviceChoice {
  const dtype = dtypeNames.find((candidate) => dtypes[candidate] === elementType) as DtypeName;
  return { device: name, engine, dtype };
}

/** For people: "bf16 by lowered". */
export function deviceText({ dtype, engine }: DeviceChoice): string {
  return `${dtype} by ${engine}`;
}

function sameChoice(a: DeviceChoice, b: DeviceChoice): boolean {
  return a.device === b.device && a.engine === b.engine && a.dtype === b.dtype;
}
