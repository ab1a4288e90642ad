// The images on which a curve is best and worst against the anchor, and, where the page carries pictures, two of them under
// a slider. What is chosen of them is `chosen.listed`: the meeting of a curve with the anchor, the metric column, which end of
// the ranking, and the image, each null for the first.

const imageSection = document.getElementById("images");
const imageData = imageSection && JSON.parse(document.getElementById("image-data").textContent);
const viewer = document.getElementById("before-after");
const FIRST = { meeting: null, column: null, end: "worst", image: null };
const ORIGINAL = -1; // stands for a setting

// -------------------------------------------------------------------------------------------------------------- state

// What is shown: the choice, with the first of everything that is not chosen or not there.
function listing() {
  const { meeting: name, column: wanted, end, image: named } = chosen.listed ?? FIRST;
  const meetings = imageData.meetings.filter(hasRankings);
  const meeting = meetings.find(({ curve }) => curve === name) ?? meetings[0];
  const ranking = meeting.rankings.find(({ column }) => column === wanted) ?? meeting.rankings[0];
  const rows = ranking[end];
  const pictured = rows.filter(([image]) => isPictured(image, meeting));
  const row = pictured.find(([image]) => imageData.images[image] === named) ?? pictured[0];
  return { meeting, column: ranking.column, ranking, end, rows, row };
}

function hasRankings({ rankings }) {
  return rankings.length > 0;
}

function list(change) {
  choose({ listed: { ...FIRST, ...chosen.listed, ...change } });
}

function spellListed({ meeting, column, end, image }, words) {
  const told = { against: meeting, by: column, end: end === FIRST.end ? null : end, image };
  for (const [key, value] of Object.entries(told)) if (value !== null) words.set(key, value);
}

function understoodListed(words) {
  if (!["against", "by", "end", "image"].some((key) => words.has(key))) return null;
  const end = words.get("end") === "best" ? "best" : "worst";
  return { meeting: words.get("against"), column: words.get("by"), end, image: words.get("image") };
}

// -------------------------------------------------------------------------------------------------------------- lists

function drawImages() {
  const shown = listing();
  imageSection.querySelector("#images-curve").value = shown.meeting.curve;
  fillMetrics(shown);
  imageSection.querySelector(`[name="images-end"][value="${shown.end}"]`).checked = true;
  tellMeeting(shown);
  const body = imageSection.querySelector("tbody");
  body.replaceChildren(...shown.rows.map((row) => imageRow(row, shown)));
  if (viewer) drawPictures(shown);
}

function fillMetrics({ meeting, column }) {
  const select = imageSection.querySelector("#images-metric");
  select.replaceChildren();
  for (const each of meeting.rankings) saying("option", columnOf(each.column).heading, select, { value: each.column });
  select.value = column;
}

function tellMeeting({ meeting, ranking, end, rows }) {
  const [anchor, curve] = meeting.names;
  const [anchorRate, rate] = meeting.rates.map((each) => each.toFixed(4));
  const counted = `The ${end} ${rows.length} of ${ranking.images} images by ${columnOf(ranking.column).heading}:`;
  imageSection.querySelector("#images-told").textContent =
    `Curve: ${curve}, ${rate} bpp. Anchor: ${anchor}, ${anchorRate} bpp. ${counted}`;
}

function columnOf(name) {
  return columns.find((each) => each.name === name);
}

function imageRow(row, { meeting, column, row: selected }) {
  const [image, ...numbers] = row;
  const node = document.createElement("tr");
  const title = saying("th", "", node, { scope: "row" });
  if (isPictured(image, meeting)) pictureButton(imageData.images[image], row === selected, title);
  else saying("span", imageData.images[image], title, { class: "name" });
  if (row === selected) node.className = "selected";
  for (const words of spelledNumbers(column, numbers)) saying("td", words, node);
  return node;
}

function pictureButton(name, isShown, parent) {
  const button = saying("button", name, parent, { type: "button", "aria-pressed": isShown });
  button.addEventListener("click", () => {
    list({ image: name });
    const again = [...imageSection.querySelectorAll("tbody button")].find((each) => each.textContent === name);
    again?.focus();
  });
}

