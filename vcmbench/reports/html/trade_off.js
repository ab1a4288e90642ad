// A human metric against a machine metric, every curve read at one rate, and the curves that no other is better than in both.

const tradeOff = document.getElementById("trade-off");
const SLIDER_STEPS = 1000;
const RIVALS_NAMED = 2;

function directed(kind) {
  return columns.filter((column) => column.kind === kind && column.better);
}

// The rates at which at least two curves can be read; of a single curve, its own.
function commonRates() {
  const ranges = curves
    .map(({ points }) => points.map((point) => point.bpp).filter((rate) => rate !== null && rate > 0))
    .filter((rates) => rates.length >= FEWEST_POINTS)
    .map((rates) => [Math.min(...rates), Math.max(...rates)]);
  const [lows, highs] = [0, 1].map((end) => ranges.map((range) => range[end]));
  const readable = (rate) => ranges.filter(([low, high]) => low <= rate && rate <= high).length;
  const shared = [...lows, ...highs].filter((rate) => readable(rate) >= Math.min(2, ranges.length));
  return { ...rounded(Math.min(...shared), Math.max(...shared)), middle: middleOfMost([...lows, ...highs], readable) };
}

// To four digits, inwards, so that a curve which ends there can still be read.
function rounded(low, high) {
  const unit = 10 ** (Math.floor(Math.log10(low)) - 3);
  const [first, last] = [Math.ceil(low / unit), Math.floor(high / unit)].map((count) => Number((count * unit).toPrecision(6)));
  return first < last ? { low: first, high: last } : { low, high };
}

// The middle of the interval of rates at which the most curves can be read.
function middleOfMost(ends, readable) {
  const sorted = [...new Set(ends)].sort((one, other) => one - other);
  const middles = sorted.slice(1).map((end, place) => Math.sqrt(end * sorted[place]));
  return middles.reduce((best, rate) => (readable(rate) > readable(best) ? rate : best), middles[0] ?? sorted[0]);
}

const rateRange = tradeOff ? commonRates() : null;

function currentRate() {
  const { low, high, middle } = rateRange;
  const isInside = chosen.rate !== null && low <= chosen.rate && chosen.rate <= high;
  return isInside ? chosen.rate : Number(middle.toPrecision(3));
}

function rateAt(position) {
  const { low, high } = rateRange;
  const rate = Number((low * (high / low) ** (position / SLIDER_STEPS)).toPrecision(4));
  return Math.min(Math.max(rate, low), high);
}

function positionOf(rate) {
  const { low, high } = rateRange;
  return high > low ? (SLIDER_STEPS * Math.log(rate / low)) / Math.log(high / low) : 0;
}

function currentColumns() {
  return ["human", "machine"].map((kind) => {
    const found = directed(kind);
    return found.includes(chosen[kind]) ? chosen[kind] : found[0];
  });
}

// ------------------------------------------------------------------------------------------------------ Pareto front

function isAsGood(column, one, other) {
  return column.better === "higher" ? one >= other : one <= other;
}

// Whether `one` is as good as `other` in every column, and better in one of them.
function beats(pair, one, other) {
  const asGood = pair.every((column, place) => isAsGood(column, one.values[place], other.values[place]));
  return asGood && one.values.some((value, place) => value !== other.values[place]);
}

// Every shown curve with both values, its `rivals` that are better, or the reason why it has none.
function readCurves(pair, rate) {
  const shown = [...curves.keys()].filter((index) => !chosen.hidden.has(index));
  const read = shown.map((index) => {
    const points = pointsOf(index);
    const found = pair.map((column) => readAt(points, columns.indexOf(column), rate));
    const missing = found.findIndex(({ reason }) => reason);
    const reason = missing < 0 ? "" : `${pair[missing].title}: ${found[missing].reason}`;
    return { index, values: found.map(({ value }) => value), reason };
  });
  const placed = read.filter(({ reason }) => !reason);
  for (const one of placed) one.rivals = placed.filter((other) => beats(pair, other, one));
  return { placed, without: read.filter(({ reason }) => reason) };
}

// ----------------------------------------------------------------------------------------------------------- drawing

function drawTradeOff() {
  const rate = currentRate();
  const pair = currentColumns();
  const { placed, without } = readCurves(pair, rate);
  const front = placed.filter(({ rivals }) => !rivals.length);
  hide();
  followRate(rate);
  followMetrics(pair);
  drawScatter(pair, rate, placed, front);
  nameFront(rate, placed, front);
  listCurves(pair, placed, without);
}

function followRate(rate) {
  const slider = document.getElementById("rate-slider");
  slider.value = positionOf(rate);
  slider.setAttribute("aria-valuetext", `${rate} bits per pixel`);
  document.getElementById("rate").value = rate;
}

function followMetrics(pair) {
  for (const column of pair) document.getElementById(`${column.kind}-metric`).value = column.name;
}

