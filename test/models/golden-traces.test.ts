import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SafetensorsFile } from '../../src/checkpoint/formats/safetensors.js';
import { openCheckpoint } from '../../src/families/open-checkpoint.js';
import {
  AutoencoderKLDecoder,
  AutoencoderKLEncoder,
  readAutoencoderKLConfig,
} from '../../src/models/autoencoder-kl.js';
import {
  CLIPTextModel,
  eosPosition,
  hiddenStateName,
  readCLIPTextConfig,
} from '../../src/models/clip-text.js';
import { readUNet2DConditionConfig, UNet2DConditionModel } from '../../src/models/unet-2d-condition.js';
import { tileRows } from '../../src/pipelines/conditioning.js';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.js';
import { assertClose, openDiffusers, tinySd15, tinySd21, tinySdxl } from '../support/golden.js';
import { runComponent } from '../support/run-graph.js';

const checkpoints = { sdxl: tinySdxl, sd15: tinySd15, sd21: tinySd21 } as const;

/** A module's name in our graph, where another node makes its result. */
function valueName(module: string): string {
  return module
    .replace(/^time_embedding$|^add_embedding$/, '$&.linear_2')
    .replace(/(attn[12])$/, '$1.to_out.0')
    .replace(/ff$/, 'ff.net.2')
    .replace(/(downsamplers\.0|upsamplers\.0)$/, '$1.conv');
}

/** The modules of a trace whose results are values of our graph: fused ones are not. */
function tracedModules(file: SafetensorsFile): string[] {
  return [...file.tensors.keys()]
    .filter((name) => name.startsWith('out:') && name !== 'out:')
    .map((name) => name.slice('out:'.length))
    .filter(
      (module) =>
        !/norm[12]?$|norm_out$|conv_act$|#2$/.test(module) || /transformer_blocks.*norm[12]$/.test(module),
    );
}

async function input(file: SafetensorsFile, name: string): Promise<Tensor> {
  return file.read(`in:${name}`);
}

async function compareModules(
  file: SafetensorsFile,
  results: Readonly<Record<string, Tensor>>,
): Promise<void> {
  for (const module of tracedModules(file)) {
    const wanted = await file.read(`out:${module}`);
    const actual = results[valueName(module)] as Tensor<'float32'>;
    // All images of a batch have the same timestep, which is embedded once here.
    const once = /^time_/.test(module) && actual.shape[0] === 1;
    assertClose(
      once ? tileRows(actual, wanted.shape[0] as number) : actual,
      wanted,
      { relative: 1e-5 },
      module,
    );
  }
}

describe('layer by layer, models compute what diffusers and transformers compute', () => {
  for (const [name, checkpointFolder] of Object.entries(checkpoints)) {
    it(`UNet2DConditionModel of ${name}`, async () => {
      const file = await openDiffusers(`trace_unet_${name}`);
      const timestep = Number((await input(file, 'timestep')).data[0]);
      const sample = await input(file, 'sample');
      const [batch, , rows, columns] = sample.shape as [number, number, number, number];
      const results = await runComponent(
        checkpointFolder,
        'unet',
        async (checkpoint, layers) => {
          const config = readUNet2DConditionConfig(await checkpoint.config('unet'));
          const shape = { batch, rows, columns, textTokens: 77 };
          new UNet2DConditionModel(config, layers).build(shape);
        },
        tracedModules(file).map(valueName),
        {
          sample,
          timestep: float32([1], Float32Array.of(timestep)),
          encoder_hidden_states: await input(file, 'encoder_hidden_states'),
          ...(file.tensors.has('in:time_ids') && {
            text_embeds: await input(file, 'text_embeds'),
            time_ids: await input(file, 'time_ids'),
          }),
        },
      );
      await compareModules(file, results);
      assertClose(results.conv_out, await file.read('out:'), { relative: 1e-5 }, 'noise_pred');
    });
  }

  it('AutoencoderKL.decode', async () => {
    const file = await openDiffusers('trace_vae_decoder_sdxl');
    const results = await runComponent(
      tinySdxl,
      'vae',
      async (checkpoint, layers) => {
        const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
        new AutoencoderKLDecoder(config, layers).build({ batch: 1, rows: 8, columns: 8 });
      },
      tracedModules(file).map(valueName),
      { latents: await input(file, 'latents') },
    );
    await compareModules(file, results);
  });

  it('AutoencoderKL.encode', async () => {
    const file = await openDiffusers('trace_vae_encoder_sdxl');
    const modules = tracedModules(file).filter((module) => !['mean', 'logvar'].includes(module));
    const results = await runComponent(
      tinySdxl,
      'vae',
      async (checkpoint, layers) => {
        const config = readAutoencoderKLConfig(await checkpoint.config('vae'));
        new AutoencoderKLEncoder(config, layers).build({ batch: 1, height: 64, width: 64 });
      },
      modules.map(valueName),
      { pixels: await input(file, 'pixels') },
    );
    for (const module of modules) {
      const wanted = await file.read(`out:${module}`);
      assertClose(results[valueName(module)], wanted, { relative: 1e-5 }, module);
    }
  });

  for (const [name, component] of [
    ['sdxl', 'text_encoder'],
    ['sdxl', 'text_encoder_2'],
    ['sd15', 'text_encoder'],
    ['sd21', 'text_encoder'],
  ] as const) {
    it(`${component} of ${name}`, async () => {
      const file = await openDiffusers(`trace_text_${name}`);
      const config = readCLIPTextConfig(
        component,
        await (await openCheckpoint(checkpoints[name])).config(component),
      );
      const ids = await file.read(`${component}.input_ids`);
      const hidden = Array.from({ length: config.layers + 1 }, (_, layer) => layer).filter((layer) =>
        file.tensors.has(`${component}.hidden_states_00${layer}`),
      );
      assert.ok(hidden.length > 0);
      const results = await runComponent(
        checkpoints[name],
        component,
        async (_, layers) => {
          const parts = { batch: 2, hiddenLayer: config.layers, pooled: true };
          new CLIPTextModel(config, layers).build(parts);
        },
        [
          ...hidden.filter((layer) => layer < config.layers).map(hiddenStateName),
          'text_model.final_layer_norm',
        ],
        { input_ids: ids, eos_positions: eosPositions(ids, config.eosTokenId) },
      );
      for (const layer of hidden) {
        const wanted = await file.read(`${component}.hidden_states_00${layer}`);
        assertClose(results[hiddenStateName(layer)], wanted, { absolute: 1e-5 }, `hidden state ${layer}`);
      }
      const pooled = file.tensors.has(`${component}.text_embeds`) ? 'text_embeds' : 'pooler_output';
      assertClose(results.pooled, await file.read(`${component}.${pooled}`), { absolute: 1e-5 }, pooled);
      const last = await file.read(`${component}.last_hidden_state`);
      assertClose(results['text_model.final_layer_norm'], last, { absolute: 1e-5 }, 'last_hidden_state');
    });
  }
});

function eosPositions(ids: Tensor, eosTokenId: number): Tensor {
  const [rows, length] = ids.shape as [number, number];
  assert.equal(ids.dtype, 'int64');
  const positions = Array.from({ length: rows }, (_, row) => {
    const tokens = Array.from(ids.data.subarray(row * length, (row + 1) * length), Number);
    return [BigInt(row), BigInt(eosPosition(tokens, eosTokenId))];
  });
  return int64([rows, 2], BigInt64Array.from(positions.flat()));
}