function spelledNumbers(column, [anchor, curve, ...rates]) {
  const signed = (words, number) => (number > 0 ? `+${words}` : words.replace("-", "−"));
  const told = rates.slice(0, 2).map((rate) => rate.toFixed(4));
  if (imageData.flags.includes(column)) {
    const word = (flag) => (flag ? "yes" : "no");
    return [word(anchor), word(curve), signed(String(curve - anchor), curve - anchor), ...told];
  }
  const { digits } = columnOf(column);
  const words = [anchor, curve, curve - anchor].map((number) => spell(number, digits));
  return [...words.slice(0, 2), signed(words[2], curve - anchor), ...told];
}

// ----------------------------------------------------------------------------------------------------------- pictures

function pictureOf(image, setting) {
  return imageData.pictures[`${image} ${setting}`];
}

function isPictured(image, { anchor, setting }) {
  return [anchor, setting].every((each) => pictureOf(image, each) !== undefined);
}

function drawPictures({ meeting, row }) {
  viewer.hidden = !row;
  if (!row) return;
  const [image] = row;
  const name = imageData.images[image];
  const settings = { anchor: meeting.anchor, curve: meeting.setting, original: ORIGINAL };
  const [anchor, curve] = meeting.names;
  const words = { anchor, curve, original: "original" };
  const sides = ["left", "right"].map((side) => document.getElementById(`images-${side}`).value);
  viewer.querySelectorAll("img").forEach((picture, place) => {
    picture.src = pictureOf(image, settings[sides[place]]) ?? "data:,";
    picture.alt = `${name}: ${words[sides[place]]}`;
  });
  viewer.querySelector("figcaption").textContent = `${name}: ${sides.map((side) => words[side]).join(" and ")}`;
  const problems = Object.entries(settings).map(([side, setting]) => [words[side], imageData.problems[`${image} ${setting}`]]);
  const told = problems.filter(([, problem]) => problem).map(([side, problem]) => `${side}: ${problem}`);
  document.getElementById("images-problem").textContent = told.join("; ");
}

function placeEdge(percent) {
  viewer.querySelector(".pictures").style.setProperty("--place", `${percent}%`);
}

function startViewer() {
  const pictures = viewer.querySelector(".pictures");
  const range = viewer.querySelector("input[type=range]");
  const difference = document.getElementById("images-difference");
  range.addEventListener("input", () => placeEdge(range.value));
  const drag = ({ clientX }) => {
    const { left, width } = pictures.getBoundingClientRect();
    range.value = (100 * (clientX - left)) / width;
    placeEdge(range.value);
  };
  pictures.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // else the browser drags the picture itself
    pictures.setPointerCapture(event.pointerId);
    drag(event);
  });
  pictures.addEventListener("pointermove", (event) => {
    if (pictures.hasPointerCapture(event.pointerId)) drag(event);
  });
  difference.addEventListener("change", () => {
    pictures.classList.toggle("difference", difference.checked);
    range.disabled = difference.checked;
  });
  for (const side of ["left", "right"]) {
    document.getElementById(`images-${side}`).addEventListener("change", () => drawPictures(listing()));
  }
}

function startImages() {
  if (!imageSection) return;
  const curve = imageSection.querySelector("#images-curve");
  for (const meeting of imageData.meetings.filter(hasRankings)) saying("option", meeting.curve, curve, { value: meeting.curve });
  curve.addEventListener("change", () => list({ meeting: curve.value, image: null }));
  const metric = imageSection.querySelector("#images-metric");
  metric.addEventListener("change", () => list({ column: metric.value, image: null }));
  for (const end of imageSection.querySelectorAll('[name="images-end"]')) {
    end.addEventListener("change", () => list({ end: end.value, image: null }));
  }
  if (viewer) startViewer();
  followers.push((changed) => {
    if (changed.includes("listed")) drawImages();
  });
}
