import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { DistriPipeline, type PipelineCall } from '../../src/app/distri-pipeline.js';
import { DistriError } from '../../src/base/errors.js';
import { embeddedDataset, embeddedModel } from '../../src/base/package.js';
import { writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { choosePrompts } from '../../src/datasets/caption-dataset.js';
import { EMBEDDED_DATASET, openCaptionDataset } from '../../src/datasets/open.js';
import { availableCpus } from '../../src/machine/cpus.js';
import type { SchedulerName } from '../../src/schedulers/registry.js';
import { type Setting, settingName, setupOf } from './grid.js';

/** What all settings draw. */
export interface StudyPictures {
  readonly prompts: readonly string[];
  readonly steps: number;
  readonly scheduler: SchedulerName;
  readonly size: number;
  readonly guidanceScale: number;
  /** Folder of a checkpoint; by default the embedded one. */
  readonly model?: string;
}

/** The first captions of the data set that comes with the package. */
export async function studyPrompts(images: number): Promise<readonly string[]> {
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
/** Seconds: ranks may be more than CPUs. */
const COMM_TIMEOUT = 120;

/** Draws into a folder for each setting; what is complete is not drawn again. */
export class StudyDrawing {
  readonly #root: string;
  readonly #pictures: StudyPictures;
  readonly #signal: AbortSignal;

  private constructor(root: string, pictures: StudyPictures, signal: AbortSignal) {
    this.#root = root;
    this.#pictures = pictures;
    this.#signal = signal;
  }

  /** `root` may hold the beginning of a study of the same pictures; one of others is refused. */
  static async open(root: string, pictures: StudyPictures, signal: AbortSignal): Promise<StudyDrawing> {
    const record = join(root, 'pictures.json');
    const wanted = `${JSON.stringify(pictures, undefined, 2)}\n`;
    await mkdir(root, { recursive: true });
    if (!existsSync(record)) await writeFile(record, wanted);
    else if ((await readFile(record, 'utf8')) !== wanted) {
      const advice = 'see pictures.json; another --work folder would work';
      throw new DistriError('output', `${root} has other pictures (${advice})`);
    }
    return new StudyDrawing(root, pictures, signal);
  }

  /** Draws the pictures of all settings. */
  async drawAll(settings: readonly Setting[]): Promise<readonly DrawnSetting[]> {
    const drawn: DrawnSetting[] = [];
    for (const setting of settings) {
      console.error(`drawing ${drawn.length + 1} of ${settings.length}: ${settingName(setting)}`);
      drawn.push(await this.#draw(setting));
    }
    return drawn;
  }

  /**
   * Seconds of a picture from text to pixels, by the setting's name: the fastest of `rounds`, in which the
   * settings take turns, so that a busy moment spoils no setting alone.
   */
  async time(settings: readonly Setting[], rounds: number): Promise<ReadonlyMap<string, number>> {
    const record = join(this.#root, TIMES);
    if (!existsSync(record)) {
      const best: Record<string, number> = {};
      for (let round = 0; round < rounds; round++) {
        console.error(`measuring, round ${round + 1} of ${rounds}`);
        for (const setting of settings) {
          const name = settingName(setting);
          best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, await this.#timeOne(setting));
        }
      }
      await writeFile(record, JSON.stringify(best));
    }
    return new Map(Object.entries(JSON.parse(await readFile(record, 'utf8')) as Record<string, number>));
  }

  /** Draws the pictures of `setting`, unless they are there. */
  async #draw(setting: Setting): Promise<DrawnSetting> {
    const folder = join(this.#root, settingName(setting));
    const record = join(folder, RECORD);
    const names = this.#pictures.prompts.map((_, index) => join(folder, String(index).padStart(4, '0')));
    const paths = names.map((name) => `${name}.png`);
    const latents = names.map((name) => `${name}.safetensors`);
    if (!existsSync(record)) {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder);
      await this.#withPipeline(setting, async (pipeline) => {
        for (const index of names.keys()) {
          const drawn = await pipeline(this.#call(index));
          for (const { data, info } of drawn.images) {
            await sharp(data, { raw: info }).toFile(paths[index] as string);
          }
          await writeSafetensors(latents[index] as string, { latents: drawn.latents });
        }
      });
      await writeFile(record, `${JSON.stringify(setting)}\n`);
    }
    return { setting, paths, latents };
  }

  /** Seconds of a picture on the rank that takes longest. */
  #timeOne(setting: Setting): Promise<number> {
    return this.#withPipeline(setting, async (pipeline) => {
      // The first picture after loading is slower.
      await pipeline(this.#call(0));
      const { reports } = await pipeline(this.#call(0));
      return Math.max(...reports.map(({ latency }) => latency)) / 1000;
    });
  }

  async #withPipeline<T>(setting: Setting, use: (pipeline: DistriPipeline) => Promise<T>): Promise<T> {
    this.#signal.throwIfAborted();
    const pipeline = await DistriPipeline.fromPretrained(this.#pictures.model ?? embeddedModel, {
      ...setupOf(setting),
      threads: Math.max(1, Math.floor(availableCpus().count / setting.ranks)),
      weights: 'private',
      // Modes are about denoising, and bands of the VAE round otherwise.
      vae: 'rank0',
      commTimeout: COMM_TIMEOUT,
      signal: this.#signal,
    });
    try {
      return await use(pipeline);
    } finally {
      await pipeline.dispose();
    }
  }

  /** Picture i has seed i, as in distrifuser's generate_coco. */
  #call(index: number): PipelineCall {
    const { prompts, steps, scheduler, size, guidanceScale } = this.#pictures;
    return {
      prompt: prompts[index],
      height: size,
      width: size,
      numInferenceSteps: steps,
      guidanceScale,
      scheduler,
      seed: index,
      useResolutionBinning: false,
    };
  }
}
