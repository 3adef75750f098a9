import { expected } from '../../src/base/errors.js';
import { readJsonObject } from '../../src/base/json.js';
import { argument, integer, option, runBench } from '../bench.js';
import { barsOf, type TraceEvent } from './bars.js';
import { plotTimeline } from './plot.js';

const options = {
  timeline: argument('file that `distri run-… --timeline` wrote'),
  steps: option(integer(), 'steps that are drawn, from the first', 3),
};

await runBench(
  {
    name: 'timeline',
    text:
      'Draws a timeline as a picture, a row per rank; prints SVG. Of pipefusion: what a rank computes in ' +
      'the colour of the patch, what it waits for in gray. Of other runs: whole steps, each with the time ' +
      'that it waited in gray at the end.',
    options,
  },
  async ({ timeline, steps }) => {
    const bars = barsOf(await readEvents(timeline), steps);
    if (bars.length === 0) throw expected('a timeline with steps', 'the file', timeline);
    process.stdout.write(plotTimeline(bars));
  },
);

async function readEvents(path: string): Promise<readonly TraceEvent[]> {
  const { traceEvents = [] } = (await readJsonObject(path)) as {
    readonly traceEvents?: readonly TraceEvent[];
  };
  return traceEvents;
}
