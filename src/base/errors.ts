import { abbreviate, printable, quote } from './quote.js';

/**
 * What went wrong, in a word that programs can test. Each has one exit status.
 * `usage` follows getopt's and commander's habit (2); the last three are what a shell reports for the signals
 * SIGHUP, SIGINT (Ctrl-C) and SIGTERM.
 */
export const exitStatus = {
  internal: 1,
  usage: 2,
  checkpoint: 3,
  unsupported: 4,
  native: 5,
  rank: 6,
  timeout: 7,
  output: 8,
  network: 9,
  dataset: 10,
  hangup: 129,
  interrupted: 130,
  terminated: 143,
} as const;

export type ErrorCode = keyof typeof exitStatus;

/**
 * An error whose message is for users: one line that says what, where and what would work. Whatever foreign
 * text is in it, it can be printed.
 */
export class DistriError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(printable(message), options);
    this.name = 'DistriError';
    this.code = code;
  }

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
