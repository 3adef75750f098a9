import { closeSync } from 'node:fs';
import type { Addon, RunOptions } from '../engine/addon.js';
import { type Channel, channels } from './channels.js';
import { startError } from './start-error.js';

/** The only way so far for the ranks of a run to exchange data. */
const TRANSPORT = 'shm';

/**
 * Descriptors of what the processes of a run share: the control block, then the segments of all ranks,
 * channel after channel.
 */
export type RunMemory = readonly number[];

/** How many there are for so many ranks. */
export function runMemorySize(worldSize: number): number {
  return 1 + channels.length * worldSize;
}

/** Makes all of them, or none. */
export function createRunMemory(addon: Addon, worldSize: number): RunMemory {
  const memory: number[] = [];
  try {
    memory.push(addon.createSharedMemory('distri-control'));
    for (const channel of channels) {
      for (let rank = 0; rank < worldSize; rank++) {
        memory.push(addon.createSharedMemory(`distri-${channel}-${rank}`));
      }
    }
    return memory;
  } catch (error) {
    closeRunMemory(memory);
    throw startError('The ranks', error);
  }
}

export function closeRunMemory(memory: RunMemory): void {
  for (const descriptor of memory) closeSync(descriptor);
}

export function runOptions(memory: RunMemory, worldSize: number): RunOptions {
  return { transport: TRANSPORT, worldSize, channels: channels.length, controlFd: memory[0] as number };
}

/** The segments of a channel, in rank order. */
export function segmentsOf(memory: RunMemory, worldSize: number, channel: Channel): readonly number[] {
  const first = 1 + channels.indexOf(channel) * worldSize;
  return memory.slice(first, first + worldSize);
}
