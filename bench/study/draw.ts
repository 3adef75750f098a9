import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { embeddedDataset, embeddedModel } from '../../src/base/package.js';
import type { PipelineClass } from '../../src/checkpoint/pipeline-classes.js';
import { Terminal } from '../../src/commands/output/terminal.js';
import { choosePrompts } from '../../src/datasets/caption-dataset.js';
import { EMBEDDED_DATASET, openCaptionDataset } from '../../src/datasets/open.js';
import type { GenerationJob, JobReport } from '../../src/jobs/draw.js';
import type { GenerationRequest } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import { alone, parallelOptions, type Setting, settingName } from './grid.js';

/** A checkpoint in diffusers' layout. */
export interface StudyModel {
  readonly directory: string;
  readonly pipelineClass: PipelineClass;
}

/** What all settings draw. */
export interface StudyPictures {
  readonly prompts: readonly string[];
  readonly steps: number;
  readonly scheduler: SchedulerName;
  readonly size: number;
  readonly guidanceScale: number;
  /** By default the embedded one. */
  readonly model?: StudyModel;
}

/** The first captions of the data set that comes with the package. */
export async function studyPrompts(images: number): Promise<string[]> {
  return choosePrompts(await openCaptionDataset(EMBEDDED_DATASET, embeddedDataset)).slice(0, images);
}

/** The pictures of one setting. */
export interface DrawnSetting {
  readonly setting: Setting;
  /** In the order of the prompts. */
  readonly paths: readonly string[];
  /** The latents of each, as .safetensors. */
  readonly latents: readonly string[];
}

/** Written last: a folder that has it is complete. */
const RECORD = 'drawn.json';
/** Seconds by the setting's name. */
const TIMES = 'seconds.json';

/** Draws into a folder for each setting; what is complete is not drawn again. */
export class StudyDrawing {
  private group: { readonly ranks: number; readonly group: RankGroup<GenerationJob, JobReport> } | undefined;

  private constructor(
    private readonly root: string,
    private readonly pictures: StudyPictures,
    private readonly interruption: AbortSignal,
  ) {}

  /** `root` may hold the beginning of a study of the same pictures; one of others is refused. */
  static async open(root: string, pictures: StudyPictures, interruption: AbortSignal): Promise<StudyDrawing> {
    const record = join(root, 'pictures.json');
    const wanted = `${JSON.stringify(pictures, undefined, 2)}\n`;
    await mkdir(root, { recursive: true });
    if (!existsSync(record)) await writeFile(record, wanted);
    else if ((await readFile(record, 'utf8')) !== wanted) {
      throw new Error(`${root} has other pictures (see pictures.json); choose another --work folder`);
    }
    return new StudyDrawing(root, pictures, interruption);
  }

  /** Draws the pictures of `setting`, unless they are there. */
  async draw(setting: Setting): Promise<DrawnSetting> {
    const folder = join(this.root, settingName(setting));
    const record = join(folder, RECORD);
    const names = this.pictures.prompts.map((_, index) => join(folder, String(index).padStart(4, '0')));
    const paths = names.map((name) => `${name}.png`);
    if (!existsSync(record)) {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder);
      for (const [index, path] of paths.entries()) await this.drawOne(setting, index, path);
      await writeFile(record, `${JSON.stringify(setting)}\n`);
    }
    return { setting, paths, latents: paths.map(latentsOf) };
  }

  /** Draws the pictures of all settings. */
  async drawAll(settings: readonly Setting[]): Promise<DrawnSetting[]> {
    const progress = new Terminal('normal').progress(settings.length, 'settings');
    const drawn: DrawnSetting[] = [];
    try {
      for (const setting of settings) {
        this.interruption.throwIfAborted();
        progress.update(drawn.length, settingName(setting));
        drawn.push(await this.draw(setting));
      }
      return drawn;
    } finally {
      progress.stop();
    }
  }

  async close(): Promise<void> {
    await this.group?.group.close();
    this.group = undefined;
  }

  /**
   * Seconds of a picture from text to pixels, by the setting's name: the fastest of `rounds`, in which the settings take turns, so that
   * a busy moment spoils no setting alone.
   */
  async time(settings: readonly Setting[], rounds: number): Promise<ReadonlyMap<string, number>> {
    const record = join(this.root, TIMES);
    if (!existsSync(record)) {
      const best: Record<string, number> = {};
      const picture = join(this.root, 'timed.png');
      for (const ranks of new Set(settings.map((setting) => setting.ranks))) {
        const own = settings.filter((setting) => setting.ranks === ranks);
        for (let round = 0; round < rounds; round++) {
          for (const setting of own) {
            // The first picture after loading is slower.
            await this.drawOne(setting, 0, picture);
            const seconds = await this.drawOne(setting, 0, picture);
            const name = settingName(setting);
            best[name] = Math.min(best[name] ?? seconds, seconds);
          }
        }
      }
      await rm(picture);
      await rm(latentsOf(picture));
      await writeFile(record, JSON.stringify(best));
    }
    return new Map(Object.entries(JSON.parse(await readFile(record, 'utf8')) as Record<string, number>));
  }

  /** Draws picture `index`; gives its seconds on the slowest rank. */
  private async drawOne(setting: Setting, index: number, path: string): Promise<number> {
    const group = await this.launch(setting.ranks);
    const load = {
      directory: embeddedModel,
      ...this.pictures.model,
      variant: undefined,
      weights: 'private',
      threads: Math.max(1, Math.floor(availableParallelism() / setting.ranks)),
    } as const;
    const files = { images: [{ path, text: [] }], latents: latentsOf(path), trace: undefined };
    const job = { load, request: this.request(index), parallel: parallelOptions(setting), files };
    const reports = await group.run(job, () => {});
    return Math.max(...reports.map(({ latency }) => latency)) / 1000;
  }

  /** Rank processes, kept while their number is the same. */
  private async launch(ranks: number): Promise<RankGroup<GenerationJob, JobReport>> {
    if (this.group?.ranks !== ranks) {
      await this.close();
      const cpus = availableParallelism();
      const group = await RankGroup.launch<GenerationJob, JobReport>({
        worldSize: ranks,
        entry: new URL('../../src/jobs/rank.js', import.meta.url),
        cpus: ranks === alone.ranks ? undefined : Array.from({ length: ranks }, (_, rank) => [rank % cpus]),
        timeout: 120_000,
        interruption: this.interruption,
        log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
      });
      this.group = { ranks, group };
    }
    return this.group.group;
  }

  /** Picture i has seed i, as in distrifuser's generate_coco. */
  private request(index: number): GenerationRequest {
    const { prompts, steps, scheduler, size, guidanceScale } = this.pictures;
    return {
      prompt: [prompts[index] as string],
      negativePrompt: [],
      height: size,
      width: size,
      numInferenceSteps: steps,
      guidanceScale,
      eta: 0,
      numImagesPerPrompt: 1,
      scheduler,
      seed: BigInt(index),
      rng: 'cpu',
      outputType: 'pil',
      useResolutionBinning: false,
      trace: false,
    };
  }
}

function latentsOf(picture: string): string {
  return picture.replace(/\.png$/, '.safetensors');
}
