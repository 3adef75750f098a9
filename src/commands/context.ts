import type { PipelineContext } from '../app/pipeline.js';
import type { LaunchedRanks } from '../app/rank-groups.js';
import type { Terminal } from './output/terminal.js';

/** What every command is given by who runs the program. */
export interface CommandContext {
  /** Aborted when the user wants everything to end. */
  readonly signal: AbortSignal;
  /** The processes of a launcher; undefined where distri starts the ranks. */
  readonly launched: LaunchedRanks | undefined;
}

/** Where a command's pipelines run and what they say. */
export interface RunContext extends PipelineContext {
  readonly observer: Terminal;
}
