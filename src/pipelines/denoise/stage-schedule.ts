import type { LatentShape, NoiseModel } from '../../models/noise-model.js';
import type { ExchangeKind, SlotPlan, SlotTable } from '../../parallel/slots.js';
import type { PatchRows, StagePart, StagePlan } from '../../parallel/strategies/stage-plan.js';
import type { BlockStructure } from '../../parallel/strategy.js';
import type { RankRole, Topology } from '../../parallel/topology.js';
import { type ElementType, itemBytes } from '../../tensor/element-type.js';
import type { RowRange } from '../../tensor/rows.js';

/** What goes between ranks, each kind in slots of its own, one per part. */
const messages = {
  hidden: 'hidden_states',
  latents: 'latents',
  prediction: 'output',
} as const satisfies Readonly<Record<string, ExchangeKind>>;
export type Message = keyof typeof messages;

/** A noise model of blocks, of which a rank runs one stage. */
export interface StageModel {
  readonly model: NoiseModel & { readonly blocks: BlockStructure };
  readonly plan: StagePlan;
  readonly topology: Topology;
  readonly role: RankRole;
  /** Of this rank's batch. */
  readonly shape: LatentShape;
  /** Of what stages hand on; latents are float32 always. */
  readonly elementType: ElementType;
}

/** A message of another rank that a pass needs. */
export interface Taken {
  readonly message: Message;
  /** Whose slot it is in. */
  readonly part: StagePart;
  readonly from: number;
  /** The step that it was left in. */
  readonly step: number;
}

/**
 * What one rank exchanges for one part of one step: the one account of it, for those who run it and those who
 * plan it.
 */
export interface PassExchange {
  /** Before it computes; undefined where it has all that it needs. */
  readonly takes: Taken | undefined;
  /** What it leaves for others, in this order. */
  readonly gives: readonly Message[];
  /**
   * Those of the last stage whose predictions a rank of it puts together, itself among them; empty where its
   * own is all.
   */
  readonly predictors: readonly RankRole[];
}

/** Of step `step` of `steps`, for the part that is the `index`-th of the step. */
export function passExchange(
  { plan, topology, role }: Pick<StageModel, 'plan' | 'topology' | 'role'>,
  {
    step,
    steps,
    warmupSteps,
  }: { readonly step: number; readonly steps: number; readonly warmupSteps: number },
  part: StagePart,
  index: number,
): PassExchange {
  const { stage } = plan.place(role);
  const last = stage === plan.stages - 1;
  const takes =
    stage === 0
      ? takenLatents(plan, role, step, warmupSteps, part, index)
      : takenHidden(plan, role, step, part);
  if (!last) return { takes, gives: ['hidden'], predictors: [] };
  const owners = topology.roles.filter((other) => sharesPrediction(plan, role, other, part));
  const predictors = owners.length === 1 ? [] : owners;
  const handsBack = stage > 0 && step + 1 < steps;
  return {
    takes,
    gives: [
      ...(predictors.length > 0 ? ['prediction' as const] : []),
      ...(handsBack ? ['latents' as const] : []),
    ],
    predictors,
  };
}

/**
 * The first stage needs what the last one made of the step before: of the whole picture, where that was the
 * last synchronous step.
 */
function takenLatents(
  plan: StagePlan,
  role: RankRole,
  step: number,
  warmupSteps: number,
  part: StagePart,
  index: number,
): Taken | undefined {
  if (plan.stages === 1 || step === 0) return undefined;
  const sent = part === plan.whole || step > warmupSteps ? part : plan.whole;
  if (sent !== part && index > 0) return undefined;
  const { lane } = plan.place(role);
  return {
    message: 'latents',
    part: sent,
    from: plan.rankAt(role, { stage: plan.stages - 1, lane }),
    step: step - 1,
  };
}

