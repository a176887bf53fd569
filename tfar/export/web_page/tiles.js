"use strict";
// Cutting an image into tiles of one size, as tfar/restoration/tiles.py does.

/**
 * What the tiles along one side of an image see and keep.
 *
 * A tile starts on a multiple of 16, which is the largest block of a JPEG. The last one starts on the first multiple of
 * 8 from which it reaches the end: so the network sees the end of the image where it is, as in the whole image.
 *
 * @param {number} size of the image, in pixels.
 * @param {number} tile side of a tile, a multiple of 16.
 * @param {number} margin pixels around what is kept of a tile, on which that may depend; a multiple of 16.
 * @return {{start: number, from: number, to: number}[]} first pixel of a tile, and what is kept of it, without `to`.
 *     What a tile sees beyond the image is to be extended.
 */
function spans(size, tile, margin) {
  if (size <= tile) return [{start: 0, from: 0, to: size}];
  const last = Math.ceil((size - tile) / 8) * 8;
  const starts = [];
  for (let start = 0; start < last; start += tile - 2 * margin) starts.push(start);
  starts.push(last);
  return starts.map((start, i) => ({
    start,
    from: i === 0 ? 0 : start + margin,
    to: i === starts.length - 1 ? size : starts[i + 1] + margin,
  }));
}

/**
 * A tile of an image, extended at its right and bottom by reflection without repeating the border, as the networks
 * extend what they are given.
 *
 * @param {Uint8ClampedArray} pixels RGBA of the part of the image that the tile sees, row by row.
 * @param {number} width of that part.
 * @param {number} height of that part.
 * @param {number} tile side of the tile.
 * @return {Uint8Array} RGB of the whole tile.
 */
function extended(pixels, width, height, tile) {
  const mirrored = (place, size) => {
    const period = Math.max(2 * size - 2, 1);
    return Math.min(place % period, period - (place % period));
  };
  const columns = Array.from({length: tile}, (_, x) => mirrored(x, width));
  const result = new Uint8Array(tile * tile * 3);
  for (let y = 0, to = 0; y < tile; y++) {
    const row = mirrored(y, height) * width;
    for (const x of columns) {
      const from = 4 * (row + x);
      result[to++] = pixels[from];
      result[to++] = pixels[from + 1];
      result[to++] = pixels[from + 2];
    }
  }
  return result;
}
