import type { Operation, Value } from '../../graph/value.js';
import type { Lowering } from './lowering.js';

/** x `[batch, tokens, features]` with pairs of neighbouring features rotated by the angles of their token. */
export function lowerRotary(lowering: Lowering, { spec, outputs }: Operation): void {
  const [x, , cosines, sines] = spec.inputs as [Value, Value, Value, Value];
  const operands = { x: lowering.view(x), cosines: lowering.view(cosines), sines: lowering.view(sines) };
  const y = lowering.allocate(outputs[0] as Value, operands.x.dtype);
  lowering.emit('Rotate', spec.name, { ...operands, y });
}
