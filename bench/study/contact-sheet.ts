import sharp from 'sharp';

const SIDE = 128;
const GAP = 4;

/** A WebP picture of pictures: a line for each row of `paths`. */
export async function contactSheet(rows: readonly (readonly string[])[], path: string): Promise<void> {
  const columns = Math.max(...rows.map((row) => row.length));
  const step = SIDE + GAP;
  const tiles = await Promise.all(
    rows.flatMap((row, y) =>
      row.map(async (picture, x) => ({
        input: await sharp(picture).resize(SIDE, SIDE).toBuffer(),
        left: x * step,
        top: y * step,
      })),
    ),
  );
  const size = { width: columns * step - GAP, height: rows.length * step - GAP };
  await sharp({ create: { ...size, channels: 3, background: 'white' } })
    .composite(tiles)
    .webp({ quality: 82 })
    .toFile(path);
}
