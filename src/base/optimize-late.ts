import { setFlagsFromString } from 'node:v8';

/** Bytes of bytecode that a function runs before V8 optimizes it: twenty times as many as by default. */
const INTERRUPT_BUDGET = 20 * 66 * 1024;

/**
 * Has this process optimize only what runs for long. V8's compiler takes a thread of its own, which on the
 * CPU of a rank is time that loading lacks, and most of what is hot while models load is not run again.
 */
export function optimizeLate(): void {
  setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
}
