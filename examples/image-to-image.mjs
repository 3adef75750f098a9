// Draws over a picture that is in memory: node examples/image-to-image.mjs
import { DistriPipeline } from 'distri';
import sharp from 'sharp';

const sketch = await sharp({ create: { width: 256, height: 256, channels: 3, background: '#101840' } })
  .composite([
    {
      input: Buffer.from(
        '<svg width="256" height="256"><circle cx="128" cy="128" r="70" fill="#ffd040"/></svg>',
      ),
    },
  ])
  .png()
  .toBuffer();

const pipeline = await DistriPipeline.fromPretrained(undefined, { ranks: 2 });
const { images } = await pipeline({
  prompt: 'a yellow star on a night sky',
  initImage: sketch,
  strength: 0.6,
  numInferenceSteps: 30,
});
await pipeline.dispose();

await sharp(images[0].data, { raw: images[0].info }).png().toFile('star.png');
