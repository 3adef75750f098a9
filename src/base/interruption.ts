import { setMaxListeners } from 'node:events';
import { DistriError, type ErrorCode } from './errors.js';

const interruptingSignals: Readonly<Record<string, ErrorCode>> = {
  SIGINT: 'interrupted',
  SIGTERM: 'terminated',
  SIGHUP: 'hangup',
};

/**
 * Turns the signals that ask a program to end into an AbortSignal whose reason is a DistriError, so that
 * whoever holds processes or files can end in order. `dispose` gives the signals their usual effect back.
 */
export function watchInterruption(): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  // Every group of ranks listens.
  setMaxListeners(0, controller.signal);
  const interrupt = (signal: NodeJS.Signals) => {
    controller.abort(
      new DistriError(interruptingSignals[signal] ?? 'interrupted', `Interrupted by ${signal}`),
    );
  };
  const signals = Object.keys(interruptingSignals) as NodeJS.Signals[];
  for (const signal of signals) process.on(signal, interrupt);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const signal of signals) process.off(signal, interrupt);
    },
  };
}

/**
 * `work`'s result, or the signal's reason as soon as it is aborted; `work` itself goes on unless it watches
 * the signal too.
 */
export async function unlessInterrupted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let interrupt = () => {};
  const interrupted = new Promise<never>((_, reject) => {
    interrupt = () => reject(signal.reason);
    signal.addEventListener('abort', interrupt, { once: true });
  });
  try {
    return await Promise.race([work, interrupted]);
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
}
