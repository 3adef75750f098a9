/** Predicted seconds. */
export interface Prediction {
  /** Of a step of the warm-up. */
  readonly synchronousStep: number;
  /** Of a step after it. */
  readonly step: number;
  /** Of all steps of a picture. */
  readonly picture: number;
}
