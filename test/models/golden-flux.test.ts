import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  FluxTransformer2DModel,
  fluxModel,
  readFluxTransformer2DConfig,
  rotationTables,
} from '../../src/models/flux-transformer-2d.js';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.js';
import { assertClose } from '../support/golden.js';
import { openDit, tinyFlux } from '../support/golden-dit.js';
import { runComponent } from '../support/run-graph.js';

const TEXT = 12;
const ROWS = 12;
const COLUMNS = 16;

/** The value in our graph that holds what a module of diffusers returns. */
const values: Readonly<Record<string, string>> = {
  x_embedder: 'x_embedder',
  time_text_embed: 'time_text_embed',
  'time_text_embed.time_proj': 'time_text_embed.timestep_embedder/waves',
  context_embedder: 'context_embedder',
  'transformer_blocks.1.norm1.linear': 'transformer_blocks.1.norm1.linear',
  'transformer_blocks.1.attn.norm_q': 'transformer_blocks.1.attn.norm_q',
  'transformer_blocks.1.attn.norm_added_k': 'transformer_blocks.1.attn.norm_added_k',
  'transformer_blocks.1.attn.to_out.0': 'transformer_blocks.1.attn.to_out.0',
  'transformer_blocks.1.attn.to_add_out': 'transformer_blocks.1.attn.to_add_out',
  'transformer_blocks.1.ff_context': 'transformer_blocks.1.ff_context.net.2',
  'transformer_blocks.1:0': 'transformer_blocks.1/stream_context',
  'transformer_blocks.1:1': 'transformer_blocks.1/stream',
  'single_transformer_blocks.1.norm.linear': 'single_transformer_blocks.1.norm.linear',
  'single_transformer_blocks.1.attn': 'single_transformer_blocks.1.attn.attention',
  'single_transformer_blocks.1.proj_out': 'single_transformer_blocks.1.proj_out',
  norm_out: 'norm_out/modulated',
};

/** Row `row` of a batch of two; the whole of what both share. */
function rowOf({ shape, data }: Tensor, row: number): Tensor<'float32'> {
  const width = elementCount(shape.slice(1));
  const start = shape[0] === 1 ? 0 : row * width;
  return float32([1, ...shape.slice(1)], (data as Float32Array).slice(start, start + width));
}

/** Tokens `[start, end)` of one image. */
function tokensOf(x: Tensor<'float32'>, start: number, end: number): Tensor<'float32'> {
  const width = x.shape[2] as number;
  return float32([1, end - start, width], x.data.slice(start * width, end * width));
}

/** Packed tokens `[batch, tokens, 4 channels]` as images. */
function unpack({ shape, data }: Tensor): Tensor<'float32'> {
  const [batch, , features] = shape as [number, number, number];
  const channels = features / 4;
  const image = float32([batch, channels, ROWS, COLUMNS]);
  image.data.forEach((_, index) => {
    const [column, row] = [index % COLUMNS, Math.floor(index / COLUMNS) % ROWS];
    const [channel, one] = [
      Math.floor(index / COLUMNS / ROWS) % channels,
      Math.floor(index / COLUMNS / ROWS / channels),
    ];
    const token = Math.floor(row / 2) * (COLUMNS / 2) + Math.floor(column / 2);
    const feature = channel * 4 + (row % 2) * 2 + (column % 2);
    const tokens = (ROWS * COLUMNS) / 4;
    image.data[index] = data[(one * tokens + token) * features + feature] as number;
  });
  return image;
}

const config = {
  num_attention_heads: 4,
  attention_head_dim: 16,
  axes_dims_rope: [4, 6, 6],
  in_channels: 64,
};

