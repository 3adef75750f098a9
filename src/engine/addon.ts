import type { Tensor } from '../tensor/tensor.js';

/**
 * The typed mirror of native/addon.cc: the only place that knows the addon's shape.
 * src/engine/load.ts finds, probes and loads it.
 */
export interface Addon {
  /**
   * Loads libonnxruntime from `path` and returns its version ("1.30.0"). Once per process; a second call with
   * the same path returns the version again. Throws when the file can't be loaded or is a version whose C API
   * table is not the one declared in native/ort.
   */
  loadOnnxRuntime(path: string): string;
  /** An anonymous shared memory file (memfd, close-on-exec); returns its descriptor. */
  createSharedMemory(name: string): number;
  /**
   * Restricts this thread, and the threads it starts later, to these CPUs. Call it before any asynchronous
   * work.
   */
  setAffinity(cpus: readonly number[]): void;
  /**
   * Lets the kernel end this process with SIGKILL when its parent ends, however that happens and even while
   * this process is stopped. `parent` is who started it: if that one is gone already, so is this process.
   */
  dieWithParent(parent: number): void;
  /**
   * `_exit(status)`: ends the process at once, also while a session runs (process.exit would wait for the
   * run).
   */
  exitNow(status: number): never;

  /** Names of what `DISTRI_SIMD` can be, from the least instructions to the most. */
  readonly simdLevels: readonly SimdLevel[];
  /** What kernels are chosen for: the best that this processor has and `DISTRI_SIMD` allows. */
  readonly simdLevel: SimdLevel;
  /** The names of the ways for ranks to exchange data that this build has. */
  readonly transports: readonly string[];
  describeTransport(name: string): TransportDescription;

  readonly Liveness: new (options: RunOptions) => Liveness;
  readonly Communicator: new (options: CommunicatorOptions) => Communicator;
  /**
   * Takes part in a pattern of exchanges again and again, off the JavaScript thread and without JavaScript in
   * between. All ranks call it with the same options. Resolves to the nanoseconds of each time; empty for
   * ranks that only look on.
   */
  measureExchange(communicator: Communicator, options: ExchangeMeasurement): Promise<Float64Array>;
  readonly Program: {
    /** Checks commands and packs weights, off the JavaScript thread. */
    create(options: ProgramOptions): Promise<NativeProgram>;
  };
  packingLayout(dtype: PackedForm['dtype']): PackingLayout;
  /** A multiple of 64. */
  packedBytes(packed: PackedForm): number;
  /** Packs weights into `target`, one after the other, off the JavaScript thread. */
  packWeights(weights: readonly UnpackedWeight[], target: Uint8Array, threads: number): Promise<void>;
  /** 16 digits that tell damaged bytes of a file from whole ones; off the JavaScript thread. */
  checksum(file: string, offset: number, bytes: number, threads: number): Promise<string>;
  /**
   * Locks a byte of a file that is open for writing; false where another descriptor, of this process or
   * another, holds it. Held until the descriptor is closed or its process ends. Throws where the file system
   * has no locks.
   */
  tryLock(descriptor: number, byte: number): boolean;
  readonly Session: {
    /** Builds an ONNX Runtime session from a serialized ModelProto, off the JavaScript thread. */
    create(model: Uint8Array, options: SessionOptions): Promise<Session>;
  };
}

/** Instructions that kernels are compiled for: native/ops/levels.h. */
export type SimdLevel = 'narrow' | 'v3' | 'v4' | 'bf16' | 'amx';

export interface TransportDescription {
  /** What it serves for, for people. */
  readonly purpose: string;
  /** Why it can't be used here; undefined where it can. */
  readonly problem?: string;
}

/** Where the processes of a run find each other. */
export interface RunOptions {
  /** One of `transports`. */
  readonly transport: string;
  readonly worldSize: number;
  /** How many communicators a rank can have at the same time, each of a channel of its own. */
  readonly channels: number;
  /**
   * Descriptor of the control block, a shared memory file that the parent creates. The first to map it (the
   * parent) sizes it; a mapping for other numbers of ranks or channels is an error.
   */
  readonly controlFd: number;
}

