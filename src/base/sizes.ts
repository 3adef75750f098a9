/** Of a picture in pixels. */
export interface PictureSize {
  /** In pixels. */
  readonly height: number;
  /** In pixels. */
  readonly width: number;
}

/** Of an image as tensors have it: pixels, latents or tokens. */
export interface GridSize {
  /** Of the whole image, not of a rank's part. */
  readonly rows: number;
  /** Of the whole image, not of a rank's part. */
  readonly columns: number;
}
