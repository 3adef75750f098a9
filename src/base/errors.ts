import { abbreviate, printable, quote } from './quote.js';

/**
 * What went wrong, in a word that programs can test. Each has one exit status.
 * `usage` follows getopt's and commander's habit (2); the last three are what a shell reports for the signals
 * SIGHUP, SIGINT (Ctrl-C) and SIGTERM.
 */
export const exitStatus = {
  /** A bug of distri's. */
  internal: 1,
  /** What was asked for can't be, or contradicts itself. */
  usage: 2,
  /** A model's files, or a config in them, are missing or damaged. */
  checkpoint: 3,
  /** The request makes sense, but distri does not do that. */
  unsupported: 4,
  /** The addon or ONNX Runtime: can't be loaded, or failed in its work. */
  native: 5,
  /** A rank process died or failed. */
  rank: 6,
  /** A rank gave no sign of life for the time that is allowed. */
  timeout: 7,
  /** A result can't be written: no room, no permission. */
  output: 8,
  /** The hub or a download: unreachable, refused or not what was promised. */
  network: 9,
  /** Captions or images of a data set, or pictures to compare, are missing or damaged. */
  dataset: 10,
  /** SIGHUP: the terminal was closed. */
  hangup: 129,
  /** SIGINT: Ctrl-C. */
  interrupted: 130,
  /** SIGTERM. */
  terminated: 143,
} as const;

/** The `code` of a `DistriError`. */
export type ErrorCode = keyof typeof exitStatus;

/**
 * An error whose message is for users: one line that says what, where and what would work. Whatever foreign
 * text is in it, it can be printed.
 */
export class DistriError extends Error {
  /** What kind of thing went wrong. */
  readonly code: ErrorCode;

  /** Control characters of `message` are replaced by escapes; `options` are those of `Error`. */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(printable(message), options);
    this.name = 'DistriError';
    this.code = code;
  }

  /** With which the command line ends for this error; see `exitStatus`. */
  get exitStatus(): number {
    return exitStatus[this.code];
  }
}

/**
 * The one way to refuse a value: "Expected a positive integer for --nproc_per_node but received 0".
 * The idiom is sharp's.
 */
export function expected(
  what: string,
  name: string,
  actual: unknown,
  code: ErrorCode = 'usage',
): DistriError {
  return new DistriError(code, `Expected ${what} for ${name} but received ${describe(actual)}`);
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  return typeof value === 'string' || typeof value === 'object' ? quote(value) : abbreviate(String(value));
}

/** Any thrown value as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** The same error, its message after where it happened: `rank 2, in step 3 of 20: …`. */
export function errorAt(where: string, thrown: unknown): Error {
  const error = toError(thrown);
  const message = `${where}: ${error.message}`;
  if (error instanceof DistriError) return new DistriError(error.code, message, { cause: error });
  const code = 'code' in error ? { code: error.code } : {};
  return Object.assign(new Error(message, { cause: error }), code);
}
