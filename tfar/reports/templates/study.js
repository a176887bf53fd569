"use strict";
const COLUMNS = ["study", "participant", "order_seed", "position", "picture", "place", "score", "seconds", "zoom"];
const CAPTION = 24, GAP = 12, PADDING = 8;  // of the stage, in CSS pixels
const study = JSON.parse(document.getElementById("study").textContent);
const asksSimilarity = study.ask === "similarity";  // otherwise the favourite among several
const $ = id => document.getElementById(id);

let participant = "", seed = 0, order = [], votes = [], unsaved = false;
let shown = [], ready = false, voted = false, shownAt = 0;  // of the trial on the screen

// ---- votes that survive a reload; file pages of some browsers refuse storage, then they last as long as the page

const STORE = "study-" + study.id;
const memory = {};

function recall() {
  try { return JSON.parse(localStorage.getItem(STORE)) || memory; } catch { return memory; }
}

function keep() {
  const all = recall();
  all.last = participant;
  all.votes = {...all.votes, [participant]: votes};
  Object.assign(memory, all);
  try { localStorage.setItem(STORE, JSON.stringify(all)); } catch { /* kept in memory only */ }
}

function keptVotes(name) {
  const all = recall();
  const kept = all.votes && Object.hasOwn(all.votes, name) ? all.votes[name] : [];
  const trials = shuffled(orderSeed(name));
  return Array.isArray(kept) && kept.every((vote, i) => vote.trial === trials[i]?.id) ? kept : [];
}

// ---- order of the trials: random, the same for the same name, never one source twice in a row where that is possible

function hash(text) { // 32 bits: FNV-1a with the last steps of MurmurHash3
  let bits = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) bits = Math.imul(bits ^ byte, 0x01000193);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

const orderSeed = name => hash(`${study.id}/${name}`);

function byHash(items, text) {
  const keys = new Map(items.map(item => [item, hash(text(item))]));
  return [...items].sort((a, b) => keys.get(a) - keys.get(b));
}

const places = (seed, trial) => byHash(trial.pictures, id => `${seed} ${trial.id} ${id}`);

function shuffled(seed) {
  const rest = byHash(study.trials, trial => `${seed} ${trial.id}`), result = [];
  while (rest.length) {
    const left = {};
    for (const {source} of rest) left[source] = (left[source] ?? 0) + 1;
    const others = rest.filter(trial => trial.source !== result.at(-1)?.source);
    const urgent = others.find(trial => left[trial.source] * 2 > rest.length);
    result.push(...rest.splice(rest.indexOf(urgent ?? others[0] ?? rest[0]), 1));
  }
  return result;
}

// ---- screens

function show(screen) {
  for (const id of ["start", "trial", "end"]) $(id).hidden = id !== screen;
}

function welcome(name) {
  show("start");
  $("total").textContent = study.trials.length;
  $("name").value = name;
  describeKept();
  $("name").focus({preventScroll: true});
}

function describeKept() {
  const count = keptVotes($("name").value.trim()).length;
  $("kept").textContent = count ? `${count} of ${study.trials.length} votes are kept; you go on after them.` : "";
}

function begin(name) {
  participant = name;
  seed = orderSeed(name);
  order = shuffled(seed);
  votes = keptVotes(name);
  unsaved = votes.length > 0;
  proceed();
}

const proceed = () => votes.length < order.length ? present() : finish();

async function present() {
  const trial = order[votes.length];
  ready = voted = false;
  shown = places(seed, trial);
  $("stage").classList.add("blank");
  $("stage").replaceChildren(figure("Original", study.sources[trial.source]), ...shown.map(candidate));
  await Promise.all([...$("stage").querySelectorAll("img")].map(image => image.decode())).catch(() => {});
  show("trial");
  $("progress").textContent = `${votes.length + 1} of ${order.length}`;
  $("bar").value = votes.length / order.length;
  if (asksSimilarity) $("slider").value = 1 + hash(`${seed} ${trial.id} start`) % 99;  // unseen, where the keys begin
  fit();
  describeVote();
  $("stage").classList.remove("blank");
  $(asksSimilarity ? "slider" : "pick-1").focus({preventScroll: true});
  shownAt = performance.now();
  ready = true;
}

const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const figure = (caption, src) =>
  make("figure", {}, make("figcaption", {}, caption), make("img", {src, alt: caption}));

