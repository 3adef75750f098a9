import { DistriError, type ErrorCode, expected } from '../../base/errors.js';

/** This process's place among processes that torchrun, mpirun or srun started together on one host. */
export interface LaunchedRank {
  /** Who started them, for messages. */
  readonly launcher: string;
  readonly rank: number;
  readonly worldSize: number;
  /** The same in all processes of the job, and in no other job of this user that runs at the same time. */
  readonly job: string;
}

/** What is wrong with the environment, and whether this process is the one of all to say it. */
export class LaunchError extends DistriError {
  constructor(
    code: ErrorCode,
    message: string,
    readonly speaks: boolean,
  ) {
    super(code, `${message}; DISTRI_LAUNCHER=none makes distri ignore launchers`);
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The variables by which processes learn from a launcher who they are; of several names the first that is set
 * counts.
 */
interface Launcher {
  readonly name: string;
  readonly rank: string;
  readonly size: readonly string[];
  /** Number of processes on this host. */
  readonly localSize?: string;
  readonly hosts?: readonly string[];
  /** Together they name the job. Where none is set its processes are known by their common parent. */
  readonly job: Readonly<Record<string, Kind>>;
}

/** What a variable can be. */
interface Kind {
  readonly what: string;
  readonly allows: (text: string) => boolean;
}

const port: Kind = {
  what: 'a port from 1 to 65535',
  allows: (text) => isCount(text, 1) && Number(text) <= 65_535,
};
const host: Kind = { what: "a host's name or address", allows: (text) => /^[\w.:%-]{1,255}$/.test(text) };
const integer: Kind = { what: 'an integer of at least 0', allows: (text) => isCount(text, 0) };
const printable: Kind = {
  what: 'up to 255 printable characters',
  allows: (text) => /^[^\p{Cc}\p{Cf}\p{Cs}]{1,255}$/u.test(text),
};

const torchrun: Launcher = {
  name: 'torchrun',
  rank: 'RANK',
  size: ['WORLD_SIZE'],
  localSize: 'LOCAL_WORLD_SIZE',
  // Only one job of a host can listen on the port.
  job: {
    MASTER_ADDR: host,
    MASTER_PORT: port,
    TORCHELASTIC_RUN_ID: printable,
    TORCHELASTIC_RESTART_COUNT: integer,
  },
};
const openMpi: Launcher = {
  name: 'mpirun',
  rank: 'OMPI_COMM_WORLD_RANK',
  size: ['OMPI_COMM_WORLD_SIZE'],
  localSize: 'OMPI_COMM_WORLD_LOCAL_SIZE',
  job: { PMIX_NAMESPACE: printable, OMPI_MCA_ess_base_jobid: printable },
};
const pmi: Launcher = {
  name: 'mpiexec',
  rank: 'PMI_RANK',
  size: ['PMI_SIZE'],
  localSize: 'MPI_LOCALNRANKS',
  job: {},
};
const slurm: Launcher = {
  name: 'srun',
  rank: 'SLURM_PROCID',
  size: ['SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS'],
  hosts: ['SLURM_STEP_NUM_NODES', 'SLURM_NNODES'],
  job: { SLURM_JOB_ID: integer, SLURM_STEP_ID: integer },
};

/**
 * Reads who this process is, undefined where no launcher started it. SLURM's variables say so only when no
 * other launcher's are set (mpirun uses srun) and for more than one task (a script in an allocation has them,
 * too).
 */
export function readLaunchedRank(environment: Environment = process.env): LaunchedRank | undefined {
  const choice = environment.DISTRI_LAUNCHER ?? 'auto';
  if (choice === 'none') return undefined;
  if (choice !== 'auto') throw expected('auto or none', 'DISTRI_LAUNCHER', choice);
  refuseHalf(environment);
  const [first, ...others] = [torchrun, openMpi, pmi].filter(({ rank }) => isSet(environment, rank));
  if (first === undefined) {
    if (!isSet(environment, slurm.rank)) return undefined;
    const launched = read(slurm, environment);
    return launched.worldSize > 1 ? launched : undefined;
  }
  const launched = read(first, environment);
  for (const other of others) refuseContradiction(launched, read(other, environment));
  return launched;
}

function refuseHalf(environment: Environment): void {
  if (isSet(environment, 'WORLD_SIZE') && !isSet(environment, 'RANK')) {
    throw new LaunchError('usage', 'WORLD_SIZE is set but RANK is not: launchers set both', true);
  }
}

function refuseContradiction(one: LaunchedRank, other: LaunchedRank): void {
  // A launcher of one process per host may start another launcher.
  if (other.worldSize === 1 || (one.rank === other.rank && one.worldSize === other.worldSize)) return;
  throw new LaunchError(
    'usage',
    `The environment says rank ${one.rank} of ${one.worldSize} in the variables of ${one.launcher} ` +
      `and rank ${other.rank} of ${other.worldSize} in those of ${other.launcher}`,
    one.rank === 0,
  );
}

function read(launcher: Launcher, environment: Environment): LaunchedRank {
  const { rank: rankName } = launcher;
  const sizeName = launcher.size.find((candidate) => isSet(environment, candidate));
  if (sizeName === undefined) {
    const missing = launcher.size.at(-1);
    throw new LaunchError('usage', `${rankName} is set but ${missing} is not: launchers set both`, true);
  }
  const worldSize = count(environment, sizeName, 1);
  const rank = count(environment, rankName, 0);
  if (rank >= worldSize) {
    throw new LaunchError('usage', `${rankName} is ${rank}, but ${sizeName} is ${worldSize}`, true);
  }
  refuseSeveralHosts(launcher, environment, rank, worldSize);
  const job = nameJob(launcher, environment, rank);
  return { launcher: launcher.name, rank, worldSize, job: `${launcher.name} ${job}` };
}

function nameJob(launcher: Launcher, environment: Environment, rank: number): string {
  const known = Object.entries(launcher.job).filter(([variable]) => isSet(environment, variable));
  for (const [variable, { what, allows }] of known) {
    const text = environment[variable] ?? '';
    if (!allows(text)) throw new LaunchError('usage', expected(what, variable, text).message, rank === 0);
  }
  return known.map(([variable]) => `${variable}=${environment[variable]}`).join(' ') || String(process.ppid);
}

function refuseSeveralHosts(
  { name, localSize, hosts = [] }: Launcher,
  environment: Environment,
  rank: number,
  worldSize: number,
): void {
  const here =
    localSize !== undefined && isSet(environment, localSize) ? count(environment, localSize, 1) : worldSize;
  const hostsName = hosts.find((candidate) => isSet(environment, candidate));
  const hostCount = hostsName === undefined ? 1 : count(environment, hostsName, 1);
  if (here === worldSize && hostCount === 1) return;
  const detail = hostCount > 1 ? `on ${hostCount} hosts` : `${here} of them on this host`;
  throw new LaunchError(
    'unsupported',
    `${name} started ${worldSize} ranks, ${detail}: all ranks have to be on one host`,
    rank === 0,
  );
}

function isSet(environment: Environment, name: string): boolean {
  return environment[name] !== undefined && environment[name] !== '';
}

function count(environment: Environment, name: string, least: number): number {
  const text = environment[name] ?? '';
  if (!isCount(text, least)) {
    throw new LaunchError('usage', expected(`an integer of at least ${least}`, name, text).message, true);
  }
  return Number(text);
}

function isCount(text: string, least: number): boolean {
  return /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) && Number(text) >= least;
}
