// The numbers of the page, and what the reader has chosen of them. Whatever is not as the page opens stands in the address
// behind #, so that a link or a reload shows the same; what cannot be understood there is ignored.

const { columns, curves, slices } = JSON.parse(document.getElementById("data").textContent);

const FAR = 3; // a curve that begins beyond so many times the others' highest rate is hidden until asked for
const SETTLED = 300; // milliseconds after which a slider has come to rest and is worth an entry in the history

const asOpened = { hidden: farOff(), logarithmic: false, slice: null, rate: null, human: null, machine: null, sliced: null, listed: null };
let chosen = asOpened;
let settling = 0;
const followers = []; // what is drawn again when something is chosen

// A lossless reference point lies at a hundred times the rate of the rest, and would squeeze it into a corner.
function farOff() {
  const rates = ({ points }) => points.map((point) => point.bpp).filter((rate) => rate !== null);
  const reach = Math.max(...curves.filter(({ points }) => points.length > 1).flatMap(rates));
  const isFar = (curve) => Number.isFinite(reach) && Math.min(...rates(curve)) > FAR * reach;
  return new Set([...curves.keys()].filter((index) => isFar(curves[index])));
}

// A curve's points over the chosen images, in rising rate.
function pointsOf(index) {
  const { points } = curves[index];
  if (!chosen.slice) return points;
  const { counts } = chosen.slice;
  const sliced = chosen.slice.points[index].map((each, place) => ({ setting: points[place].setting, counts, ...each }));
  return sliced.sort((one, other) => (one.bpp ?? Infinity) - (other.bpp ?? Infinity));
}

function choose(change, isOnItsWay = false) {
  chosen = { ...chosen, ...change };
  clearTimeout(settling);
  if (isOnItsWay) settling = setTimeout(remember, SETTLED);
  else remember();
  redraw(Object.keys(change));
}

function redraw(changed) {
  for (const follow of followers) follow(changed);
}

// ------------------------------------------------------------------------------------------------------------ address

function remember() {
  const address = `#${spelled(chosen)}`;
  if (address === (location.hash || "#")) return;
  try {
    history.pushState(null, "", address);
  } catch {
    // inside a frame that forbids it, the page works without
  }
}

function spelled({ hidden, logarithmic, slice, rate, human, machine, sliced, listed }) {
  const words = new URLSearchParams();
  const asFirst = hidden.size === asOpened.hidden.size && [...hidden].every((index) => asOpened.hidden.has(index));
  if (!asFirst) spellHidden(hidden, words);
  if (logarithmic) words.set("axis", "log");
  if (slice) words.set("slice", slice.name);
  if (rate) words.set("rate", rate);
  for (const [key, column] of Object.entries({ human, machine, sliced })) if (column) words.set(key, column.name);
  if (listed) spellListed(listed, words);
  return words.toString();
}

// Whichever list of names is shorter; one empty name stands for none.
function spellHidden(hidden, words) {
  const isLong = hidden.size * 2 > curves.length;
  const listed = curves.filter((_, index) => hidden.has(index) !== isLong);
  const key = isLong ? "show" : "hide";
  if (!listed.length) words.append(key, "");
  for (const { name } of listed) words.append(key, name);
}

function understood(address) {
  const words = new URLSearchParams(address.slice(1));
  const rate = Number(words.get("rate"));
  const column = (key) => columns.find(({ name }) => name === words.get(key)) ?? null;
  return {
    hidden: understoodHidden(words),
    logarithmic: words.get("axis") === "log",
    slice: slices.find(({ name }) => name === words.get("slice")) ?? null,
    rate: Number.isFinite(rate) && rate > 0 ? rate : null,
    human: column("human"),
    machine: column("machine"),
    sliced: column("sliced"),
    listed: understoodListed(words),
  };
}

function understoodHidden(words) {
  const key = ["hide", "show"].find((candidate) => words.has(candidate));
  const names = new Set(words.getAll(key));
  const listed = [...curves.keys()].filter((index) => names.has(curves[index].name));
  if (!listed.length && !names.has("")) return asOpened.hidden;
  return new Set(key === "hide" ? listed : [...curves.keys()].filter((index) => !listed.includes(index)));
}

function followAddress() {
  clearTimeout(settling);
  chosen = understood(location.hash);
  redraw(Object.keys(chosen));
}
