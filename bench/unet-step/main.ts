import { deviceChoices } from '../../src/engine/device.js';
import { availableCpus } from '../../src/machine/cpus.js';
import { integer, oneOf, option, runBench, word } from '../bench.js';
import { type Contestant, ratioText, tableOfTimes, takeTurns } from '../turns.js';
import { distriContestant, standardContestant } from './contestants.js';
import { guidedShape, makeModel, namedConfig } from './model.js';

const lowered = deviceChoices.filter(({ engine }) => engine === 'lowered');

const options = {
  random_weights: option(word('name'), 'architecture', 'sdxl-mid'),
  image_size: option(integer(), 'side of the picture in pixels', 512),
  rounds: option(integer(), 'steps of each contestant', 6),
  ranks: option(
    integer(),
    'ranks of one contestant, threads of the others',
    Math.min(2, availableCpus().count),
  ),
  weights: option(oneOf(['private', 'shared']), "distri's weights", 'private'),
};

await runBench(
  {
    name: 'unet-step',
    text:
      'One denoising step of an architecture with random weights, guidance in one batch: the model in ' +
      'standard operators in onnxruntime-node, distri on 1 rank with N threads, on N ranks with a thread ' +
      'each (displaced patches, stale), and by commands on 1 rank with N threads in every element type. ' +
      'Contestants take turns; prints the best and the median of each, and ratios.',
    options,
  },
  async (given, signal) => {
    const { random_weights: name, image_size: size, rounds, ranks, weights } = given;
    const { model, remove } = await makeModel(await namedConfig(name), guidedShape(size));
    const contestants: Contestant[] = [];
    try {
      contestants.push(await standardContestant(model, ranks));
      contestants.push(await distriContestant(model, 1, ranks, weights, { signal }));
      contestants.push(await distriContestant(model, ranks, 1, weights, { signal }));
      for (const device of lowered) {
        contestants.push(await distriContestant(model, 1, ranks, weights, { device, signal }));
      }
      const times = await takeTurns(contestants, rounds, signal);
      console.log(`${name}, ${size} px, batch of two, weights ${weights}, ${rounds} rounds`);
      report(contestants, times);
    } finally {
      for (const contestant of contestants) await contestant.close();
      await remove();
    }
  },
);

function report(contestants: readonly Contestant[], times: readonly (readonly number[])[]): void {
  for (const line of tableOfTimes(contestants, times)) console.log(line);
  const [standard, one, many, ...byCommands] = times as (readonly number[])[];
  const ratio = (title: string, of: readonly number[] | undefined, to: readonly number[] | undefined) =>
    console.log(`${`${title}:`.padEnd(38)}${ratioText(of ?? [], to ?? [])}`);
  ratio('distri 1 rank / standard operators', one, standard);
  ratio('distri N ranks / 1 rank', many, one);
  for (const [index, { dtype }] of lowered.entries())
    ratio(`${dtype} by commands / 1 rank`, byCommands[index], one);
}
