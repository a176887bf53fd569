"use strict";
// Restores the JPEGs that the page sends, one after the other, beside the page so that it stays alive.
//
// The first message is {base}, the address of the page; its answer is {ready, threads, kept}, where `kept` tells whether
// all that was loaded is kept for the time without a network, or {failed}. Every other is {id, file}; its answers are
// {id, done, total} after each tile, then {id, png, width, height} or {id, error}. Or it is {cancel: id}, after which
// that file is restored no further.

const wanted = new Set(); // ids of the files that wait or are computed
const mailbox = new MessageChannel();
let engine;
let queue = Promise.resolve();

self.onmessage = ({data}) => {
  if (data.base) {
    engine = started(data.base);
    engine.then(
      ({threads, kept}) => self.postMessage({ready: true, threads, kept}),
      (error) => self.postMessage({failed: explained(error)}),
    );
    return;
  }
  if ("cancel" in data) {
    wanted.delete(data.cancel);
    return;
  }
  wanted.add(data.id);
  queue = queue.then(() => answer(data));
};

/** Restore a file of the queue and send what comes of it, unless it was cancelled. */
async function answer({id, file}) {
  if (!wanted.has(id)) return;
  const goesOn = async (done, total) => {
    self.postMessage({id, done, total});
    await messagesRead();
    return wanted.has(id);
  };
  try {
    const result = await restored(file, goesOn);
    if (result) self.postMessage({id, ...result});
  } catch (error) {
    self.postMessage({id, error: explained(error)});
  }
  wanted.delete(id);
}

/** Let the messages that have come meanwhile be read; unlike a timer this takes no milliseconds. */
function messagesRead() {
  return new Promise((resolve) => {
    mailbox.port1.onmessage = resolve;
    mailbox.port2.postMessage(null);
  });
}

function explained(error) {
  return error instanceof Error ? error.message : String(error);
}

/** Load the runtime and the network. */
async function started(base) {
  const scripts = [`${base}tiles.js`, `${base}files.js`, `${base}vendor/litert.js`];
  importScripts(...scripts);
  const settings = await (await fetch(`${base}settings.json`)).json();
  const relaxed = await LiteRT.supportsFeature("relaxedSimd");
  const threads = self.crossOriginIsolated && relaxed ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  const build = !relaxed ? "compat_" : threads > 1 ? "threaded_" : "";
  const script = `${base}vendor/litert_wasm_${build}internal.js`;
  self.Module = {locateFile: (name) => `${base}vendor/${name}`, mainScriptUrlOrBlob: script}; // read by LiteRT
  await LiteRT.loadLiteRt(script, {threads: threads > 1});
  const options = {accelerator: "wasm", cpuOptions: {numThreads: threads}};
  const network = `${base}model.tflite`;
  const model = await LiteRT.loadAndCompile(network, options);
  const loaded = [base, ...scripts, `${base}settings.json`, script, script.replace(/js$/, "wasm"), network];
  return {model, threads, kept: await areKept(loaded), ...settings};
}

/** Whether all of these addresses are in a cache; a browser may refuse to have any. */
async function areKept(addresses) {
  try {
    return (await Promise.all(addresses.map((address) => caches.match(address)))).every(Boolean);
  } catch {
    return false;
  }
}

/** Restore a JPEG; `goesOn` is given the number of tiles that are done and of all. The result is null where it ends. */
async function restored(file, goesOn) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const header = jpegHeader(bytes);
  if (!header) throw new Error("This is not a JPEG file.");
  const {model, tile, margin, noise} = await engine;
  const image = await decoded(bytes);
  const {width, height} = image;
  const source = new OffscreenCanvas(width, height).getContext("2d", {alpha: false, willReadFrequently: true});
  source.drawImage(image, 0, 0);
  image.close();
  const channels = header.gray ? 1 : 3;
  const result = new Uint8Array(width * height * channels);
  const drawn = noise ? normal(Math.ceil(width / 2), Math.ceil(height / 2)) : null;
  const rows = spans(height, tile, margin);
  const columns = spans(width, tile, margin);
  const total = rows.length * columns.length;
  let done = 0;
  if (!(await goesOn(done, total))) return null;
  for (const row of rows) {
    for (const column of columns) {
      const seen = [Math.min(tile, width - column.start), Math.min(tile, height - row.start)];
      const pixels = source.getImageData(column.start, row.start, ...seen).data;
      const inputs = {image: new LiteRT.Tensor(extended(pixels, ...seen, tile), [1, tile, tile, 3])};
      if (drawn) {
        const [left, top, side] = [column.start / 2, row.start / 2, tile / 2];
        inputs.noise = new LiteRT.Tensor(drawn.cut(left, top, side), [1, side, side, 1]);
      }
      const outputs = await model.run(inputs);
      keep(outputs.restored.toTypedArray(), tile, row, column, result, width, channels);
      for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
      if (!(await goesOn(++done, total))) return null;
    }
  }
  const shown = upright(result, width, height, channels, header.orientation);
  const png = await pngFile(shown.pixels, shown.width, channels, header.profile);
  return {png, width: shown.width, height: shown.height};
}

/** The pixels as the file has them: on the grid of the JPEG, so not turned, and in its color space. */
async function decoded(bytes) {
  try {
    return await createImageBitmap(new Blob([withoutExif(bytes)]), {colorSpaceConversion: "none"});
  } catch {
    throw new Error("This browser cannot decode the file: it is damaged, or too large.");
  }
}

/** Copy what is kept of a restored tile, RGB, into an image of that width; into a gray one the mean of the three. */
function keep(restored, tile, row, column, image, width, channels) {
  for (let y = row.from; y < row.to; y++) {
    let from = 3 * ((y - row.start) * tile + column.from - column.start);
    let to = channels * (y * width + column.from);
    for (let x = column.from; x < column.to; x++, from += 3, to += channels) {
      if (channels === 1) image[to] = Math.round((restored[from] + restored[from + 1] + restored[from + 2]) / 3);
      else for (let i = 0; i < 3; i++) image[to + i] = restored[from + i];
    }
  }
}

/** Standard normal noise for a whole image, the same for every image of a size; 0 beyond it. */
function normal(width, height) {
  let state = 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0; // mulberry32
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  const values = Float32Array.from({length: width * height}, () => {
    const radius = Math.sqrt(-2 * Math.log(uniform())); // Box and Muller
    return radius * Math.cos(2 * Math.PI * uniform());
  });
  return {
    cut(left, top, side) {
      const part = new Float32Array(side * side);
      for (let y = 0; y < Math.min(side, height - top); y++) {
        const row = (top + y) * width;
        part.set(values.subarray(row + left, row + Math.min(left + side, width)), y * side);
      }
      return part;
    },
  };
}
