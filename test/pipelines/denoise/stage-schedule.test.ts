import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDevice } from '../../../src/engine/device.js';
import { SlotTable } from '../../../src/parallel/slots.js';
import { pipefusion } from '../../../src/parallel/strategies/pipefusion.js';
import { planTopology } from '../../../src/parallel/topology.js';
import {
  passExchange,
  reserveMessages,
  type StageModel,
} from '../../../src/pipelines/denoise/stage-schedule.js';
import { outlineOf } from '../../support/planned.js';

const STEPS = 5;
const { model, textTokens } = await outlineOf('pixart-mid');
const { blocks } = model;
assert.ok(blocks);
const latent = { rows: 32, columns: 16 };

/** The stages of every rank. */
function stagesOf(worldSize: number, sequenceDegree: number, numPipelinePatch: number, splitBatch: boolean) {
  const topology = planTopology({ worldSize, guided: true, splitBatch });
  const options = { warmupSteps: 0, numPipelinePatch, sequenceDegree };
  const plan = pipefusion.plan({ topology, options, model: { latent, ...model } });
  const shape = { batch: splitBatch ? 1 : 2, ...latent, textTokens };
  const { elementType } = openDevice();
  return topology.roles.map(
    (role): StageModel => ({
      model: { ...model, blocks: blocks as never },
      plan,
      topology,
      role,
      shape,
      elementType,
    }),
  );
}

/** Ranks, ranks of a stage, patches, and whether the batch of the guidance is split. */
const ways = [
  [1, 1, 1, false],
  [2, 1, 4, false],
  [3, 1, 3, false],
  [4, 2, 4, false],
  [4, 1, 2, true],
  [8, 2, 3, true],
] as const;

for (const [worldSize, lanes, patches, split] of ways) {
  const name = `${worldSize} ranks, ${lanes} to a stage, ${patches} patches${split ? ', split batch' : ''}`;
  test(`what a pass takes somebody gives, in time, and whom a slot is for takes it: ${name}`, () => {
    const stages = stagesOf(worldSize, lanes, patches, split);
    const [{ plan }] = stages as [StageModel];
    const table = new SlotTable(worldSize);
    const slots = reserveMessages(table, stages[0] as StageModel);
    for (let warmupSteps = 0; warmupSteps <= STEPS; warmupSteps++) {
      const given = new Map<string, number>();
      const taken = new Map<string, Set<number>>();
      const key = (rank: number, message: string, part: unknown, step: number) =>
        `${rank} ${message} ${plan.parts.indexOf(part as never)} ${step}`;
      for (const stage of stages) {
        const { rank } = stage.role;
        for (let step = 0; step < STEPS; step++) {
          for (const [index, part] of plan.partsOf(step, warmupSteps).entries()) {
            const { takes, gives, predictors } = passExchange(
              stage,
              { step, steps: STEPS, warmupSteps },
              part,
              index,
            );
            for (const message of gives) given.set(key(rank, message, part, step), step);
            const take = (from: number, message: string, of: unknown, when: number) => {
              const name = key(from, message, of, when);
              taken.set(name, new Set([...(taken.get(name) ?? []), rank]));
            };
            if (takes) {
              take(takes.from, takes.message, takes.part, takes.step);
              assert.ok(takes.step <= step && takes.step >= step - 1);
            }
            for (const other of predictors)
              if (other.rank !== rank) take(other.rank, 'prediction', part, step);
          }
        }
      }
      assert.deepEqual([...taken.keys()].sort(), [...given.keys()].sort(), `${warmupSteps} warm-up steps`);
      for (const [name, readers] of taken) {
        const [from, message, part] = name.split(' ');
        const index = slots.get(plan.parts[Number(part)] as never)?.[message as 'hidden'] as number;
        const { reads, bytes } = table.slot(index);
        assert.ok(bytes(Number(from)) > 0, name);
        const allowed = table.ranks.filter((rank) => rank !== Number(from) && reads(rank, Number(from)) > 0);
        assert.deepEqual([...readers].sort(), allowed, name);
      }
    }
  });
}
