"use strict";
document.documentElement.classList.add("js");

// Tables: a click on a heading sorts by its column, another one the other way; empty cells stay last.

const OPPOSITE = {ascending: "descending", descending: "ascending"};

function sortKey(row, column) {
  const cell = row.cells[column];
  return cell.dataset.sort ?? cell.textContent.trim();
}

function compareKeys(a, b) {
  if (a !== "" && b !== "" && !isNaN(a) && !isNaN(b)) return a === b ? 0 : Number(a) - Number(b);
  return a.localeCompare(b, undefined, {numeric: true});
}

function sortBy(header) {
  const table = header.closest("table");
  const direction = OPPOSITE[header.getAttribute("aria-sort")] ?? header.dataset.first;
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = [...table.tBodies[0].rows].map(row => [sortKey(row, header.cellIndex), row]);
  keyed.sort(([a], [b]) => (a === "") - (b === "") || sign * compareKeys(a, b));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

for (const header of document.querySelectorAll("thead th")) {
  header.querySelector("button").addEventListener("click", () => sortBy(header));
}

// Plots: one stop of the tabulator per plot, arrow keys go from point to point, a tooltip shows the values.

function setUpPlot(figure) {
  const points = [...figure.querySelectorAll(".point")];
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");  // the point's label says the same
  figure.append(tip);

  function show(point) {
    tip.textContent = point.getAttribute("aria-label");
    tip.hidden = false;
    const frame = figure.getBoundingClientRect(), target = point.querySelector(".target").getBoundingClientRect();
    const half = tip.offsetWidth / 2, middle = target.left + target.width / 2 - frame.left;
    tip.style.left = `${Math.max(half, Math.min(frame.width - half, middle))}px`;
    tip.style.top = `${target.top + target.height / 2 - frame.top}px`;
  }

  function hide() {
    const focused = points.find(point => point === document.activeElement);
    if (focused) show(focused); else tip.hidden = true;
  }

  points.forEach((point, i) => {
    point.querySelector("title").remove();  // shown without scripts only
    point.setAttribute("tabindex", i ? "-1" : "0");
    point.addEventListener("pointerenter", () => show(point));
    point.addEventListener("pointerleave", hide);
    point.addEventListener("focus", () => show(point));
    point.addEventListener("blur", () => { tip.hidden = true; });
    point.addEventListener("keydown", event => {
      const next = {ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1,
                    Home: 0, End: points.length - 1}[event.key];
      if (event.key === "Escape") tip.hidden = true;
      if (!points[next]) return;
      event.preventDefault();
      for (const other of points) other.setAttribute("tabindex", other === points[next] ? "0" : "-1");
      points[next].focus();
    });
  });
}

document.querySelectorAll(".plot").forEach(setUpPlot);

// Comparisons: two pictures under a divide that moves; all pictures of a comparison are zoomed and moved together.

const STEP = 1.5, LARGEST = 32, PAN = 0.15;
const SHARP_FROM = 1.5;  // device pixels per pixel of the image from which on its pixels are shown as squares

class Comparison {
  constructor(root) {
    this.root = root;
    this.view = root.querySelector(".view");
    this.slider = root.querySelector(".slider");
    this.level = root.querySelector("output");
    this.selects = {left: root.querySelector("select.left"), right: root.querySelector("select.right")};
    this.sources = [...root.querySelectorAll(".pictures img")];
    this.images = {};
    for (const side of ["left", "right"]) {
      this.images[side] = new Image();
      this.images[side].draggable = false;
      root.querySelector(`.layer.${side}`).append(this.images[side]);
      this.selects[side].addEventListener("change", () => this.pick(side));
      this.pick(side);
    }
    this.zoomTo(1);
    this.slider.addEventListener("input", () => this.split());
    for (const button of root.querySelectorAll(".zoom button")) {
      button.addEventListener("click", () => this.zoomBy(button.dataset.zoom));
    }
    root.addEventListener("keydown", event => this.onKey(event));
    root.querySelectorAll(".panel").forEach(panel => this.setUpPanel(panel));
    new ResizeObserver(() => this.sharpen()).observe(this.view);
    this.sources[0].addEventListener("load", () => this.sharpen());
  }

  pick(side) {
    const source = this.sources[this.selects[side].value];
    this.images[side].src = source.src;
    this.images[side].alt = source.alt;
    this.root.querySelector(`.name.${side}`).textContent = this.label(side);
    this.split();
  }

  label(side) {
    return this.selects[side].selectedOptions[0].textContent;
  }

  split() {
    const percent = Number(this.slider.value);
    this.view.style.setProperty("--split", `${percent}%`);
    const text = `${percent} % ${this.label("left")}, ${100 - percent} % ${this.label("right")}`;
    this.slider.setAttribute("aria-valuetext", text);
  }

  // Zoom keeps the point (px, py) where it is; both are fractions of the panel, x and y of the image.
  zoomTo(scale, px = 0.5, py = 0.5) {
    const before = this.scale ?? 1;
    this.scale = Math.max(1, Math.min(LARGEST, scale));
    this.moveTo((this.x ?? 0) + px / before - px / this.scale, (this.y ?? 0) + py / before - py / this.scale);
  }

  zoomBy(what) {
    this.zoomTo({in: this.scale * STEP, out: this.scale / STEP, fit: 1}[what]);
  }

  moveTo(x, y) {
    const most = 1 - 1 / this.scale;
    this.x = Math.max(0, Math.min(most, x));
    this.y = Math.max(0, Math.min(most, y));
    this.root.style.setProperty("--scale", this.scale);
    this.root.style.setProperty("--x", `${-100 * this.x}%`);
    this.root.style.setProperty("--y", `${-100 * this.y}%`);
    this.root.classList.toggle("zoomed", this.scale > 1);
    this.level.textContent = `${Number(this.scale.toFixed(1))}×`;
    this.sharpen();
  }

  sharpen() {
    const pixel = this.scale * this.view.clientWidth * devicePixelRatio / this.sources[0].naturalWidth;
    this.root.classList.toggle("sharp", pixel >= SHARP_FROM);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    const zoom = {"+": "in", "=": "in", "-": "out", "0": "fit"}[event.key];
    const step = PAN / this.scale;
    const move = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]}[event.key];
    if (zoom) {
      this.zoomBy(zoom);
    } else if (move && event.target.matches(".panel") && this.scale > 1) {
      this.moveTo(this.x + move[0], this.y + move[1]);
    } else {
      return;
    }
    event.preventDefault();
  }

  // The wheel zooms where the comparison has the focus or Ctrl is held; elsewhere it scrolls the page.
  onWheel(event, panel) {
    const wanted = event.ctrlKey || this.root.contains(document.activeElement);
    if (!wanted || (event.deltaY > 0 && this.scale === 1 && !event.ctrlKey)) return;
    event.preventDefault();
    const box = panel.getBoundingClientRect();
    this.zoomTo(this.scale * STEP ** (-event.deltaY / 100),
                (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  setUpPanel(panel) {
    const fingers = new Map();  // pointer id -> its last event
    if (panel !== this.view) panel.tabIndex = -1;  // a click gives it the focus, the tabulator passes by
    panel.addEventListener("wheel", event => this.onWheel(event, panel), {passive: false});
    panel.addEventListener("dragstart", event => event.preventDefault());
    panel.addEventListener("pointerdown", event => {
      if (event.button) return;
      if (!fingers.size) this.dividing = this.divides(panel, event);
      fingers.set(event.pointerId, event);
      panel.setPointerCapture(event.pointerId);
      if (this.dividing) this.divideAt(event);
    });
    panel.addEventListener("pointermove", event => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const others = [...fingers.values()].filter(other => other !== last);
      fingers.set(event.pointerId, event);
      if (others.length) this.pinch(panel, last, event, others[0]);
      else if (this.dividing) this.divideAt(event);
      else this.drag(panel, last, event);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      panel.addEventListener(end, event => fingers.delete(event.pointerId));
    }
  }

  divides(panel, event) {
    return panel === this.view && (this.scale === 1 || event.target.matches(".divide"));
  }

  divideAt(event) {
    const box = this.view.getBoundingClientRect();
    this.slider.value = 100 * (event.clientX - box.left) / box.width;
    this.split();
  }

  drag(panel, from, to) {
    const box = panel.getBoundingClientRect();
    this.moveTo(this.x - (to.clientX - from.clientX) / box.width / this.scale,
                this.y - (to.clientY - from.clientY) / box.height / this.scale);
  }

  pinch(panel, from, to, other) {
    const box = panel.getBoundingClientRect();
    const distance = event => Math.max(1, Math.hypot(event.clientX - other.clientX, event.clientY - other.clientY));
    this.zoomTo(this.scale * distance(to) / distance(from),
                ((to.clientX + other.clientX) / 2 - box.left) / box.width,
                ((to.clientY + other.clientY) / 2 - box.top) / box.height);
  }
}

for (const root of document.querySelectorAll(".comparison")) new Comparison(root);