/** Who of a run is alive, and whether it was given up: shared by the parent and all ranks. */
export interface Liveness {
  /**
   * Wakes every waiter of every rank with an `aborted` error. `rank` is who caused it, -1 for the parent.
   * Idempotent: the first caller stays.
   */
  abort(rank: number): void;
  /** The rank given to the first `abort`, or undefined while nobody aborted. */
  abortedBy(): number | undefined;
  /** Marks `rank` as alive now. */
  beat(rank: number): void;
  /** Milliseconds since the last `beat` of `rank`, or undefined before the first. */
  silence(rank: number): number | undefined;
}

/** A place where every rank can leave one array per tick (each is kept twice, by parity of the tick). */
export interface SlotSpec {
  readonly name: string;
  /** By publishing rank: size of what it publishes. */
  readonly bytes: readonly number[];
  /** By publishing rank: ranks that read it. */
  readonly readers: readonly (readonly number[])[];
}

export interface CommunicatorOptions extends RunOptions {
  readonly rank: number;
  readonly channel: number;
  /**
   * One shared memory file per rank, in rank order, of this channel alone. Each rank sizes its own and maps
   * everybody's.
   */
  readonly segmentFds: readonly number[];
  /** Equal on all ranks. */
  readonly slots: readonly SlotSpec[];
  /**
   * Bytes of memory that all ranks of this host together can be given now. What does not fit is refused: the
   * kernel would rather kill a process.
   */
  readonly headroom: number;
  /**
   * Milliseconds without a sign of life of a peer after which a wait for it fails. For a peer that is alive
   * ranks wait ten times as long, and at least ten minutes.
   */
  readonly timeout: number;
  /** 1 for the first communicator of this channel, then 2, … : equal on all ranks. */
  readonly generation: number;
}

/** What one rank has exchanged since it was created. */
export interface CommunicatorStatistics {
  /** Left for others to read, whoever reads it. */
  readonly bytesPublished: number;
  /** Read from others. */
  readonly bytesFetched: number;
  /** Milliseconds spent waiting for peers. */
  readonly waited: number;
}

export interface Communicator {
  /** Meets the peers and maps their segments. */
  connect(): Promise<void>;
  barrier(): Promise<void>;
  /** Copies `data` of rank `root` into `data` of the others. Same byte length on all ranks. */
  broadcast(data: Float32Array | BigInt64Array | Uint8Array, root: number): Promise<void>;
  /** Leaves `data`, of the slot's size, for the others to read at this tick; waits for nobody. */
  publish(slot: number, tick: number, data: Float32Array | Uint16Array): void;
  /** Copies what `peer` published in the slot at this tick, as long as `data`, into `data`; waits for it. */
  fetch(slot: number, peer: number, tick: number, data: Float32Array | Uint16Array): Promise<void>;
  statistics(): CommunicatorStatistics;
  /** Unmaps; the object is unusable afterwards. Sessions that use it must be released first. */
  close(): void;
}

export interface ExchangeMeasurement {
  /**
   * `round_trip`: rank 0 publishes, rank 1 reads and answers, rank 0 reads.
   * `all_gather`: every rank copies its part into shared memory, and everybody's out of it.
   */
  readonly pattern: 'barrier' | 'round_trip' | 'all_gather';
  /** The slot of these exchanges and of no others; a barrier has none. */
  readonly slot: number;
  readonly iterations: number;
}

export interface SessionOptions {
  /** Threads inside an operator, the calling one included. */
  readonly threads: number;
  /**
   * `shared` keeps weights in the page cache (no prepacking, no NCHWc copies): N ranks hold one copy.
   * `private` lets ONNX Runtime repack them: the fastest kernels, a copy per rank.
   */
  readonly weights: 'shared' | 'private';
  /**
   * What becomes of the memory of results that nobody reads any more: `kept` (by default) for the next run,
   * which is fast, or `freed` at once: a run needs no more than what is live at its fullest moment.
   */
  readonly memory?: 'kept' | 'freed';
  /** Needed when the graph has exchanging operators. */
  readonly communicator?: Communicator;
  /** Rank named in error messages (default 0). */
  readonly rank?: number;
  /**
   * Weights that are not in a file as the graph needs them: they take the place of the graph's external
   * initializers of these names. The session keeps them until it is released.
   */
  readonly initializers?: Readonly<Record<string, Tensor<'float32'>>>;
  /** Writes ONNX Runtime's per-node profile to `${profile}_<time>.json` when the session is released. */
  readonly profile?: string;
}

