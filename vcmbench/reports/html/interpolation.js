// A curve's value between its points: PCHIP over the logarithm of the rate, as in pchip.py and matched_rate.py.

const FEWEST_POINTS = 2;

// Slopes of Fritsch and Butland at inner points, of Moler at both ends.
function slopes(x, y) {
  const steps = x.slice(1).map((value, place) => value - x[place]);
  const secants = steps.map((step, place) => (y[place + 1] - y[place]) / step);
  if (x.length === 2) return [secants[0], secants[0]];
  const inner = secants.slice(1).map((after, place) => innerSlope(steps[place], steps[place + 1], secants[place], after));
  return [endSlope(steps, secants), ...inner, endSlope(steps.slice().reverse(), secants.slice().reverse())];
}

function innerSlope(step, nextStep, before, after) {
  if (Math.sign(before) * Math.sign(after) <= 0) return 0;
  const weights = [step + 2 * nextStep, 2 * step + nextStep];
  return (weights[0] + weights[1]) / (weights[0] / before + weights[1] / after);
}

function endSlope([step, nextStep], [secant, nextSecant]) {
  const slope = ((2 * step + nextStep) * secant - step * nextSecant) / (step + nextStep);
  if (Math.sign(slope) !== Math.sign(secant)) return 0;
  const overshoots = Math.sign(secant) !== Math.sign(nextSecant) && Math.abs(slope) > 3 * Math.abs(secant);
  return overshoots ? 3 * secant : slope;
}

function interpolated(x, y, at) {
  const segment = x.slice(1, -1).filter((value) => at >= value).length;
  const step = x[segment + 1] - x[segment];
  const rise = y[segment + 1] - y[segment];
  const [start, stop] = slopes(x, y).slice(segment, segment + 2).map((slope) => slope * step);
  const t = (at - x[segment]) / step;
  return y[segment] + t * (start + t * (3 * rise - 2 * start - stop + t * (start + stop - 2 * rise)));
}

function usablePoints(points, column) {
  return points.filter((point) => point.bpp !== null && point.bpp > 0 && point.means[column] !== null);
}

// { value } at a rate, or { reason } for none.
function readAt(points, column, rate) {
  const usable = usablePoints(points, column);
  const rates = usable.map((point) => point.bpp);
  const last = rates.length - 1;
  if (rates.length < FEWEST_POINTS) {
    return { reason: `${rates.length} usable point${last === 0 ? "" : "s"}; ${FEWEST_POINTS} are needed` };
  }
  const flat = rates.findIndex((value, place) => place < last && value === rates[place + 1]);
  if (flat >= 0) return { reason: `the rate does not rise from ${usable[flat].setting} to ${usable[flat + 1].setting}` };
  if (rate < rates[0] || rate > rates[last]) {
    return { reason: `outside its rates, ${brief(rates[0])} to ${brief(rates[last])} bpp` };
  }
  const value = interpolated(rates.map(Math.log), usable.map((point) => point.means[column]), Math.log(rate));
  return Number.isFinite(value) ? { value } : { reason: "the points are too close together to compute with" };
}

function brief(rate) {
  return String(Number(rate.toPrecision(3)));
}
