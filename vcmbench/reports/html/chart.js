"use strict";
// One rate–performance chart per metric column, drawn from the numbers in #data. The curves shown and the rate axis are
// common to all charts.

const { columns, curves } = JSON.parse(document.getElementById("data").textContent);
const legend = document.getElementById("legend");
const tooltip = document.getElementById("tooltip");
const figures = [...document.querySelectorAll("figure.chart")];

const PLOT = { left: 54, right: 428, top: 12, bottom: 250 };
const COLOURS = 7;
const MARKERS = [
  "M-4.5,0a4.5,4.5 0 1 0 9,0a4.5,4.5 0 1 0 -9,0", // circle
  "M-4,-4h8v8h-8z", // square
  "M0,-5.5L5,4H-5z", // triangle
  "M0,-5.8L5.2,0L0,5.8L-5.2,0z", // diamond
  "M0,5.5L5,-4H-5z", // triangle pointing down
  "M-1.8,-5h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z", // plus
];
const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];
const FAR = 3; // a curve that begins beyond so many times the others' highest rate is hidden until asked for
const REACH = 24; // how far from a point, in units of the drawing, it is still picked

let hidden = new Set();
let logarithmic = false;

function element(name, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

function text(content, x, y, anchor, parent) {
  element("text", { x, y, "text-anchor": anchor }, parent).textContent = content;
}

// ------------------------------------------------------------------------------------------------------------ scales

function linearTicks(low, high) {
  const rough = (high - low) / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: count }, (_, index) => {
    const value = (first + index) * step;
    return { value, label: value.toFixed(decimals) };
  });
}

function logarithmicTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const factor of [1, 2, 5]) ticks.push(Number((factor * 10 ** power).toPrecision(1)));
  }
  const inside = ticks.filter((value) => value >= low && value <= high);
  if (inside.length < 2) return linearTicks(low, high);
  return inside.map((value) => ({ value, label: String(value) }));
}

function rateScale(rates) {
  const shape = logarithmic ? Math.log : (rate) => rate;
  const low = logarithmic ? Math.min(...rates) / 1.15 : 0;
  const high = Math.max(...rates) * (logarithmic ? 1.15 : 1.05) || 1;
  const span = shape(high) - shape(low);
  return {
    place: (rate) => PLOT.left + ((shape(rate) - shape(low)) / span) * (PLOT.right - PLOT.left),
    ticks: logarithmic ? logarithmicTicks(low, high) : linearTicks(low, high),
  };
}

function valueScale(values) {
  const spread = Math.max(...values) - Math.min(...values) || Math.abs(values[0]) || 1;
  const low = Math.min(...values) - 0.07 * spread;
  const high = Math.max(...values) + 0.07 * spread;
  return {
    place: (value) => PLOT.bottom - ((value - low) / (high - low)) * (PLOT.bottom - PLOT.top),
    ticks: linearTicks(low, high),
  };
}

// ------------------------------------------------------------------------------------------------------------ charts

function drawable(point) {
  return point.bpp !== null && (point.bpp > 0 || !logarithmic);
}

function drawAll() {
  const shown = curves.filter((_, index) => !hidden.has(index));
  const rates = shown.flatMap((curve) => curve.points.filter(drawable).map((point) => point.bpp));
  hide();
  for (const figure of figures) draw(figure, rates);
}

function draw(figure, rates) {
  const svg = figure.querySelector("svg");
  const column = Number(figure.dataset.column);
  const series = curves.map((curve, index) => ({
    index,
    points: hidden.has(index) ? [] : curve.points.filter((point) => drawable(point) && point.means[column] !== null),
  }));
  const values = series.flatMap(({ points }) =>
    points.flatMap((point) => [point.means[column], ...(point.intervals[column] ?? [])]));
  svg.replaceChildren();
  figure.points = [];
  if (values.length === 0) {
    text("no values to show", (PLOT.left + PLOT.right) / 2, (PLOT.top + PLOT.bottom) / 2, "middle", svg);
    return;
  }
  const x = rateScale(rates);
  const y = valueScale(values);
  drawAxes(svg, x, y);
  for (const { index, points } of series) drawCurve(svg, figure, column, index, points, x, y);
  figure.points.forEach(({ node }, place) => node.setAttribute("tabindex", place === 0 ? 0 : -1));
}

function drawAxes(svg, x, y) {
  const axes = element("g", { class: "axes", "aria-hidden": true }, svg);
  for (const { value, label } of x.ticks) {
    element("path", { d: `M${x.place(value)},${PLOT.top}V${PLOT.bottom}` }, axes);
    text(label, x.place(value), PLOT.bottom + 17, "middle", axes);
  }
  for (const { value, label } of y.ticks) {
    element("path", { d: `M${PLOT.left},${y.place(value)}H${PLOT.right}` }, axes);
    text(label, PLOT.left - 7, y.place(value) + 4, "end", axes);
  }
  element("path", { class: "frame", d: `M${PLOT.left},${PLOT.top}V${PLOT.bottom}H${PLOT.right}` }, axes);
  text("bits per pixel", (PLOT.left + PLOT.right) / 2, PLOT.bottom + 35, "middle", axes);
}

