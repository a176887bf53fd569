"use strict";
document.documentElement.classList.add("js");

// Tables: a click on a heading sorts by its column, another one the other way; empty cells stay last.

const OPPOSITE = {ascending: "descending", descending: "ascending"};

function compareKeys(a, b) {
  if (a !== "" && b !== "" && !isNaN(a) && !isNaN(b)) return a === b ? 0 : Number(a) - Number(b);
  return a.localeCompare(b, undefined, {numeric: true});
}

function sortBy(header) {
  const body = header.closest("table").tBodies[0];
  const direction = OPPOSITE[header.ariaSort] ?? header.dataset.first, sign = direction === "ascending" ? 1 : -1;
  for (const other of header.parentElement.cells) other.ariaSort = other === header ? direction : null;
  const key = cell => cell.dataset.sort?.replace("inf", "Infinity") ?? cell.textContent.trim();
  const keyed = [...body.rows].map(row => [key(row.cells[header.cellIndex]), row]);
  keyed.sort(([a], [b]) => (a === "") - (b === "") || sign * compareKeys(a, b));
  body.append(...keyed.map(([, row]) => row));
}

for (const header of document.querySelectorAll("thead th")) header.onclick = () => sortBy(header);

// Plots: the slider under each goes from point to point, says its values and shows them beside it.

function setUpPlot(figure) {
  const chart = figure.querySelector(".chart"), slider = figure.querySelector("input");
  const {data, x, y} = JSON.parse(figure.querySelector("script").textContent);
  const points = data.flatMap((trace, curveNumber) => trace.x.map((_, pointNumber) => ({curveNumber, pointNumber})));

  function color(name) {  // in the light or dark scheme, as Plotly understands it
    figure.style.color = `var(--${name})`;
    return getComputedStyle(figure).color;
  }

  function draw() {
    for (const trace of data) trace.line = trace.textfont = {color: color(`series-${trace.meta}`)};
    const lines = {gridcolor: color("rule"), linecolor: color("quiet"), zeroline: false, automargin: true};
    const font = {family: getComputedStyle(figure).fontFamily, size: 13, color: color("ink")};
    Plotly.react(chart, data, {
      font, paper_bgcolor: "transparent", plot_bgcolor: "transparent", dragmode: false, hovermode: "closest",
      margin: {l: 50, r: 10, t: 10, b: 40}, legend: {orientation: "h", y: 1.02, yanchor: "bottom"}, showlegend: true,
      xaxis: {...x, ...lines}, yaxis: {...y, ...lines},
    }, {displayModeBar: false, responsive: true});
  }

  function read() {
    const point = points[slider.value];
    slider.setAttribute("aria-valuetext", data[point.curveNumber].customdata[point.pointNumber]);
    if (slider === document.activeElement) Plotly.Fx.hover(chart, [point]);
  }

  draw();
  read();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  for (const event of ["input", "focus"]) slider.addEventListener(event, read);
  slider.addEventListener("blur", () => Plotly.Fx.unhover(chart));
  slider.addEventListener("keydown", event => { if (event.key === "Escape") Plotly.Fx.unhover(chart); });
}

document.querySelectorAll(".plot").forEach(setUpPlot);

// Comparisons: two pictures under a divide that moves; all pictures of a comparison are zoomed and moved together.

const STEP = 1.5, LARGEST = 32, PAN = 0.15;
const SHARP_FROM = 1.5;  // device pixels per pixel of the image from which on its pixels are shown as squares

class Comparison {
  scale = 1;  // and x, y: the place of the left upper corner, as fractions of the image
  x = 0;
  y = 0;

