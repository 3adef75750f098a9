import { Command, Option } from 'commander';
import {
  addSubjectOptions,
  openSubject,
  plannedImage,
  plannedParallelisms,
  type SubjectOptions,
} from '../families/plan-subject.js';
import {
  type ParallelismName,
  type SplitScheme,
  splitSchemes,
  transformerParallelismNames,
} from '../pipelines/request.js';
import { comparedRankCounts } from '../planning/choices.js';
import { profileMacs } from '../planning/macs.js';
import { integer, oneOf } from './options/parsers.js';
import { macsLines, macsReport } from './output/macs.js';
import { Terminal } from './output/terminal.js';

const examples = `
Examples:
  distri profile-macs -n 4
  distri profile-macs -n 8 --random_weights sdxl-base-1.0
  distri profile-macs -n 4 --random_weights sdxl-base-1.0 --image_size 1280 1920 --parallelism patch --no_split_batch
  distri profile-macs -n 2 --model ./sdxl --json`;

interface ProfileOptions extends SubjectOptions {
  readonly image_size?: readonly number[];
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  readonly nproc_per_node: number;
  readonly parallelism?: ParallelismName;
  readonly split_scheme: SplitScheme;
  readonly no_split_batch?: true;
  readonly json?: true;
}

/** `distri profile-macs`: no weights are read, and nothing runs. */
export function profileMacsCommand(): Command {
  const command = new Command('profile-macs')
    .description(
      'Count the multiply-accumulates of each rank by kind of layer, for every way to share a picture.',
    )
    .addHelpText('after', examples);
  return addSubjectOptions(command)
    .optionsGroup('Ranks:')
    .addOption(
      new Option('-n, --nproc_per_node <n>', 'ranks: 1, 2, 4, … and this many are compared')
        .argParser(integer('--nproc_per_node', 1))
        .default(8),
    )
    .addOption(
      new Option(
        '--parallelism <name>',
        `only this one: ${transformerParallelismNames.join(', ')}`,
      ).argParser(oneOf('--parallelism', transformerParallelismNames)),
    )
    .addOption(
      new Option('--split_scheme <name>', `how naive_patch cuts: ${splitSchemes.join(', ')}`)
        .argParser(oneOf('--split_scheme', splitSchemes))
        .default('alternate'),
    )
    .addOption(
      new Option('--no_split_batch', 'only ways in which every rank computes both images of the guidance'),
    )
    .addOption(new Option('--json', 'print JSON'))
    .action((options: ProfileOptions) => profile(options));
}

async function profile(options: ProfileOptions): Promise<void> {
  const subject = await openSubject(options);
  const image = plannedImage(subject, options.image_size);
  const guided = options.guidance_scale > 1;
  const counted = profileMacs(image, comparedRankCounts(options.nproc_per_node), {
    guided,
    allowSplit: options.no_split_batch !== true,
    parallelisms: options.parallelism === undefined ? plannedParallelisms(subject) : [options.parallelism],
    splitScheme: options.split_scheme,
    // What is exchanged changes no multiply-accumulate.
    syncMode: 'corrected_async_gn',
    warmupSteps: 0,
  });
  const report = macsReport(
    {
      model: subject.name,
      height: image.rows * subject.factor,
      width: image.columns * subject.factor,
      steps: options.num_inference_steps,
      guided,
    },
    counted,
  );
  const terminal = new Terminal('normal');
  if (options.json) terminal.result(JSON.stringify(report, undefined, 2));
  else for (const line of macsLines(report)) terminal.result(line);
}
