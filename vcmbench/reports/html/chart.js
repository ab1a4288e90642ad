// One rate–performance chart per metric column. The curves shown, the images and the rate axis are common to all.

const figures = [...document.querySelectorAll("figure.chart[data-column]")];

const MOST_BANDS = 12; // with more curves, bands would cover each other

function drawable(point) {
  return point.bpp !== null && (point.bpp > 0 || !chosen.logarithmic);
}

function drawCharts() {
  const shown = [...curves.keys()].filter((index) => !chosen.hidden.has(index));
  const series = shown.map((index) => ({ index, points: pointsOf(index).filter(drawable) }));
  const rates = series.flatMap(({ points }) => points.map((point) => point.bpp));
  hide();
  for (const figure of figures) drawWhenNear(figure, () => drawChart(figure, series, rates));
}

function drawChart(figure, series, rates) {
  const svg = figure.querySelector("svg");
  const column = Number(figure.dataset.column);
  const drawn = series.map(({ index, points }) => ({ index, points: points.filter((point) => point.means[column] !== null) }));
  const hasBands = drawn.filter(({ points }) => points.length).length <= MOST_BANDS;
  const values = drawn.flatMap(({ points }) =>
    points.flatMap((point) => [point.means[column], ...(point.intervals[column] ?? [])]));
  svg.replaceChildren();
  figure.points = [];
  if (values.length === 0) {
    text("no values to show", (PLOT.left + PLOT.right) / 2, (PLOT.top + PLOT.bottom) / 2, "middle", svg);
    return;
  }
  const x = rateScale(rates, chosen.logarithmic);
  const y = valueScale(values, PLOT.bottom, PLOT.top);
  drawAxes(svg, x, y, "bits per pixel");
  for (const each of drawn) drawCurve(svg, figure, column, { ...each, hasBands }, x, y);
  setTabStop(figure);
}

function drawCurve(svg, figure, column, { index, points, hasBands }, x, y) {
  const group = element("g", { class: `curve c${index % COLOURS}`, "data-curve": index }, svg);
  const places = points.map((point) => ({ point, x: x.place(point.bpp), y: y.place(point.means[column]) }));
  if (hasBands) drawBand(group, column, points, x, y);
  if (places.length > 1) drawLine(group, index, places.map((place) => `${place.x},${place.y}`).join("L"));
  for (const place of places) {
    const words = describe(place.point, column);
    figure.points.push({ ...place, node: drawMarker(group, index, place.x, place.y, words), words });
  }
}

// The 95 % intervals: an area where a curve has several, else a bar.
function drawBand(parent, column, points, x, y) {
  const certain = points.filter((point) => point.intervals[column]);
  if (!certain.length) return;
  const [lows, highs] = [0, 1].map((end) =>
    certain.map((point) => `${x.place(point.bpp)},${y.place(point.intervals[column][end])}`));
  element("path", { class: "band", d: `M${[...highs, ...lows.reverse()].join("L")}Z` }, parent);
}

function describe(point, column) {
  const { title, unit } = columns[column];
  const value = Number(point.means[column].toPrecision(5));
  const interval = point.intervals[column]?.map((end) => Number(end.toPrecision(5)));
  return [
    point.setting,
    `${point.bpp.toFixed(4)} bpp`,
    `${title} ${value} ${unit}`.trim(),
    ...(interval ? [`95 %: ${interval[0]} to ${interval[1]}`] : []),
    `n = ${point.counts[column]}`,
  ];
}

function startCharts() {
  figures.forEach(tellPoints);
  followers.push((changed) => {
    if (["hidden", "logarithmic", "slice"].some((key) => changed.includes(key))) drawCharts();
  });
}
