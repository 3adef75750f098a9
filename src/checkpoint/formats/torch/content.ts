/** What a container of torch holds. */
export interface TorchContent {
  readonly value: unknown;
  /** For each storage's key where its elements begin in the file. */
  readonly locations: ReadonlyMap<string, number>;
  /** The length of the pickle of `value`. */
  readonly pickleBytes: number;
}