  constructor(root) {
    this.root = root;
    this.view = root.querySelector(".view");
    this.slider = root.querySelector(".slider");
    this.sources = [...root.querySelectorAll(".pictures img")];
    this.selects = {left: root.querySelector("select.left"), right: root.querySelector("select.right")};
    for (const [side, select] of Object.entries(this.selects)) {
      select.addEventListener("change", () => this.pick(side));
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
    const image = this.sources[this.selects[side].selectedIndex].cloneNode();
    this.view.querySelector(`.layer.${side}`).replaceChildren(image);
    this.view.querySelector(`.name.${side}`).textContent = this.selects[side].value;
    this.split();
  }

  split() {
    const percent = Number(this.slider.value), {left, right} = this.selects;
    this.view.style.setProperty("--split", `${percent}%`);
    this.slider.setAttribute("aria-valuetext", `${percent} % ${left.value}, ${100 - percent} % ${right.value}`);
  }

  // Zoom keeps the point (px, py) where it is; both are fractions of the panel.
  zoomTo(scale, px = 0.5, py = 0.5) {
    const before = this.scale;
    this.scale = Math.max(1, Math.min(LARGEST, scale));
    this.moveBy(px / before - px / this.scale, py / before - py / this.scale);
  }

  zoomBy(what) {
    this.zoomTo({in: this.scale * STEP, out: this.scale / STEP, fit: 1}[what]);
  }

  moveBy(dx, dy) {
    const inside = value => Math.max(0, Math.min(1 - 1 / this.scale, value));
    [this.x, this.y] = [inside(this.x + dx), inside(this.y + dy)];
    this.root.style.setProperty("--scale", this.scale);
    this.root.style.setProperty("--x", `${-100 * this.x}%`);
    this.root.style.setProperty("--y", `${-100 * this.y}%`);
    this.root.classList.toggle("zoomed", this.scale > 1);
    this.root.querySelector("output").textContent = `${Number(this.scale.toFixed(1))}×`;
    this.sharpen();
  }

  sharpen() {
    const pixel = this.scale * this.view.clientWidth * devicePixelRatio / this.sources[0].naturalWidth;
    this.root.classList.toggle("sharp", pixel >= SHARP_FROM);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    const zoom = {"+": "in", "=": "in", "-": "out", "0": "fit"}[event.key], step = PAN / this.scale;
    const move = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]}[event.key];
    if (zoom) this.zoomBy(zoom);
    else if (move && event.target.matches(".panel") && this.scale > 1) this.moveBy(...move);
    else return;
    event.preventDefault();
  }

  // The wheel zooms where the comparison has the focus or Ctrl is held; elsewhere it scrolls the page.
  onWheel(event, panel) {
    const wanted = event.ctrlKey || this.root.contains(document.activeElement);
    if (!wanted || (event.deltaY > 0 && this.scale === 1 && !event.ctrlKey)) return;
    event.preventDefault();
    this.zoomTo(this.scale * STEP ** (-event.deltaY / 100), ...this.place(panel, [event]));
  }

  setUpPanel(panel) {
    const fingers = new Map();  // pointer id -> its last event
    if (panel !== this.view) panel.tabIndex = -1;  // a click gives it the focus, the tabulator passes by
    panel.addEventListener("wheel", event => this.onWheel(event, panel), {passive: false});
    panel.addEventListener("dragstart", event => event.preventDefault());
    panel.addEventListener("pointerdown", event => {
      if (event.button) return;
      if (!fingers.size) this.dividing = panel === this.view && (this.scale === 1 || event.target.matches(".divide"));
      fingers.set(event.pointerId, event);
      panel.setPointerCapture(event.pointerId);
      if (this.dividing) this.divideAt(event);
    });
    panel.addEventListener("pointermove", event => {
      if (!fingers.has(event.pointerId)) return;
      const before = [...fingers.values()];
      fingers.set(event.pointerId, event);
      if (this.dividing && fingers.size === 1) this.divideAt(event);
      else this.drag(panel, before, [...fingers.values()]);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      panel.addEventListener(end, event => fingers.delete(event.pointerId));
    }
  }

  divideAt(event) {
    this.slider.value = 100 * this.place(this.view, [event])[0];
    this.split();
  }

  // The pictures follow the fingers: their middle, and the distance of two of them.
  drag(panel, before, after) {
    const distance = ([a, b]) => b ? Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)) : 1;
    const [[x0, y0], [x1, y1]] = [this.place(panel, before), this.place(panel, after)];
    this.moveBy((x0 - x1) / this.scale, (y0 - y1) / this.scale);
    this.zoomTo(this.scale * distance(after) / distance(before), x1, y1);
  }

  // The middle of some events, as fractions of the panel.
  place(panel, events) {
    const box = panel.getBoundingClientRect();
    const mean = name => events.reduce((sum, event) => sum + event[name], 0) / events.length;
    return [(mean("clientX") - box.left) / box.width, (mean("clientY") - box.top) / box.height];
  }
}

for (const root of document.querySelectorAll(".comparison")) new Comparison(root);
