import type { ExchangeJob, RankExchangeTimes } from '../machine/exchange-figures.js';
import { PartCache } from '../pipelines/part-cache.js';
import type { ProbeTime } from '../planning/profile.js';
import type { RankGroup } from '../ranks/group/rank-group.js';
import type { ProgressListener } from '../ranks/progress.js';
import type { RankContext } from '../ranks/rank-context.js';
import type { DrawJob, DrawReport } from './draw.js';
import type { ProbeJob } from './probe.js';
import type { VaeJob, VaeReport } from './vae.js';

/** What ranks do, by name: what each is told and what it answers. */
interface Jobs {
  draw: { job: DrawJob; result: DrawReport };
  vae: { job: VaeJob; result: VaeReport };
  probe: { job: ProbeJob; result: readonly ProbeTime[] };
  exchange: { job: ExchangeJob; result: RankExchangeTimes };
}

export type JobName = keyof Jobs;

/** A job as it travels to ranks. */
export type NamedJob = { [N in JobName]: { readonly name: N } & Jobs[N]['job'] }[JobName];

type Program<N extends JobName> = (
  job: Jobs[N]['job'],
  ranks: RankContext,
  listener: ProgressListener,
  cache: PartCache,
) => Promise<Jobs[N]['result']>;

/** Each is loaded when there is such a job: most processes have one kind. */
const programs: { readonly [N in JobName]: () => Promise<Program<N>> } = {
  draw: async () => (await import('./draw.js')).runDraw,
  vae: async () => (await import('./vae.js')).runVaeJob,
  probe: async () => (await import('./probe.js')).runProbes,
  exchange: async () => (await import('./exchange.js')).runExchange,
};

/** Executes jobs on a rank, one after another; loaded models stay for the next. */
export class JobRunner {
  readonly #cache = new PartCache();

  /** Loads what a job of this name runs, which may be sure to come. */
  async prepare(name: JobName): Promise<void> {
    await programs[name]();
  }

  readonly run = async (job: NamedJob, ranks: RankContext, listener: ProgressListener): Promise<unknown> => {
    const program = (await programs[job.name]()) as Program<JobName>;
    return program(job, ranks, listener, this.#cache);
  };

  /** Releases the models. Not during a job. */
  close(): void {
    this.#cache.release();
  }
}

/** Ranks that do any of these jobs. */
export type Ranks = RankGroup<NamedJob, unknown>;

/** Gives all ranks a job; resolves to their answers in rank order. */
export async function runJob<N extends JobName>(
  ranks: Ranks,
  name: N,
  job: Jobs[N]['job'],
  listener: Parameters<Ranks['run']>[1] = () => {},
): Promise<readonly Jobs[N]['result'][]> {
  const named = { name, ...job } as unknown as NamedJob;
  return (await ranks.run(named, listener)) as readonly Jobs[N]['result'][];
}

/** The program of every rank process. */
export const rankEntry = new URL('./rank.js', import.meta.url);
