// Draws a picture and writes it as a PNG: node examples/draw.mjs [PROMPT] [MODEL]
import { DistriPipeline } from 'distri';
import sharp from 'sharp';

const [prompt, model] = process.argv.slice(2);

// Without a model the small one that comes with distri. A folder in diffusers' layout or an id of the Hugging
// Face hub works the same way.
const pipeline = await DistriPipeline.fromPretrained(model, { ranks: 2 });
const { images } = await pipeline({ prompt, numInferenceSteps: 20, seed: 7 });
await pipeline.dispose();

for (const [index, { data, info }] of images.entries()) {
  await sharp(data, { raw: info }).png().toFile(`picture-${index}.png`);
}
