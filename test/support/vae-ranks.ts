import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile, writeSafetensors } from '../../src/checkpoint/formats/safetensors.js';
import type { VaeJob, VaeReport } from '../../src/jobs/vae.js';
import type { VaeSpread } from '../../src/pipelines/request.js';
import { RankGroup } from '../../src/ranks/group/rank-group.js';
import type { Tensor } from '../../src/tensor/tensor.js';

const whole: VaeSpread = { parallel: true, tilePixels: undefined };

/** Real rank processes that decode and encode with one checkpoint. */
export class VaeRanks {
  #count = 0;

  private constructor(
    private readonly directory: string,
    private readonly group: RankGroup<VaeJob, VaeReport>,
    private readonly folder: string,
  ) {}

  static async launch(directory: string, worldSize: number): Promise<VaeRanks> {
    const group = await RankGroup.launch<VaeJob, VaeReport>({
      worldSize,
      entry: new URL('../../src/jobs/vae-rank.js', import.meta.url),
      cpus: undefined,
      timeout: 60_000,
      interruption: new AbortController().signal,
      log: (rank, line) => process.stderr.write(`rank ${rank}: ${line}\n`),
    });
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
    return this.group.run(job, () => {});
  }

  async close(): Promise<void> {
    await this.group.close();
    await rm(this.folder, { recursive: true });
  }

  #load(vae: VaeSpread): VaeJob['load'] {
    return { directory: this.directory, variant: undefined, weights: 'shared', threads: 1, vae };
  }

  #path(): string {
    return join(this.folder, `${this.#count++}.safetensors`);
  }
}