function takenHidden(plan: StagePlan, role: RankRole, step: number, part: StagePart): Taken {
  const { stage, lane } = plan.place(role);
  return { message: 'hidden', part, from: plan.rankAt(role, { stage: stage - 1, lane }), step };
}

/** Whether `other` of the last stage has part of a prediction that the scheduler of `role` needs at once. */
function sharesPrediction(plan: StagePlan, role: RankRole, other: RankRole, part: StagePart): boolean {
  const { stage, lane } = plan.place(other);
  return stage === plan.stages - 1 && (part === plan.whole || lane === plan.place(role).lane);
}

/** Rows of latents that rows of patches are. */
export function latentRows({ start, rows }: PatchRows, patchSize: number): RowRange {
  return { start: start * patchSize, rows: rows * patchSize };
}

export type MessageSlots = ReadonlyMap<StagePart, Readonly<Record<Message, number>>>;

/**
 * Every rank leaves what it computes in slots of its own, one per part. So no order of messages can make
 * ranks wait for each other.
 */
export function reserveMessages(table: SlotTable, stage: StageModel): MessageSlots {
  return new Map(
    stage.plan.parts.map((part, index) => {
      const reserve = (message: Message) =>
        table.add({
          name: `${message} of part ${index}`,
          kind: messages[message],
          age: 'fresh',
          ...messageSlot(stage, message, part),
        });
      return [
        part,
        {
          hidden: reserve('hidden'),
          latents: reserve('latents'),
          prediction: reserve('prediction'),
        },
      ];
    }),
  );
}

/** Who leaves how much in a message's slot, and who reads it. */
function messageSlot(
  stage: StageModel,
  message: Message,
  part: StagePart,
): Pick<SlotPlan, 'bytes' | 'reads'> {
  const { model, plan, topology, shape, elementType } = stage;
  const { features, patchSize, outChannels } = model.blocks;
  const last = plan.stages - 1;
  const roleOf = (rank: number) => topology.roles[rank] as RankRole;
  const place = (rank: number) => plan.place(roleOf(rank));
  const rowsOf = (rank: number) => (part.lanes[place(rank).lane] as PatchRows).rows;
  const latentBytes = (images: number, channels: number, patchRows: number) =>
    itemBytes.float32 * images * channels * patchRows * patchSize * shape.columns;
  const along = (rank: number, other: number) => {
    const { patchGroup } = roleOf(rank);
    return patchGroup.includes(other) && place(rank).lane === place(other).lane;
  };
  switch (message) {
    case 'hidden': {
      const tokenBytes = itemBytes[elementType] * shape.batch * (shape.columns / patchSize) * features;
      const bytes = (rank: number) => (place(rank).stage === last ? 0 : tokenBytes * rowsOf(rank));
      return {
        bytes,
        reads: (reader, publisher) =>
          along(reader, publisher) && place(reader).stage === place(publisher).stage + 1
            ? bytes(publisher)
            : 0,
      };
    }
    case 'latents': {
      const images = topology.guided && !topology.splitBatch ? shape.batch / 2 : shape.batch;
      // The whole latents are sent whole, whoever computed their rows.
      const rows = (rank: number) => (part === plan.whole ? part.rows : rowsOf(rank));
      const bytes = (rank: number) =>
        place(rank).stage === last && last > 0 ? latentBytes(images, model.inChannels, rows(rank)) : 0;
      return {
        bytes,
        reads: (reader, publisher) =>
          along(reader, publisher) && place(reader).stage === 0 ? bytes(publisher) : 0,
      };
    }
    case 'prediction': {
      const shared = topology.splitBatch || plan.lanes > 1;
      const bytes = (rank: number) =>
        place(rank).stage === last && shared ? latentBytes(shape.batch, outChannels, rowsOf(rank)) : 0;
      return {
        bytes,
        reads: (reader, publisher) =>
          place(reader).stage === last && sharesPrediction(plan, roleOf(reader), roleOf(publisher), part)
            ? bytes(publisher)
            : 0,
      };
    }
  }
}
