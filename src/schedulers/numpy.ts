/**
 * Like numpy's functions of the same names, which diffusers plans its schedules with, to the last bit in
 * float64.
 */

/** `count` numbers at equal distances, the first `start` and the last `stop`. */
export function linspace(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return Array.from({ length: count }, (_, i) => {
    if (i === 0) return start;
    return i === count - 1 ? stop : i * step + start;
  });
}

/** `start`, `start + step`, … before `stop`; `step` may be negative and need not be whole. */
export function arange(start: number, stop: number, step: number): number[] {
  const count = Math.max(0, Math.ceil((stop - start) / step));
  const delta = start + step - start;
  return Array.from({ length: count }, (_, i) => start + i * delta);
}

/** To the nearest whole number, halves to the even one. */
export function round(value: number): number {
  const below = Math.floor(value);
  const fraction = value - below;
  if (fraction === 0.5) return below % 2 === 0 ? below : below + 1;
  return fraction < 0.5 ? below : below + 1;
}

/** The value at `position` of a curve through `values` at 0, 1, 2, …; beyond its ends the value there. */
export function interpolate(position: number, values: Float32Array): number {
  const last = values.length - 1;
  if (position <= 0) return values[0] as number;
  if (position >= last) return values[last] as number;
  const below = Math.floor(position);
  const value = values[below] as number;
  return ((values[below + 1] as number) - value) * (position - below) + value;
}
