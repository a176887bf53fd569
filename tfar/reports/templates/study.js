"use strict";
const GRADES = ["Very annoying", "Annoying", "Slightly annoying", "Perceptible, but not annoying", "Imperceptible"];
const COLUMNS = ["study", "participant", "order_seed", "position", "trial", "score", "seconds", "zoom"];
const CAPTION = 24, GAP = 12, PADDING = 8;  // of the stage, in CSS pixels
const study = JSON.parse(document.getElementById("study").textContent);
const $ = id => document.getElementById(id);

let participant = "", seed = 0, order = [], votes = [], unsaved = false, ready = false, voted = false, shownAt = 0;

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

function shuffled(seed) {
  const keys = new Map(study.trials.map(trial => [trial, hash(`${seed} ${trial.id}`)])), result = [];
  const rest = [...study.trials].sort((a, b) => keys.get(a) - keys.get(b));
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
  $("next").disabled = true;
  $("stage").classList.add("blank");
  $("original").src = study.sources[trial.source];
  $("candidate").src = trial.picture;
  await Promise.all([$("original").decode(), $("candidate").decode()]).catch(() => {});
  show("trial");
  $("progress").textContent = `${votes.length + 1} of ${order.length}`;
  $("bar").value = votes.length / order.length;
  $("slider").value = 50;
  describeVote();
  fit();
  $("stage").classList.remove("blank");
  $("slider").focus();
  shownAt = performance.now();
  ready = true;
}

function describeVote() {
  const value = $("slider").valueAsNumber, grade = Math.min(4, Math.floor(value / 20));
  $("slider").classList.toggle("voted", voted);
  $("slider").setAttribute("aria-valuetext", voted ? `${value}, ${GRADES[grade]}` : "not judged yet");
  [...$("labels").children].forEach((label, i) => label.classList.toggle("chosen", voted && i === grade));
  $("value").textContent = voted ? value : "–";
  $("next").disabled = !voted;
}

// One pixel of a picture on a whole number of pixels of the screen; smaller only where the window is too small.
let zoom = 1;

function fit() {
  const {naturalWidth: width, naturalHeight: height} = $("candidate"), ratio = devicePixelRatio || 1;
  if ($("trial").hidden || !width) return;
  const room = [$("stage").clientWidth - 2 * PADDING, $("stage").clientHeight - 2 * PADDING];
  const beside = Math.min((room[0] - GAP) / 2 / width, (room[1] - CAPTION) / height);
  const below = Math.min(room[0] / width, ((room[1] - GAP) / 2 - CAPTION) / height);
  const whole = Math.max(1, Math.round(ratio)), stacked = beside * ratio < whole && below > beside;
  zoom = Math.max(0.01, Math.min(whole, ratio * (stacked ? below : beside)));
  if (zoom > 1) zoom = Math.floor(zoom);
  $("stage").style.flexDirection = stacked ? "column" : "row";
  for (const id of ["original", "candidate"]) $(id).style.width = `${width * zoom / ratio}px`;
  $("hint").textContent = zoom < 1 ? `Shown at ${Math.floor(100 * zoom)} % of full size: a larger window helps.` :
    "Move the slider, then press Enter.";
}

function next() {
  if (!ready || !voted) return;
  const seconds = ((performance.now() - shownAt) / 1000).toFixed(1);
  votes.push({trial: order[votes.length].id, score: $("slider").valueAsNumber, seconds, zoom: +zoom.toFixed(3)});
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
  const rows = votes.map((vote, i) => [study.id, participant, seed, i + 1, vote.trial, vote.score, vote.seconds,
                                       vote.zoom]);
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

const item = (tag, textContent) => Object.assign(document.createElement(tag), {textContent});
$("labels").append(...GRADES.map(grade => item("span", grade)));
$("grades").append(...GRADES.map((grade, i) => item("li", `${20 * i}–${20 * i + 20}: ${grade}`)).reverse());

$("enter").addEventListener("submit", event => { event.preventDefault(); begin($("name").value.trim()); });
$("name").addEventListener("input", describeKept);
$("slider").addEventListener("input", () => { voted = true; describeVote(); });
$("next").addEventListener("click", next);
$("save").addEventListener("click", save);
$("again").addEventListener("click", () => {
  if (!unsaved || confirm("These votes have not been saved as a file. Go on without?")) {
    unsaved = false;
    welcome("");
  }
});
document.addEventListener("keydown", event => {
  if (event.key !== "Enter" || $("trial").hidden) return;
  event.preventDefault();
  if (!event.repeat) next();
});
window.addEventListener("resize", fit);
window.addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });

welcome(recall().last || "");
