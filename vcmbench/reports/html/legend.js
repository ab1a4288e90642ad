// The controls above the charts: which curves are shown, a filter for long lists of them, and the rate axis.

const legend = document.getElementById("legend");
const MANY = 12; // curves, from which on there is a filter

function legendEntry({ name }, index) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `c${index % COLOURS}`;
  drawSample(button, index);
  button.append(name);
  button.addEventListener("click", () => {
    const hidden = new Set(chosen.hidden);
    if (!hidden.delete(index)) hidden.add(index);
    choose({ hidden });
  });
  return button;
}

function listedCurves() {
  return [...curves.keys()].filter((index) => !legend.children[index].hidden);
}

function filterLegend(words) {
  const wanted = words.toLowerCase().split(/\s+/);
  curves.forEach(({ name }, index) => {
    legend.children[index].hidden = !wanted.every((word) => name.toLowerCase().includes(word));
  });
  const count = listedCurves().length;
  const which = count < curves.length ? "listed" : "all";
  document.getElementById("filtered").textContent = count < curves.length ? `${count} of ${curves.length}` : "";
  document.getElementById("show-all").textContent = `Show ${which}`;
  document.getElementById("hide-all").textContent = `Hide ${which}`;
}

function showListed() {
  const listed = listedCurves();
  choose({ hidden: new Set([...chosen.hidden].filter((index) => !listed.includes(index))) });
}

function hideListed() {
  choose({ hidden: new Set([...chosen.hidden, ...listedCurves()]) });
}

function followLegend() {
  [...legend.children].forEach((button, index) => button.setAttribute("aria-pressed", !chosen.hidden.has(index)));
  document.querySelector(`#rate-axis [value=${chosen.logarithmic ? "log" : "linear"}]`).checked = true;
}

function startLegend() {
  legend.append(...curves.map(legendEntry));
  document.getElementById("show-all").addEventListener("click", showListed);
  document.getElementById("hide-all").addEventListener("click", hideListed);
  document.getElementById("rate-axis").addEventListener("change", ({ target }) => {
    choose({ logarithmic: target.value === "log" });
  });
  const filter = document.getElementById("filter");
  filter.closest("label").hidden = curves.length < MANY;
  filter.addEventListener("input", () => filterLegend(filter.value));
  followers.push(followLegend);
}