function drawCurve(svg, figure, column, index, points, x, y) {
  const group = element("g", { class: `curve c${index % COLOURS}`, "data-curve": index }, svg);
  const places = points.map((point) => ({ point, x: x.place(point.bpp), y: y.place(point.means[column]) }));
  const certain = places.filter((place) => place.point.intervals[column]);
  if (certain.length) drawBand(group, certain, (place, end) => y.place(place.point.intervals[column][end]));
  if (places.length > 1) drawLine(group, index, places.map((place) => `${place.x},${place.y}`).join("L"));
  for (const place of places) {
    const words = describe(place.point, column);
    const node = element("path", {
      class: "point",
      d: MARKERS[index % MARKERS.length],
      transform: `translate(${place.x},${place.y})`,
      role: "img",
      "aria-label": words.join(", "),
    }, group);
    node.addEventListener("focus", () => show(figure, node, words));
    node.addEventListener("blur", hide);
    figure.points.push({ ...place, node, words });
  }
}

// The 95 % intervals: an area where a curve has several, else a bar.
function drawBand(parent, places, height) {
  const highs = places.map((place) => `${place.x},${height(place, 1)}`);
  const lows = places.map((place) => `${place.x},${height(place, 0)}`);
  element("path", { class: "band", d: `M${[...highs, ...lows.reverse()].join("L")}Z` }, parent);
}

function drawLine(parent, index, path) {
  const dash = DASHES[Math.floor(index / COLOURS) % DASHES.length];
  element("path", { class: "line", d: `M${path}`, "stroke-dasharray": dash }, parent);
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

// ----------------------------------------------------------------------------------------------------------- tooltip

function show(figure, node, words) {
  hide();
  node.classList.add("active");
  tooltip.replaceChildren(...words.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
  tooltip.hidden = false;
  const mark = node.getBoundingClientRect();
  const box = tooltip.getBoundingClientRect();
  const left = Math.min(Math.max(8, mark.left + mark.width / 2 - box.width / 2), innerWidth - box.width - 8);
  const above = mark.top - box.height - 8;
  tooltip.style.left = `${left}px`;
  tooltip.style.top = `${above < 8 ? mark.bottom + 8 : above}px`;
}

function hide() {
  tooltip.hidden = true;
  document.querySelector(".point.active")?.classList.remove("active");
}

function pick(figure, event) {
  const svg = figure.querySelector("svg");
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const distance = (point) => Math.hypot(point.x - x, point.y - y);
  const nearest = figure.points.reduce((best, point) => (best && distance(best) <= distance(point) ? best : point), null);
  if (nearest && distance(nearest) < REACH) show(figure, nearest.node, nearest.words);
  else hide();
}

function step(figure, event) {
  const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") hide();
  if (!move) return;
  const nodes = figure.points.map(({ node }) => node);
  const next = nodes[(nodes.indexOf(event.target) + move + nodes.length) % nodes.length];
  event.preventDefault();
  nodes.forEach((node) => node.setAttribute("tabindex", node === next ? 0 : -1));
  next.focus();
}

// ---------------------------------------------------------------------------------------------------------- controls

function legendEntry({ name }, index) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `c${index % COLOURS}`;
  const sample = element("svg", { viewBox: "-16 -8 32 16", width: 32, height: 16, "aria-hidden": true }, button);
  drawLine(sample, index, "-16,0L16,0");
  element("path", { class: "point", d: MARKERS[index % MARKERS.length] }, sample);
  button.append(name);
  button.addEventListener("click", () => {
    const others = [...hidden].filter((other) => other !== index);
    setHidden(hidden.has(index) ? others : [...others, index]);
  });
  return button;
}

function setHidden(indices) {
  hidden = new Set(indices);
  [...legend.children].forEach((button, index) => button.setAttribute("aria-pressed", !hidden.has(index)));
  drawAll();
}

// A lossless reference point lies at a hundred times the rate of the rest, and would squeeze it into a corner.
function farOff() {
  const rates = ({ points }) => points.map((point) => point.bpp).filter((rate) => rate !== null);
  const reach = Math.max(...curves.filter(({ points }) => points.length > 1).flatMap(rates));
  const isFar = (curve) => Number.isFinite(reach) && Math.min(...rates(curve)) > FAR * reach;
  return [...curves.keys()].filter((index) => isFar(curves[index]));
}

if (legend) {
  legend.append(...curves.map(legendEntry));
  document.getElementById("show-all").addEventListener("click", () => setHidden([]));
  document.getElementById("hide-all").addEventListener("click", () => setHidden(curves.keys()));
  document.getElementById("rate-axis").addEventListener("change", (event) => {
    logarithmic = event.target.value === "log";
    drawAll();
  });
  for (const figure of figures) {
    figure.addEventListener("pointermove", (event) => pick(figure, event));
    figure.addEventListener("pointerdown", (event) => pick(figure, event));
    figure.addEventListener("pointerleave", hide);
    figure.addEventListener("keydown", (event) => step(figure, event));
  }
  setHidden(farOff());
}
