/** A group normalisation and the activation after it. */
export interface NormSpec {
  readonly groups: number;
  readonly epsilon: number;
  readonly activation: 'none' | 'silu';
}

/** The code of an activation in attributes of domain `distri`. */
export function activationCode(activation: NormSpec['activation']): number {
  return activation === 'silu' ? 1 : 0;
}
