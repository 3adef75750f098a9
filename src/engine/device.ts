import { expected } from '../base/errors.js';
import type { StoredType } from '../checkpoint/formats/safetensors.js';
import type { Graph, GraphPart } from '../graph/graph.js';
import { Kernels } from '../graph/kernels/kernels.js';
import type { Layout } from '../graph/value.js';
import { availableMemory } from '../machine/memory.js';
import type { ElementType } from '../tensor/element-type.js';
import type { Executable, ExecutableOptions } from './executable.js';

/** What a rank computes on, and how. Chosen once for a run and handed to families, planner and ranks. */
export interface Device {
  readonly name: string;
  /** What runs programs on it. */
  readonly engine: string;
  /** Of activations, and so of what ranks exchange. */
  readonly elementType: ElementType;
  /** Types in which it takes weights from files as they are; the first is what others are converted to. */
  readonly weightTypes: readonly StoredType[];
  /** How images may lie in its memory. */
  readonly layouts: readonly Layout[];
  /** What models are built of. */
  kernels(graph: Graph): Kernels;
  load(part: GraphPart, options: ExecutableOptions): Promise<Executable>;
  /** Bytes that can still be allocated. */
  freeBytes(): number;
}

/** float32 on any CPU, by ONNX Runtime: the reference that everything else is compared with. */
const cpu: Device = {
  name: 'cpu',
  engine: 'onnxruntime',
  elementType: 'float32',
  weightTypes: ['F32'],
  layouts: ['row_major'],
  kernels: (graph) => new Kernels(graph),
  load: async (part, options) => {
    // A process that only plans runs nothing.
    const { SessionExecutable } = await import('./onnxruntime/session-executable.js');
    return SessionExecutable.load(part, options);
  },
  freeBytes: () => availableMemory(),
};

/** Names of `--dtype`, as torch's users write them, and the element types that they mean. */
const dtypes = { fp32: 'float32' } as const satisfies Readonly<Record<string, ElementType>>;
/** Of `--dtype`: what weights and activations are computed in. @useDeclaredType */
export type DtypeName = keyof typeof dtypes;

const devices: readonly Device[] = [cpu];

/** Which device a run asks for; it travels to the ranks. */
export interface DeviceChoice {
  /** Name of a device that this build knows: cpu. */
  readonly device: string;
  /** Of weights and activations. */
  readonly dtype: DtypeName;
}

/** What is chosen where nothing is asked for. */
export const defaultDevice: DeviceChoice = { device: 'cpu', dtype: 'fp32' };

/** The device of a choice. What this build can't compute is refused. */
export function openDevice({ device, dtype }: DeviceChoice = defaultDevice): Device {
  const named = devices.filter(({ name }) => name === device);
  if (named.length === 0) {
    throw expected(
      `one of ${[...new Set(devices.map(({ name }) => name))].join(', ')}`,
      'the device',
      device,
    );
  }
  const found = named.find(({ elementType }) => elementType === dtypes[dtype]);
  if (found === undefined) throw expected(`one of ${Object.keys(dtypes).join(', ')}`, 'the dtype', dtype);
  return found;
}
