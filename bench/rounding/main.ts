import { type DeviceChoice, deviceChoices, deviceText, openDevice } from '../../src/engine/device.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { optional, runBench, word } from '../bench.js';
import { markdownTable } from '../markdown.js';
import { type Case, operatorCases } from './cases.js';
import { asDoubles, type Doubles, evaluate } from './doubles.js';

const options = {
  only: optional(word('text'), 'operators whose names contain this', 'all'),
};

await runBench(
  {
    name: 'rounding',
    text:
      'How far float32 is off in each operator, by every engine: random operands, compared with double ' +
      "precision. The largest and the root mean square of the errors, in units of float32's epsilon (2^-23) " +
      'times the root mean square of the result.',
    options,
  },
  async ({ only = '' }, signal) => {
    const devices = deviceChoices.filter(({ dtype }) => dtype === 'fp32');
    const rows: string[][] = [];
    for (const tested of operatorCases().filter(({ name }) => name.includes(only))) {
      signal.throwIfAborted();
      const { part, inputs } = tested;
      const given = Object.entries(inputs).map(([name, tensor]) => [name, asDoubles(tensor)] as const);
      const { y: exact } = await evaluate(part, Object.fromEntries(given));
      const cells = [];
      for (const device of devices) cells.push(cellOf(errorOf(await run(tested, device), exact as Doubles)));
      rows.push([tested.name, ...cells]);
    }
    console.log(markdownTable(['largest, rms', ...devices.map(deviceText)], rows));
  },
);

async function run({ part, inputs }: Case, device: DeviceChoice): Promise<Tensor> {
  const executable = await openDevice(device).load(part, {
    threads: 1,
    weights: 'private',
    rank: 0,
    communicator: undefined,
  });
  const { y } = await executable.run(inputs);
  executable.release();
  return y as Tensor;
}

interface RoundingError {
  readonly largest: number;
  readonly rms: number;
}

function errorOf(actual: Tensor, exact: Doubles): RoundingError {
  const off = exact.data.map((value, i) => Number(actual.data[i]) - value);
  const unit = 2 ** -23 * rootMeanSquare(exact.data);
  return {
    largest: off.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / unit,
    rms: rootMeanSquare(off) / unit,
  };
}

function cellOf({ largest, rms }: RoundingError): string {
  return `${largest.toFixed(2)}, ${rms.toFixed(3)}`;
}

function rootMeanSquare(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}
