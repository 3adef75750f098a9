import { DistriError, type ErrorCode, exitStatus } from '../base/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Phase } from './progress.js';

/**
 * Where a child process finds the run's memory that it inherits: 0 to 2 are the standard streams, 3 is Node's
 * IPC channel.
 */
export const FIRST_DESCRIPTOR = 4;

/** What the parent tells a rank. The end of the channel means: end. */
export type ToRank<Job> =
  | {
      readonly type: 'start';
      readonly rank: number;
      readonly worldSize: number;
      /** See CommunicatorOptions.timeout. */
      readonly timeout: number;
    }
  | { readonly type: 'job'; readonly job: Job };

/** How far a rank is in its job. */
export type RankProgress =
  | { readonly type: 'phase'; readonly name: Phase; readonly event: 'start' | 'end' }
  | {
      readonly type: 'step';
      readonly step: number;
      readonly steps: number;
      /** After the step, where the job asks for them. */
      readonly latents?: Tensor<'float32'>;
    }
  /** Something that users should know; of a topic only the first of all notes. */
  | { readonly type: 'note'; readonly line: string; readonly topic?: string }
  /** What it does now, for messages: "in step 3 of 20, patch 2 of 4, stage 1 of 4". */
  | { readonly type: 'place'; readonly where: string };

/** What a rank tells the parent. After `refused` it waits for the next job, after `error` to be ended. */
export type FromRank<Result> =
  | { readonly type: 'ready' }
  | RankProgress
  | { readonly type: 'result'; readonly result: Result }
  | { readonly type: 'refused'; readonly error: ErrorReport }
  | { readonly type: 'error'; readonly error: ErrorReport };

/** An Error as it crosses processes. */
export interface ErrorReport {
  /** An ErrorCode, a NativeErrorCode, or undefined for other Errors. */
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

export function reportError(error: Error): ErrorReport {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return { code, message: error.message, stack: error.stack };
}

/** The error that the parent throws for what `rank` reported. */
export function reportedError(report: ErrorReport, rank: number): DistriError {
  const { code, message } = report;
  const error = isErrorCode(code)
    ? new DistriError(code, message)
    : new DistriError(nativeCodes[code ?? ''] ?? 'internal', withRank(message, rank));
  if (report.stack !== undefined) error.stack = report.stack;
  return error;
}

/** The addon's messages of an exchange name the rank themselves. */
function withRank(message: string, rank: number): string {
  return message.startsWith(`rank ${rank},`) ? `R${message.slice(1)}` : `Rank ${rank}: ${message}`;
}

const nativeCodes: Readonly<Record<string, ErrorCode>> = {
  ORT: 'native',
  COMM_TIMEOUT: 'timeout',
  COMM_ABORTED: 'rank',
  COMM_PROTOCOL: 'rank',
};

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(exitStatus, code);
}
