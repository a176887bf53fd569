"use strict";
// Takes files, has the worker restore them, and shows each beside its JPEG.

const PATIENCE = 10_000; // milliseconds for the service worker to take the page over
const one = (selector, within = document) => within.querySelector(selector);
const cards = new Map(); // of the files, by id
let added = 0;
let worker;

/** Say something about the page as a whole. */
function say(text, wrong = false) {
  one("#status").textContent = text;
  one("#status").classList.toggle("wrong", wrong);
}

/** Wait until the service worker keeps what this page loads, or is known not to: it could not be installed. */
async function keeping() {
  if (!("serviceWorker" in navigator && window.isSecureContext)) return;
  const registration = await navigator.serviceWorker.register("sw.js");
  const {installing, waiting, active} = registration;
  if (navigator.serviceWorker.controller || active?.state === "activated") return; // the second: reloaded past it
  const worker = installing ?? waiting ?? active;
  await new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", resolve, {once: true});
    worker?.addEventListener("statechange", () => worker.state === "redundant" && resolve());
    setTimeout(resolve, worker ? PATIENCE : 0);
  });
}

/** Start the worker, after what keeps its files for the time without a network. */
async function start() {
  const base = new URL("./", location.href).href;
  await keeping().catch(() => {});
  // From a blob, since only such a worker is under the page's own Content-Security-Policy.
  const script = new Blob([`importScripts(${JSON.stringify(`${base}worker.js`)});`], {type: "text/javascript"});
  worker = new Worker(URL.createObjectURL(script));
  worker.onmessage = ({data}) => receive(data);
  worker.onerror = (event) => say(`The network could not be started: ${event.message}`, true);
  worker.postMessage({base});
  for (const [id, card] of cards) worker.postMessage({id, file: card.file});
  const settings = await (await fetch("settings.json")).json();
  one("#about").textContent = `Network: ${settings.name} of tfar ${settings.version}, computed by LiteRT.js.`;
}

function receive(message) {
  if (message.failed) {
    say(`The network could not be started: ${message.failed}`, true);
  } else if (message.ready) {
    document.documentElement.dataset.threads = message.threads;
    say(cards.size ? "" : message.kept ? "Ready. Works offline from now on." : "Ready.");
  } else if (!cards.has(message.id)) {
    return; // of a file that was removed meanwhile
  } else if (message.error) {
    fail(cards.get(message.id), message.error);
  } else if (message.png) {
    show(cards.get(message.id), message);
  } else {
    const {element} = cards.get(message.id);
    one("progress", element).value = message.done / message.total;
    one(".state", element).textContent = `${message.done} of ${message.total} tiles`;
  }
}

function add(files) {
  for (const file of files) {
    const element = one("#card").content.cloneNode(true).firstElementChild;
    const id = added++;
    cards.set(id, {file, element});
    one(".name", element).textContent = file.name;
    one(".state", element).textContent = "waiting";
    one("progress", element).setAttribute("aria-label", `Progress of ${file.name}`);
    one(".remove", element).setAttribute("aria-label", `Remove ${file.name}`);
    one(".remove", element).addEventListener("click", () => remove(id));
    one("#files").append(element);
    worker?.postMessage({id, file});
  }
  if (worker && one("html").dataset.threads) say("");
}

/** Remove a file, whether it waits, is computed, or has ended. */
function remove(id) {
  const {element} = cards.get(id);
  const neighbor = element.nextElementSibling ?? element.previousElementSibling;
  for (const image of element.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  cards.delete(id);
  element.remove();
  worker?.postMessage({cancel: id});
  offerAll();
  (neighbor ? one(".remove", neighbor) : one("#choose")).focus(); // or keyboards would start over at the top
}

function offerAll() {
  one("#all").hidden = document.querySelectorAll("[data-state=done]").length < 2;
}

function fail({file, element}, text) {
  one("progress", element).hidden = true;
  one(".state", element).textContent = text;
  one(".state", element).classList.add("wrong");
  one(".told", element).textContent = `${file.name}: ${text}`;
  element.dataset.state = "failed";
}

function show({file, element}, {png, width, height}) {
  const [before, after, view, slider] = [".before", ".after", ".view", ".view input"].map((name) => one(name, element));
  const url = URL.createObjectURL(png);
  before.src = URL.createObjectURL(file);
  after.src = url;
  before.alt = `${file.name} as it was`;
  after.alt = `${file.name}, restored`;
  slider.setAttribute("aria-label", `Divide of ${file.name}`);
  const divide = () => {
    view.style.setProperty("--divide", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % JPEG, ${100 - Math.round(slider.value)} % restored`);
  };
  slider.addEventListener("input", divide);
  divide();
  const link = one(".download", element);
  link.href = url;
  link.download = file.name.replace(/\.(p?jpe?g|jpe|pjp|jfif)$/i, "") + ".png";
  link.setAttribute("aria-label", `Download PNG of ${file.name}`);
  one(".size", element).textContent = `${width} × ${height}`;
  one(".wait", element).hidden = true;
  for (const name of [".view", ".download", ".zoom"]) one(name, element).hidden = false;
  const zoom = one(".zoom input", element);
  zoom.setAttribute("aria-label", `Actual pixels of ${file.name}`);
  zoom.addEventListener("change", () => view.classList.toggle("actual", zoom.checked));
  one(".told", element).textContent = `${file.name} is restored.`;
  element.dataset.state = "done";
  offerAll();
}

one("#choose").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
one("#download-all").addEventListener("click", async () => {
  for (const link of document.querySelectorAll("[data-state=done] .download")) {
    if (link.isConnected) link.click(); // it may have been removed meanwhile
    await new Promise((resolve) => setTimeout(resolve, 200)); // browsers drop what follows at once
  }
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  one("#drop").classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? one("#drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  one("#drop").classList.remove("over");
  add(event.dataTransfer.files);
});
start().catch((error) => say(`The page could not be started: ${error.message}`, true));
