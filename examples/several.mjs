// Draws several prompts at the same time, each on ranks of its own: node examples/several.mjs
import { DistriPipeline } from 'distri';
import sharp from 'sharp';

const prompts = ['a red heart', 'a white star', 'a blue ring', 'a green box'];

// Two groups of one rank. Calls wait for a free one.
const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 2, dataParallel: 2 });
const outputs = await Promise.all(
  prompts.map((prompt, seed) => pipeline({ prompt, seed, numInferenceSteps: 15 })),
);
await pipeline.dispose();

for (const [index, { images, reports }] of outputs.entries()) {
  const [{ data, info }] = images;
  await sharp(data, { raw: info })
    .png()
    .toFile(`${prompts[index].replaceAll(' ', '-')}.png`);
  console.log(`${prompts[index]}: ${(reports[0].latency / 1000).toFixed(2)} s`);
}
