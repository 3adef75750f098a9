/** Both parameters of the distribution that diffusers' beta sigmas use. */
const SHAPE = 0.6;
/** The beta function B(0.6, 0.6), gamma(0.6)^2 / gamma(1.2). */
const NORMALISATION = 2.4153442080024714;
const MAX_FRACTION_TERMS = 200;

/**
 * The quantile function of the beta distribution with both parameters 0.6: scipy's `beta.ppf(probability,
 * 0.6, 0.6)`.
 */
export function inverseBeta(probability: number): number {
  let low = 0;
  let high = 1;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return high;
    if (cumulativeBeta(middle) < probability) low = middle;
    else high = middle;
  }
}

/** The distribution function, by its continued fraction where that converges fast: up to the middle. */
function cumulativeBeta(x: number): number {
  if (x > 0.5) return 1 - cumulativeBeta(1 - x);
  const front = (x * (1 - x)) ** SHAPE / (SHAPE * NORMALISATION);
  return front / continuedFraction(x);
}

/** Numerical Recipes 6.4.5, evaluated with Lentz's method. */
function continuedFraction(x: number): number {
  let fraction = 1;
  let numerator = 1;
  let denominator = 0;
  for (let term = 1; term <= MAX_FRACTION_TERMS; term++) {
    const coefficient = fractionCoefficient(term) * x;
    denominator = 1 / (1 + coefficient * denominator);
    numerator = 1 + coefficient / numerator;
    fraction *= numerator * denominator;
    if (Math.abs(numerator * denominator - 1) < 2 ** -52) break;
  }
  return fraction;
}

function fractionCoefficient(term: number): number {
  const m = Math.floor(term / 2);
  const double = SHAPE + 2 * m;
  return term % 2 === 0
    ? (m * (SHAPE - m)) / ((double - 1) * double)
    : (-(SHAPE + m) * (2 * SHAPE + m)) / (double * (double + 1));
}