describe('FluxTransformer2DModel', () => {
  it('computes layer by layer what diffusers computes', async () => {
    const file = await openDit('trace_transformer_flux');
    const timesteps = (await file.read('aux:timestep_times_1000')).data as Float32Array;
    const last = 'single_transformer_blocks.3';
    // Here all images of a batch have the same timestep, so each row is compared in a run of its own.
    for (const [row, timestep] of timesteps.entries()) {
      const results = await runComponent(
        tinyFlux,
        'transformer',
        async (checkpoint, layers) => {
          const read = readFluxTransformer2DConfig(await checkpoint.config('transformer'));
          const shape = { batch: 2, rows: ROWS, columns: COLUMNS, textTokens: TEXT };
          new FluxTransformer2DModel(read, layers).build(shape);
        },
        [...Object.values(values), last],
        {
          sample: unpack(await file.read('in:hidden_states')),
          timestep: float32([1], Float32Array.of(timestep)),
          encoder_hidden_states: await file.read('in:encoder_hidden_states'),
          pooled_projections: await file.read('in:pooled_projections'),
          guidance: await file.read('in:guidance'),
        },
      );
      const compare = async (module: string, actual: Tensor<'float32'>) => {
        const wanted = rowOf(await file.read(`out:${module}`), row);
        // A sinusoid of 1000 moves by 6e-5 with the last bit of a float32 argument.
        const tolerance = module.endsWith('time_proj') ? { absolute: 3e-4 } : { relative: 1e-5 };
        assertClose(float32(wanted.shape, actual.data), wanted, tolerance, `${module} of row ${row}`);
      };
      for (const [module, value] of Object.entries(values)) {
        await compare(module, rowOf(results[value] as Tensor, row));
      }
      const joined = rowOf(results[last] as Tensor, row);
      await compare(`${last}:0`, tokensOf(joined, 0, TEXT));
      await compare(`${last}:1`, tokensOf(joined, TEXT, joined.shape[1] as number));
      const wanted = rowOf(unpack(await file.read('out:')), row);
      assertClose(rowOf(results.unpatchify as Tensor, row), wanted, { relative: 1e-5 }, `result ${row}`);
    }
  });

  it('rotates tokens by their places, and a part of a picture as the whole', async () => {
    const file = await openDit('trace_transformer_flux');
    const whole = { row: 0, rows: ROWS / 2, column: 0, columns: COLUMNS / 2 };
    const tables = rotationTables(config.axes_dims_rope, TEXT, whole);
    for (const [index, table] of [tables.cosines, tables.sines].entries()) {
      const wanted = await file.read(`out:pos_embed:${index}`);
      // diffusers has the number of each pair twice.
      const doubled = (wanted.data as Float32Array).map((_, place) => table.data[place >> 1] as number);
      assertClose(float32(wanted.shape, doubled), wanted, { absolute: 2e-7 }, `table ${index}`);
    }
    const part = rotationTables(config.axes_dims_rope, 0, { ...whole, row: 2, rows: 3 });
    const pairs = 8;
    const start = (TEXT + 2 * whole.columns) * pairs;
    assert.deepEqual(part.sines.data, tables.sines.data.slice(start, start + part.sines.data.length));
  });

  it('gives the timestep and latents as the pipeline of diffusers does', () => {
    const model = fluxModel(readFluxTransformer2DConfig(config));
    assert.equal(model.timestepInput?.(1000), 1000);
    const image = float32([1, 16, ROWS, COLUMNS]);
    image.data.forEach((_, index) => {
      image.data[index] = index;
    });
    const packed = model.packed?.(image) as Tensor<'float32'>;
    assert.deepEqual(packed.shape, [1, (ROWS * COLUMNS) / 4, 64]);
    assert.deepEqual(unpack(packed), image);
  });

  it('refuses a config that computes something else, in one line', () => {
    const refused = [
      [
        { axes_dims_rope: [16] },
        /^transformer\/config.json: axes_dims_rope = \[16\] has 1 axes, and tokens have/,
      ],
      [
        { axes_dims_rope: [4, 6, 8] },
        /axes_dims_rope = \[4, 6, 8\] adds up to 18, not to attention_head_dim = 16/,
      ],
      [{ axes_dims_rope: [5, 5, 6] }, /axes_dims_rope = \[5, 5, 6\] has an odd number/],
      [{ axes_dims_rope: 'x' }, /a list of at most 16 whole numbers .* for axes_dims_rope but found "x"/],
      [{ patch_size: 2 }, /patch_size = 2 is not implemented; 1 would work/],
      [{ out_channels: 32 }, /out_channels = 32 is not implemented; 64 would work/],
      [{ in_channels: 6 }, /in_channels = 6 is not a multiple of/],
      [{ num_layers: '4' }, /for num_layers but found "4"/],
      [{ _class_name: 'SD3Transformer2DModel' }, /_class_name = "SD3Transformer2DModel" is not implemented/],
    ] as const;
    for (const [change, message] of refused) {
      assert.throws(() => readFluxTransformer2DConfig({ ...config, ...change }), { message });
    }
  });
});