function drawScatter(pair, rate, placed, front) {
  const figure = tradeOff.querySelector("figure");
  const svg = figure.querySelector("svg");
  svg.replaceChildren();
  svg.setAttribute("aria-label", `${pair[1].heading} over ${pair[0].heading} at ${rate} bits per pixel`);
  document.getElementById("vertical").textContent = pair[1].heading;
  figure.points = [];
  if (!placed.length) {
    text("no curve has both values at this rate", (PLOT.left + PLOT.right) / 2, (PLOT.top + PLOT.bottom) / 2, "middle", svg);
    return;
  }
  const x = valueScale(placed.map(({ values }) => values[0]), PLOT.left, PLOT.right);
  const y = valueScale(placed.map(({ values }) => values[1]), PLOT.bottom, PLOT.top);
  drawAxes(svg, x, y, pair[0].heading);
  const places = (each) => [x.place(each.values[0]), y.place(each.values[1])];
  drawFront(svg, pair, front.map(places));
  for (const each of placed) figure.points.push(drawPlace(svg, pair, rate, each, places(each)));
  setTabStop(figure);
}

// Stairs through the front's curves: what lies beyond them on the better side, no curve reaches.
function drawFront(svg, [human], places) {
  const sorted = places.sort(([one], [other]) => one - other);
  const corners = sorted.slice(1).map(([x, y], place) => {
    const [lastX, lastY] = sorted[place];
    return human.better === "higher" ? `L${lastX},${lastY}V${y}H${x}` : `L${lastX},${lastY}H${x}V${y}`;
  });
  if (corners.length) element("path", { class: "front", d: `M${sorted[0]}${corners.join("")}` }, svg);
}

function drawPlace(svg, pair, rate, { index, values, rivals }, [x, y]) {
  const words = [
    curves[index].name,
    `${rate} bpp, interpolated`,
    ...pair.map(({ title, unit }, place) => `${title} ${Number(values[place].toPrecision(5))} ${unit}`.trim()),
    rivals.length ? "not on the Pareto front" : "on the Pareto front",
  ];
  const group = element("g", { class: `curve c${index % COLOURS}`, "data-curve": index }, svg);
  if (!rivals.length) element("circle", { class: "halo", cx: x, cy: y, r: 9 }, group);
  return { node: drawMarker(group, index, x, y, words), x, y, words };
}

// ------------------------------------------------------------------------------------------------------------- words

function nameFront(rate, placed, front) {
  const names = front.map(({ index }) => curves[index].name).join(", ");
  const hidden = chosen.hidden.size ? ` ${chosen.hidden.size} of ${curves.length} curves are hidden.` : "";
  const images = chosen.slice ? ` Images: ${chosen.slice.name}.` : "";
  const found = names ? `Pareto front at ${rate} bpp, of ${placed.length} curves: ${names}.` : `No front at ${rate} bpp.`;
  document.getElementById("front").textContent = `${found}${images}${hidden}`;
}

function listCurves(pair, placed, without) {
  const table = tradeOff.querySelector("table");
  const titles = table.tHead.rows[0].cells;
  pair.forEach((column, place) => { titles[place + 1].textContent = column.heading; });
  const nearest = [...placed].sort((one, other) => one.rivals.length - other.rivals.length);
  const rows = [...nearest, ...without].map((each) => curveRow(pair, each));
  table.tBodies[0].replaceChildren(...rows);
}

function curveRow(pair, { index, values, rivals, reason }) {
  const row = document.createElement("tr");
  const heading = saying("th", "", row, { scope: "row" });
  saying("span", curves[index].name, heading, { class: "name" });
  pair.forEach(({ digits }, place) => saying("td", reason ? "–" : spell(values[place], digits), row));
  saying("td", reason || standing(rivals), row, { class: "words" });
  return row;
}

function standing(rivals) {
  const names = rivals.slice(0, RIVALS_NAMED).map(({ index }) => curves[index].name).join(", ");
  const more = rivals.length > RIVALS_NAMED ? ` and ${rivals.length - RIVALS_NAMED} more` : "";
  return names ? `behind ${names}${more}` : "on the front";
}

// ---------------------------------------------------------------------------------------------------------- controls

function startTradeOff() {
  if (!tradeOff) return;
  for (const kind of ["human", "machine"]) {
    const select = document.getElementById(`${kind}-metric`);
    for (const column of directed(kind)) saying("option", column.heading, select, { value: column.name });
    select.addEventListener("change", () => choose({ [kind]: directed(kind)[select.selectedIndex] }));
  }
  const slider = document.getElementById("rate-slider");
  slider.addEventListener("input", () => choose({ rate: rateAt(Number(slider.value)) }, true));
  document.getElementById("rate").addEventListener("change", ({ target }) => {
    const { low, high } = rateRange;
    choose({ rate: target.value > 0 ? Math.min(Math.max(Number(target.value), low), high) : null });
  });
  tellPoints(tradeOff.querySelector("figure"));
  followers.push((changed) => {
    if (["hidden", "slice", "rate", "human", "machine"].some((key) => changed.includes(key))) drawWhenNear(tradeOff, drawTradeOff);
  });
}
