import type { PictureSize } from '../base/sizes.js';
import type { Family } from '../families/family.js';
import type { Observer } from './observer.js';

/** The size that a family draws where this one is asked for; says so where it is another. */
export function drawnSize(family: Family, asked: PictureSize, observer?: Observer): PictureSize {
  const size = family.drawnSize?.(asked) ?? asked;
  if (size.height !== asked.height || size.width !== asked.width) {
    observer?.note(`${family.title} draws ${family.sizes}: ${sizeText(size)} for ${sizeText(asked)}`);
  }
  return size;
}

/** As people write it: width first. */
function sizeText({ width, height }: PictureSize): string {
  return `${width}x${height}`;
}
