// SVG by hand: axes, markers and lines, on a drawing of 440 × 290 units.

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

function element(name, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

function text(content, x, y, anchor, parent) {
  element("text", { x, y, "text-anchor": anchor }, parent).textContent = content;
}

function saying(name, content, parent, attributes = {}) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = content;
  parent.append(node);
  return node;
}

// With so many decimals, or as a power of ten where nobody could count them.
function spell(value, decimals) {
  return decimals > 12 ? value.toExponential(3) : value.toFixed(decimals);
}

function linearTicks(low, high) {
  const rough = (high - low) / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: count }, (_, index) => {
    const value = (first + index) * step;
    return { value, label: decimals > 5 ? String(Number(value.toPrecision(4))) : value.toFixed(decimals) };
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

function rateScale(rates, logarithmic) {
  const shape = logarithmic ? Math.log : (rate) => rate;
  const low = logarithmic ? Math.min(...rates) / 1.15 : 0;
  const high = Math.max(...rates) * (logarithmic ? 1.15 : 1.05) || 1;
  const span = shape(high) - shape(low);
  return {
    place: (rate) => PLOT.left + ((shape(rate) - shape(low)) / span) * (PLOT.right - PLOT.left),
    ticks: logarithmic ? logarithmicTicks(low, high) : linearTicks(low, high),
  };
}

function valueScale(values, start, end) {
  const spread = Math.max(...values) - Math.min(...values) || Math.abs(values[0]) || 1;
  const low = Math.min(...values) - 0.07 * spread;
  const high = Math.max(...values) + 0.07 * spread;
  return {
    place: (value) => start + ((value - low) / (high - low)) * (end - start),
    ticks: linearTicks(low, high),
  };
}

function drawAxes(svg, x, y, title) {
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
  text(title, (PLOT.left + PLOT.right) / 2, PLOT.bottom + 35, "middle", axes);
}

function drawLine(parent, index, path) {
  const dash = DASHES[Math.floor(index / COLOURS) % DASHES.length];
  element("path", { class: "line", d: `M${path}`, "stroke-dasharray": dash }, parent);
}

function drawMarker(parent, index, x, y, words) {
  return element("path", {
    class: "point",
    d: MARKERS[index % MARKERS.length],
    transform: `translate(${x},${y})`,
    role: "img",
    "aria-label": words.join(", "),
  }, parent);
}

function drawSample(parent, index) {
  const sample = element("svg", { viewBox: "-16 -8 32 16", width: 32, height: 16, "aria-hidden": true }, parent);
  drawLine(sample, index, "-16,0L16,0");
  element("path", { class: "point", d: MARKERS[index % MARKERS.length] }, sample);
}
