/** Of a picture in pixels. */
export interface PictureSize {
  readonly height: number;
  readonly width: number;
}

/** Of an image as tensors have it: pixels, latents or tokens. */
export interface GridSize {
  readonly rows: number;
  readonly columns: number;
}
