import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DtypeName, dtypeNames, loweredDevice, referenceDevice } from '../../src/engine/device.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { integer, oneOf, option, runBench, word } from '../bench.js';
import { type Contestant, ratioText, tableOfTimes, takeTurns } from '../turns.js';
import { distriContestant } from '../unet-step/contestants.js';
import { guidedShape, makeModel, namedConfig } from '../unet-step/model.js';
import { makeVaeCheckpoint } from '../vae/checkpoint.js';
import { type PeerOptions, peerContestant, pictureContestant, vaeContestant } from './contestants.js';

const options = {
  what: option(
    oneOf(['unet', 'vae', 'picture']),
    'a UNet call, a decoding, or a picture of 20 steps',
    'unet',
  ),
  random_weights: option(word('name'), 'architecture of the UNet', 'sdxl-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 512),
  rounds: option(integer(), 'steps of each contestant', 8),
  threads: option(integer(), 'threads of each contestant', availableCpus().count),
  python: option(word('path'), 'a Python with openvino, torch and diffusers', 'python3'),
};

/** Who takes part, first those of distri's commands; `remove` deletes their files. */
interface Contest {
  readonly contestants: readonly (() => Promise<Contestant>)[];
  readonly remove: () => Promise<void>;
}

await runBench(
  {
    name: 'peers',
    text:
      "distri's commands beside OpenVINO and PyTorch, on the same random weights, or beside distri on ONNX " +
      'Runtime (picture). Contestants take turns; prints the best and the median of each, and ratios.',
    options,
  },
  async ({ what, random_weights: name, image_size: size, rounds, threads, python }, signal) => {
    const peer = { python, size, threads };
    const contest = await {
      unet: () => unetContest(name, peer, signal),
      vae: () => vaeContest(peer, signal),
      picture: async () => pictureContest(threads),
    }[what]();
    const contestants: Contestant[] = [];
    try {
      for (const start of contest.contestants) contestants.push(await start());
      const times = await takeTurns(contestants, rounds, signal);
      console.log(`${what}, ${size} px, ${threads} threads, ${rounds} rounds`);
      report(contestants, times);
    } finally {
      for (const contestant of contestants) await contestant.close();
      await contest.remove();
    }
  },
);

type Machine = Pick<PeerOptions, 'python' | 'size' | 'threads'>;

async function unetContest(name: string, peer: Machine, signal: AbortSignal): Promise<Contest> {
  const { model, remove } = await makeModel(await namedConfig(name), guidedShape(peer.size));
  const folder = join(model.directory, 'unet');
  const own = (dtype: DtypeName) => {
    const device = loweredDevice(dtype);
    return () => distriContestant(model, 1, peer.threads, 'private', { device, signal });
  };
  const other = (engine: PeerOptions['engine'], dtype: DtypeName) => () =>
    peerContestant({ ...peer, engine, network: 'unet', dtype, folder }, signal);
  return {
    contestants: [
      ...dtypeNames.map(own),
      other('torch', 'bf16'),
      ...dtypeNames.map((dtype) => other('openvino', dtype)),
    ],
    remove,
  };
}

async function vaeContest(peer: Machine, signal: AbortSignal): Promise<Contest> {
  const { size, threads } = peer;
  const temporary = await mkdtemp(join(tmpdir(), 'distri-bench-'));
  const directory = await makeVaeCheckpoint(temporary);
  const own = (dtype: DtypeName) => () =>
    vaeContestant({ directory, size, threads, device: loweredDevice(dtype), profile: undefined }, signal);
  const folder = join(directory, 'vae');
  const torch = () =>
    peerContestant({ ...peer, engine: 'torch', network: 'vae', dtype: 'bf16', folder }, signal);
  return { contestants: [...dtypeNames.map(own), torch], remove: () => rm(temporary, { recursive: true }) };
}

function pictureContest(threads: number): Contest {
  const lowered = dtypeNames.map(loweredDevice);
  const devices = [...lowered, referenceDevice];
  const contestants = devices.map((device) => () => pictureContestant(device, threads));
  return { contestants, remove: async () => {} };
}

/** Each of distri's, against each of the others. */
function report(contestants: readonly Contestant[], times: readonly (readonly number[])[]): void {
  for (const line of tableOfTimes(contestants, times)) console.log(line);
  const own = dtypeNames.length;
  for (const [index, { name }] of contestants.slice(0, own).entries()) {
    for (const [other, { name: otherName }] of contestants.slice(own).entries()) {
      const ratio = ratioText(times[index] ?? [], times[own + other] ?? []);
      console.log(`${name} / ${otherName}: ${ratio}`);
    }
  }
}
