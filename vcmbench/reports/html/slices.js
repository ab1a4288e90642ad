// The same means over a part of the images: for the charts, one part; in the table, all parts beside each other.

const slicing = document.getElementById("slices");

function fillSlices(select) {
  for (const { name, images } of slices) saying("option", `${name} (${images} images)`, select, { value: name });
  select.addEventListener("change", () => choose({ slice: slices[select.selectedIndex - 1] ?? null }));
}

function fillColumns(select) {
  for (const { name, heading } of columns) saying("option", heading, select, { value: name });
  select.addEventListener("change", () => choose({ sliced: columns[select.selectedIndex] }));
}

function drawSlices() {
  const column = Math.max(0, columns.indexOf(chosen.sliced));
  document.getElementById("sliced").value = columns[column].name;
  const table = slicing.querySelector("table");
  const titles = table.tHead.rows[0];
  titles.replaceChildren(titles.cells[0]);
  saying("th", "All images", titles, { scope: "col" });
  for (const slice of slices) sliceTitle(titles, slice, column);
  table.tBodies[0].replaceChildren(...curves.flatMap((_, index) => sliceRows(index, column)));
}

function sliceTitle(row, { label, value, counts }, column) {
  const title = saying("th", "", row, { scope: "col" });
  saying("span", `${label}: `, title, { class: "label" });
  saying("span", value, title, { class: "value" });
  saying("small", `n = ${counts[column]}`, title, { class: "interval" });
}

function sliceRows(index, column) {
  return curves[index].points.map((point, place) => {
    const row = document.createElement("tr");
    if (place === 0) row.className = "new-curve";
    saying("span", point.setting, saying("th", "", row, { scope: "row" }), { class: "name" });
    for (const each of [point, ...slices.map(({ points }) => points[index][place])]) sliceCell(row, each, column);
    return row;
  });
}

function sliceCell(row, { means, intervals }, column) {
  const spelled = (value) => spell(value, columns[column].digits);
  const cell = saying("td", means[column] === null ? "–" : spelled(means[column]), row);
  if (intervals[column]) saying("small", intervals[column].map(spelled).join(" to "), cell, { class: "interval" });
}

function startSlices() {
  if (!slicing) return;
  fillSlices(document.getElementById("slice"));
  fillColumns(document.getElementById("sliced"));
  followers.push((changed) => {
    document.getElementById("slice").value = chosen.slice?.name ?? "";
    if (changed.includes("sliced")) drawWhenNear(slicing, drawSlices);
  });
}
