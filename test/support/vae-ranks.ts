import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import { type Ranks, runJob } from '../../src/jobs/jobs.js';
import type { VaeJob, VaeReport } from '../../src/jobs/vae.js';
import type { VaeSpread } from '../../src/pipelines/load-options.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { launchRanks } from './rank-group.js';
import { loadOf } from './requests.js';

const whole: VaeSpread = { parallel: true, tilePixels: undefined };

/** Real rank processes that decode and encode with one checkpoint. */
export class VaeRanks {
  #count = 0;

  private constructor(
    private readonly directory: string,
    private readonly group: Ranks,
    private readonly folder: string,
  ) {}

  static async launch(directory: string, worldSize: number): Promise<VaeRanks> {
    const group = await launchRanks(worldSize);
    return new VaeRanks(directory, group, await mkdtemp(join(tmpdir(), 'distri-vae-')));
  }

  async decode(latents: Tensor<'float32'>, vae = whole): Promise<Tensor<'float32'>> {
    const [input, decoded] = [this.#path(), this.#path()];
    await writeSafetensors(input, { latents });
    const task = { kind: 'decode', input, tensor: 'latents', images: [], decoded } as const;
    await this.run({ load: this.#load(vae), task });
    return (await (await SafetensorsFile.open(decoded)).read('decoded')) as Tensor<'float32'>;
  }

  async encode(pixels: Tensor<'uint8'>, vae = whole): Promise<Tensor<'float32'>> {
    const [input, latents] = [this.#path(), this.#path()];
    await writeSafetensors(input, { pixels });
    await this.run({ load: this.#load(vae), task: { kind: 'encode', input, latents, sample: undefined } });
    return (await (await SafetensorsFile.open(latents)).read('latents')) as Tensor<'float32'>;
  }

  run(job: VaeJob): Promise<readonly VaeReport[]> {
    return runJob(this.group, 'vae', job);
  }

  async close(): Promise<void> {
    await this.group.close();
    await rm(this.folder, { recursive: true });
  }

  #load(vae: VaeSpread): VaeJob['load'] {
    return loadOf('', this.directory, { vae });
  }

  #path(): string {
    return join(this.folder, `${this.#count++}.safetensors`);
  }
}