/**
 * What exchanging operators need to know of a step. Ticks count steps over the life of a communicator and
 * never repeat. An operator that may be stale reads its peers' data of `readTick`; with `readTick === tick`
 * the step is synchronous.
 */
export interface Step {
  /** Step within the image, for messages. */
  readonly call: number;
  readonly tick: number;
  readonly readTick: number;
  /** Whether operators that may be stale publish their data in this step. */
  readonly publish: boolean;
}

/** Commands in a row of numbers; see src/engine/lowered/encode.ts. */
export interface EncodedCommands {
  readonly operators: readonly string[];
  /** Of each command. */
  readonly names: readonly string[];
  readonly words: Float64Array;
}

/** One of the lists of a program. */
export interface EncodedList {
  /** What runs when values of the image are new. */
  readonly prepared: EncodedCommands;
  readonly commands: EncodedCommands;
}

/** Where the bytes of a weight are. */
export type WeightBytes =
  | { readonly file: string; readonly offset: number }
  | { readonly data: Tensor['data'] };

/** How the weight of a product is packed: `[features, segments, inner]`. */
export interface PackedForm {
  readonly features: number;
  readonly segments: number;
  readonly inner: number;
  readonly dtype: 'float32' | 'bfloat16';
  /** Halves of features are next to each other. */
  readonly geglu: boolean;
  /** Where segments are sums of the weight's own: factors `[segments, own segments]`. */
  readonly mix?: readonly number[];
}

/** A weight before it is packed, `[features, inner, segments]` of `dtype`. */
export type UnpackedWeight = {
  readonly bytes: number;
  readonly dtype: 'float32' | 'bfloat16';
  readonly packed: PackedForm;
} & WeightBytes;

/**
 * Memory that commands work on, by its place in the list from 1 on; 0 is the arena. An `unpacked` weight is
 * packed into memory of the program's own, a `packed` one lies in a file. `bytes` of both are those of the
 * weight as it is.
 */
export type ProgramBuffer =
  | { readonly kind: 'kept' | 'input' | 'output'; readonly bytes: number }
  | ({ readonly kind: 'weight'; readonly bytes: number } & WeightBytes)
  | ({ readonly kind: 'unpacked' } & UnpackedWeight)
  | {
      readonly kind: 'packed';
      readonly bytes: number;
      readonly packed: PackedForm;
      readonly file: string;
      /** A multiple of 64. */
      readonly offset: number;
    };

/** What decides on the bytes of packed weights, beside what they hold and their form. */
export interface PackingLayout {
  readonly version: number;
  /** Features that lie beside each other: a matter of the processor, and of DISTRI_SIMD. */
  readonly lanes: number;
}

export interface ProgramOptions {
  /** The calling one included. */
  readonly threads: number;
  readonly arenaBytes: number;
  readonly buffers: readonly ProgramBuffer[];
  /** Needed when commands exchange. */
  readonly communicator?: Communicator;
  /** Of which a run takes one. */
  readonly lists: readonly EncodedList[];
}

/** Lists of commands with their memory. */
export interface NativeProgram {
  /**
   * Runs a list off the JavaScript thread, its prepared commands first where `prepare` says that values of
   * the image are new. `arrays` are inputs and outputs in the order of their buffers, undefined where the
   * list has none of them. One run at a time.
   */
  run(
    list: number,
    arrays: readonly (Tensor['data'] | undefined)[],
    prepare: boolean,
    step?: Step,
  ): Promise<void>;
  /** How long each command of a list took in all calls so far, the prepared ones left out. */
  milliseconds(list: number): Float64Array;
  /** Frees all. Not during a run. */
  release(): void;
}

/** Rejections of `create` and `run` are Errors with one of these codes. */
export type NativeErrorCode = 'ORT' | 'PROGRAM' | 'COMM_TIMEOUT' | 'COMM_ABORTED' | 'COMM_PROTOCOL';

export interface Session {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /**
   * Runs the graph off the JavaScript thread. `outputs` are written in place (all of them preallocated).
   * One run at a time per session.
   */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, Tensor>>,
    step?: Step,
  ): Promise<void>;
  /** Makes a run in progress fail soon (between nodes; waiting operators are woken by Liveness.abort). */
  terminate(): void;
  /** Frees the session; writes the profile if there is one. Not during a run. */
  release(): void;
}
