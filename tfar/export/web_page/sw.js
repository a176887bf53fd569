"use strict";
// Keeps what the page has loaded, so that it works without a network; with one, what is new is taken.

const NAME = "tfar";
const FRESH = {cache: "no-cache"}; // asks the server whether what the browser holds is still the newest
const SHELL = ["./", "style.css", "page.js", "icon.svg", "arrows.svg", "worker.js", "tiles.js", "files.js"];

self.addEventListener("install", (event) => {
  const requests = SHELL.map((address) => new Request(address, FRESH));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(requests)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(self.registration.scope)) {
    event.respondWith(answered(event.request));
  }
});

async function answered(request) {
  let response;
  try {
    // Not the request itself: some browsers refuse options beside one that navigates.
    response = await fetch(request.url, {...FRESH, redirect: request.redirect});
  } catch (error) {
    const kept = await keptAnswer(request).catch(() => null);
    if (kept) return kept;
    throw error;
  }
  if (response.ok) await keep(request, response.clone());
  return response;
}

/** The kept answer; the page has more addresses than one, such as index.html. */
async function keptAnswer(request) {
  return (await caches.match(request)) ?? (request.mode === "navigate" ? caches.match("./") : null);
}

/** Keep an answer, where the browser grants the storage. */
async function keep(request, response) {
  try {
    await (await caches.open(NAME)).put(request, response);
  } catch {
    // The page works without, but not offline.
  }
}