function candidate(id, i) {
  const picture = study.pictures[id];
  if (asksSimilarity) return figure("Judge this one", picture);
  const label = make("label", {}, figure(`Version ${i + 1}`, picture));
  label.querySelector("figcaption").prepend(
    make("input", {type: "radio", name: "favourite", id: `pick-${i + 1}`, value: id, oninput: vote}));
  return label;
}

function vote() {
  voted = true;
  describeVote();
}

function describeVote() {
  if (asksSimilarity) {
    $("slider").classList.toggle("voted", voted);
    $("slider").setAttribute("aria-valuetext", voted ? "judged" : "not judged yet");
  }
  $("next").disabled = !voted;
  $("hint").textContent = zoom < 1 ? `Shown at ${Math.floor(100 * zoom)} %: a larger window helps.` :
    voted ? "" : asksSimilarity ? "Touch the line to put your mark." : "Choose your favourite.";
}

function scores() {
  if (asksSimilarity) return [$("slider").valueAsNumber.toFixed(1)];
  const favourite = document.querySelector("#stage input:checked").value;
  return shown.map(id => id === favourite ? 100 : 0);
}

// One pixel of a picture on a whole number of pixels of the screen, or as large as fits where that is too large.
let zoom = 1;

function fit() {
  const images = $("stage").querySelectorAll("img"), ratio = devicePixelRatio || 1;
  const {naturalWidth: width, naturalHeight: height} = images[0] ?? {};
  if ($("trial").hidden || !width) return;
  const count = shown.length + 1, whole = Math.max(1, Math.round(ratio));
  let best = {scale: 0, columns: 1};
  for (let columns = count; columns > 0 && best.scale < whole; columns--) {
    const rows = Math.ceil(count / columns);
    const across = ($("stage").clientWidth - 2 * PADDING - (columns - 1) * GAP) / columns / width;
    const down = (($("stage").clientHeight - 2 * PADDING - (rows - 1) * GAP) / rows - CAPTION) / height;
    const scale = ratio * Math.min(across, down);
    if (scale > best.scale) best = {scale, columns};
  }
  zoom = Math.max(0.01, Math.min(whole, best.scale));
  $("stage").style.gridTemplateColumns = `repeat(${best.columns}, max-content)`;
  for (const image of images) image.style.width = `${width * zoom / ratio}px`;
}

function next() {
  if (!ready || !voted) return;
  const seconds = ((performance.now() - shownAt) / 1000).toFixed(1);
  votes.push({trial: order[votes.length].id, shown, scores: scores(), seconds, zoom: +zoom.toFixed(3)});
  unsaved = true;
  keep();
  proceed();
}

function finish() {
  show("end");
  $("done").textContent = `${participant}, all ${votes.length} votes are in. Save them as a file and send it on.`;
  $("saved").textContent = "";
  $("text").value = csv();
  $("save").focus();
}

// ---- the file

function csv() {
  const quoted = value => /[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  const rows = votes.flatMap((vote, i) => vote.shown.map((id, place) =>
    [study.id, participant, seed, i + 1, id, place + 1, vote.scores[place], vote.seconds, vote.zoom]));
  return [COLUMNS, ...rows].map(row => row.map(quoted).join(",") + "\r\n").join("");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
  link.download = `votes-${study.id}-${participant.replace(/[^\p{L}\p{N}]+/gu, "-")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  unsaved = false;
  $("saved").textContent = `Saved as ${link.download}.`;
}

// ---- wiring

$("enter").addEventListener("submit", event => { event.preventDefault(); begin($("name").value.trim()); });
$("name").addEventListener("input", describeKept);
for (const event of ["input", "click"]) $("slider")?.addEventListener(event, vote);  // a click need not change it
$("next").addEventListener("click", next);
$("save").addEventListener("click", save);
$("again").addEventListener("click", () => {
  if (!unsaved || confirm("These votes have not been saved as a file. Go on without?")) {
    unsaved = false;
    welcome("");
  }
});
document.addEventListener("keydown", event => {
  if ($("trial").hidden) return;
  if (!asksSimilarity && /^[1-9]$/.test(event.key)) $(`pick-${event.key}`)?.click();
  if (event.key !== "Enter") return;
  event.preventDefault();
  if (!event.repeat) next();
});
window.addEventListener("resize", () => { fit(); describeVote(); });
window.addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });

welcome(recall().last || "");
