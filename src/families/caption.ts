import { strip } from '../tokenizers/white-space.js';

/** Of PixArt-alpha's captions. */
export const CAPTION_TOKENS = 120;

/**
 * A prompt as PixArt's text encoder gets it: in lower case. As diffusers' PixArtAlphaPipeline without
 * beautifulsoup4 and ftfy, whatever `clean_caption` says.
 */
export function preprocessCaption(text: string): string {
  return strip(text.toLowerCase());
}
