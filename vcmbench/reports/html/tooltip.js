// What a point says, under the pointer or the keyboard's focus. A figure's `points` are { node, x, y, words }.

const tooltip = document.getElementById("tooltip");
const REACH = 24; // how far from a point, in units of the drawing, it is still picked

function show(node, words) {
  hide();
  node.classList.add("active");
  tooltip.replaceChildren();
  for (const line of words) saying("div", line, tooltip);
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
  if (nearest && distance(nearest) < REACH) show(nearest.node, nearest.words);
  else hide();
}

// Of all points of a figure one is a stop of the tab key, and arrows go to the others.
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

function tellPoints(figure) {
  figure.points = [];
  figure.addEventListener("pointermove", (event) => pick(figure, event));
  figure.addEventListener("pointerdown", (event) => pick(figure, event));
  figure.addEventListener("pointerleave", hide);
  figure.addEventListener("keydown", (event) => step(figure, event));
  figure.addEventListener("focusin", ({ target }) => {
    const point = figure.points.find(({ node }) => node === target);
    if (point) show(point.node, point.words);
  });
  figure.addEventListener("focusout", hide);
}

function setTabStop(figure) {
  figure.points.forEach(({ node }, place) => node.setAttribute("tabindex", place === 0 ? 0 : -1));
}
