import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { goldenPath } from './golden-files.js';

/** A scheduler's configuration, and by numbers of steps what came of it. */
export interface SchedulerCase {
  readonly scheduler_class: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly options: {
    readonly eta?: number;
    readonly flux_sigmas?: boolean;
    readonly image_seq_len?: number;
  };
  readonly steps: Readonly<
    Record<string, { init_noise_sigma: number; add_noise_at_index?: number; error?: string }>
  >;
}

export interface SchedulerGolden {
  readonly cases: Readonly<Record<string, SchedulerCase>>;
  readonly tensors: SafetensorsFile;
}

/** What diffusers' class of this name does. A full set of golden data may have all classes in one file. */
export async function goldenSchedulers(className: string): Promise<SchedulerGolden> {
  const tensors = await SafetensorsFile.open(fileOf(className, 'safetensors'));
  const text = await readFile(fileOf(className, 'json'), 'utf8');
  const { schedulers } = JSON.parse(text) as { schedulers: Record<string, SchedulerCase> };
  const own = Object.entries(schedulers).filter(([, item]) => item.scheduler_class === className);
  return { cases: Object.fromEntries(own), tensors };
}

/** `[1000]`: the share of the image at each timestep, of scaled linear betas from 0.00085 to 0.012. */
export async function goldenAlphas(): Promise<Float32Array> {
  const file = await SafetensorsFile.open(fileOf('noise-schedule', 'safetensors'));
  return (await file.read('scaled_linear/alphas_cumprod')).data as Float32Array;
}

function fileOf(name: string, extension: string): string {
  const own = goldenPath(`schedulers/${name}.${extension}`);
  return existsSync(own) ? own : goldenPath(`schedulers.${extension}`);
}
