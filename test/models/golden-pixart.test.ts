import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import {
  gridPositions,
  PixArtTransformer2DModel,
  readPixArtTransformer2DConfig,
} from '../../src/models/pixart-transformer-2d.js';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.js';
import { assertClose } from '../support/golden.js';
import { openDit, tinyPixArt } from '../support/golden-dit.js';
import { runComponent } from '../support/run-graph.js';

/** The name in our graph of a module's result, where another node makes it. */
function valueName(module: string): string {
  return module
    .replace(/(attn[12])$/, '$1.to_out.0')
    .replace(/ff$/, 'ff.net.2')
    .replace(/_embedder$/, '$&.linear_2')
    .replace('additional_condition_proj#2', 'aspect_ratio_embedder.proj')
    .replace('additional_condition_proj', 'resolution_embedder.proj')
    .replace(/^caption_projection$/, '$&.linear_2')
    .replace('adaln_single:0', 'adaln_single.linear')
    .replace('adaln_single:1', 'adaln_single.emb');
}

function tracedModules(file: SafetensorsFile): string[] {
  return [...file.tensors.keys()]
    .filter((name) => name.startsWith('out:') && name !== 'out:')
    .map((name) => name.slice('out:'.length));
}

/** Row `row` of a batch; the whole of what all images share. */
function rowOf({ shape, data }: Tensor, row: number, rows: number): Tensor<'float32'> {
  const [first, ...rest] = shape as [number, ...number[]];
  const width = elementCount(rest);
  const count = first / rows;
  const start = first === 1 ? 0 : row * count * width;
  const length = first === 1 ? width : count * width;
  return float32(
    [first === 1 ? 1 : count, ...rest],
    Float32Array.from(data as Float32Array).slice(start, start + length),
  );
}

function asFloats(tensor: Tensor): Tensor<'float32'> {
  return float32(tensor.shape, Float32Array.from(tensor.data as BigInt64Array, Number));
}

describe('PixArtTransformer2DModel', () => {
  it('computes layer by layer what diffusers computes, for texts of different lengths', async () => {
    const file = await openDit('trace_transformer_pixart');
    const timesteps = (await file.read('in:timestep')).data as Float32Array;
    const modules = tracedModules(file);
    // Here all images of a batch have the same timestep, so each row is compared in a run of its own.
    for (const [row, timestep] of timesteps.entries()) {
      const results = await runComponent(
        tinyPixArt,
        'transformer',
        async (checkpoint, layers) => {
          const config = readPixArtTransformer2DConfig(await checkpoint.config('transformer'));
          const shapes = { batch: 2, rows: 12, columns: 16, textTokens: 40 };
          new PixArtTransformer2DModel(config, layers).build(shapes);
        },
        modules.map(valueName),
        {
          sample: await file.read('in:hidden_states'),
          timestep: float32([1], Float32Array.of(timestep)),
          encoder_hidden_states: await file.read('in:encoder_hidden_states'),
          encoder_attention_mask: asFloats(await file.read('in:encoder_attention_mask')),
          resolution: await file.read('in:resolution'),
          aspect_ratio: await file.read('in:aspect_ratio'),
        },
      );
      const compare = async (module: string, value: string) => {
        const wanted = rowOf(await file.read(`out:${module}`), row, 2);
        const actual = results[value] as Tensor<'float32'>;
        const own = rowOf(actual, row, actual.shape[0] === 1 ? 1 : 2);
        const shaped = float32(wanted.shape, own.data);
        // A sinusoid of 1000 moves by 6e-5 with the last bit of a float32 argument.
        const tolerance = /time_proj|additional_condition_proj/.test(module)
          ? { absolute: 3e-4 }
          : { relative: 1e-5 };
        assertClose(shaped, wanted, tolerance, `${module} of row ${row}`);
      };
      for (const module of modules) {
        await compare(module, valueName(module));
      }
      await compare('', 'unpatchify');
    }
  });

  it('places patches as diffusers does, whatever the size of the image', async () => {
    const file = await openDit('trace_transformer_pixart');
    const checkpoint = await openCheckpoint(tinyPixArt);
    const config = readPixArtTransformer2DConfig(await checkpoint.config('transformer'));
    for (const [rows, columns] of [[12, 16]] as const) {
      const positions = gridPositions(config, rows / 2, columns / 2);
      const { features } = config;
      const table = Float32Array.from({ length: (rows * columns * features) / 4 }, (_, index) => {
        const token = Math.floor(index / features);
        const [row, column] = [Math.floor(token / (columns / 2)), token % (columns / 2)];
        const of = (part: Tensor<'float32'>, at: number) =>
          part.data[at * features + (index % features)] as number;
        return of(positions.rows, row) + of(positions.columns, column);
      });
      const wanted = await file.read(`aux:pos_embed_${rows}x${columns}`);
      assertClose(
        float32(wanted.shape, table),
        wanted,
        { absolute: 2e-7 },
        `positions of ${rows}x${columns}`,
      );
    }
  });

  it('refuses a config that computes something else', () => {
    const config = {
      caption_channels: 64,
      num_attention_heads: 8,
      attention_head_dim: 12,
      cross_attention_dim: 96,
    };
    assert.throws(
      () => readPixArtTransformer2DConfig({ ...config, activation_fn: 'geglu' }),
      /transformer\/config.json: activation_fn = "geglu" is not implemented; "gelu-approximate" would work/,
    );
    assert.throws(
      () => readPixArtTransformer2DConfig({ ...config, _class_name: 'Transformer2DModel' }),
      /norm_type/,
    );
    assert.equal(readPixArtTransformer2DConfig({ ...config, sample_size: 64 }).sizeConditions, false);
    assert.equal(readPixArtTransformer2DConfig({ ...config, sample_size: 64 }).interpolationScale, 1);
    assert.equal(readPixArtTransformer2DConfig({ ...config, sample_size: 128 }).interpolationScale, 2);
  });
});
