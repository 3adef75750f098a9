import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DistriError, type ErrorCode } from '../../../src/base/errors.js';
import { distribute, type Worker } from '../../../src/ranks/group/distribute.js';

/** What befalls a task at one attempt: it is refused, or its worker dies with an error of this code. */
type Fate = 'refused' | { readonly dies: ErrorCode };

interface Outcome {
  readonly done: number[];
  readonly failed: [task: number, message: string][];
  /** Workers started, by lane. */
  readonly started: number[];
  /** Workers that were not closed. */
  readonly open: number;
}

/** Distributes the tasks 0, 1, …; `fates[task]` are the fates of its attempts. */
async function distributed(
  count: number,
  lanes: number,
  fates: Readonly<Record<number, readonly Fate[]>>,
  interruption = new AbortController().signal,
): Promise<Outcome> {
  const outcome = {
    done: [] as number[],
    failed: [] as [number, string][],
    started: [] as number[],
    open: 0,
  };
  const attempts = new Map<number, number>();
  const start = async (lane: number): Promise<Worker<number>> => {
    outcome.started.push(lane);
    outcome.open += 1;
    let dead = false;
    return {
      get dead() {
        return dead;
      },
      run: async (task) => {
        await turn();
        assert.ok(!dead, 'a dead worker was given a task');
        const attempt = attempts.get(task) ?? 0;
        attempts.set(task, attempt + 1);
        const fate = fates[task]?.[attempt];
        if (fate === 'refused') throw new DistriError('output', 'refused');
        if (fate !== undefined) {
          dead = true;
          throw new DistriError(fate.dies, `died of ${fate.dies}`);
        }
        outcome.done.push(task);
      },
      close: async () => {
        outcome.open -= 1;
      },
    };
  };
  await distribute({
    tasks: Array.from({ length: count }, (_, task) => task),
    lanes,
    start,
    failed: (task, error) => outcome.failed.push([task, (error as Error).message]),
    interruption,
  });
  return outcome;
}

test('tasks are shared by the lanes, each with one worker', async () => {
  const { done, failed, started, open } = await distributed(5, 2, {});
  assert.deepEqual([done.sort(), failed, started, open], [[0, 1, 2, 3, 4], [], [0, 1], 0]);
});

test('a task that is refused is lost alone, its worker stays', async () => {
  const { done, failed, started } = await distributed(3, 1, { 1: ['refused', 'refused'] });
  assert.deepEqual([done, failed, started], [[0, 2], [[1, 'refused']], [0]]);
});

test('a task whose worker was killed is tried once more, by a new worker', async () => {
  const { done, failed, started, open } = await distributed(3, 1, { 1: [{ dies: 'rank' }] });
  assert.deepEqual([done, failed, started, open], [[0, 1, 2], [], [0, 0], 0]);
});

test('a task whose workers die twice is lost, the others are not', async () => {
  const { done, failed, started } = await distributed(3, 1, { 1: [{ dies: 'rank' }, { dies: 'timeout' }] });
  assert.deepEqual([done, failed, started], [[0, 2], [[1, 'died of timeout']], [0, 0, 0]]);
});

test('a worker that dies of what would happen again is replaced without a second attempt', async () => {
  const { done, failed, started } = await distributed(2, 1, { 0: [{ dies: 'checkpoint' }] });
  assert.deepEqual([done, failed, started], [[1], [[0, 'died of checkpoint']], [0, 0]]);
});

test('when workers only ever die, it ends', async () => {
  const dies = [{ dies: 'checkpoint' }] as const;
  const { done, failed, started, open } = await distributed(5, 1, { 0: dies, 1: dies, 2: dies });
  assert.deepEqual([done, started.length, open], [[], 3, 0]);
  assert.deepEqual(
    failed.map(([task]) => task),
    [0, 1, 2, 3, 4],
  );
  assert.match(failed[4]?.[1] ?? '', /^was not begun: ranks failed 3 times in a row$/);
});

test('the other lanes take over what a lane that gave up leaves', async () => {
  const dies = [{ dies: 'checkpoint' }] as const;
  const { done, failed } = await distributed(9, 2, { 0: dies, 2: dies, 4: dies });
  assert.deepEqual(
    [done.sort(), failed.map(([task]) => task)],
    [
      [1, 3, 5, 6, 7, 8],
      [0, 2, 4],
    ],
  );
});

test('an interruption ends it with its reason', async () => {
  const interruption = new AbortController();
  const reason = new DistriError('interrupted', 'Interrupted by SIGINT');
  setImmediate(() => interruption.abort(reason));
  await assert.rejects(distributed(100, 2, {}, interruption.signal), reason);
});
