"use strict";
// What a browser does not tell of a JPEG, and PNG files without opacity and with a color profile.

/**
 * Read the header of a JPEG.
 *
 * @param {Uint8Array} bytes of the file.
 * @return {{gray: boolean, profile: Uint8Array | null, orientation: number}} whether it has luma only, its ICC color
 *     profile if a PNG of its kind may have it, and how it stores the picture: EXIF's 1 (upright) to 8; null instead
 *     where the file is no JPEG.
 */
function jpegHeader(bytes) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return null;
  const parts = [];
  let components, orientation;
  for (const {marker, content} of segments(bytes)) {
    if (marker === 0xe2 && starts(content, "ICC_PROFILE\0")) parts[content[12]] = content.subarray(14);
    if (isExif(marker, content)) orientation ??= exifOrientation(content);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) components ??= content[5];
  }
  if (components === undefined) return null;
  const gray = components === 1;
  const isInks = components === 4; // CMYK, which browsers decode to RGB
  const profile = joined(Object.values(parts));
  const fits = !isInks && starts(profile.subarray(16), gray ? "GRAY" : "RGB ");
  return {gray, profile: fits ? profile : null, orientation: orientation ?? 1};
}

/** The segments of a JPEG before its first scan; contents are views of its bytes. */
function* segments(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 4 <= bytes.length; ) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0x00 || marker === 0xff) {
      at += 1; // a stray or a fill byte
      continue;
    }
    if (marker === 0xda) return;
    const size = view.getUint16(at + 2);
    yield {marker, content: bytes.subarray(at + 4, at + 2 + size)};
    at += 2 + size;
  }
}

function starts(content, text) {
  return String.fromCharCode(...content.subarray(0, text.length)) === text;
}

function isExif(marker, content) {
  return marker === 0xe1 && starts(content, "Exif\0\0");
}

/** The orientation in a segment with EXIF; 1 where there is none that can be read, or that browsers do not heed. */
function exifOrientation(content) {
  try {
    const tiff = new DataView(content.buffer, content.byteOffset + 6, content.length - 6);
    const little = tiff.getUint16(0) === 0x4949;
    const directory = tiff.getUint32(4, little);
    for (let i = 0; i < tiff.getUint16(directory, little); i++) {
      const entry = directory + 2 + 12 * i;
      if (tiff.getUint16(entry, little) !== 0x0112) continue;
      const isShort = tiff.getUint16(entry + 2, little) === 3;
      const value = isShort ? tiff.getUint16(entry + 8, little) : 1;
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch {
    // damaged: it ends early
  }
  return 1;
}

/** A copy of a JPEG without EXIF, which browsers decode as it is stored. */
function withoutExif(bytes) {
  const copy = bytes.slice();
  for (const {marker, content} of segments(copy)) if (isExif(marker, content)) content[0] = 0; // unknown from now on
  return copy;
}

/**
 * Turn an image as EXIF says.
 *
 * @param {Uint8Array} pixels as stored, row by row.
 * @param {number} width as stored.
 * @param {number} height as stored.
 * @param {number} channels
 * @param {number} orientation how the picture is stored: EXIF's 1 (upright) to 8.
 * @return {{pixels: Uint8Array, width: number, height: number}} the upright image.
 */
function upright(pixels, width, height, channels, orientation) {
  if (orientation === 1) return {pixels, width, height};
  const sideways = orientation >= 5;
  const [columnsReversed, rowsReversed] = [[2, 3, 7, 8], [3, 4, 6, 7]].map((those) => those.includes(orientation));
  const size = sideways ? {width: height, height: width} : {width, height};
  const turned = new Uint8Array(pixels.length);
  let to = 0;
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const [along, down] = sideways ? [y, x] : [x, y];
      const row = rowsReversed ? height - 1 - down : down;
      const column = columnsReversed ? width - 1 - along : along;
      const from = channels * (row * width + column);
      for (let i = 0; i < channels; i++) turned[to++] = pixels[from + i];
    }
  }
  return {pixels: turned, ...size};
}

/**
 * Write a PNG of 8 bits a channel.
 *
 * @param {Uint8Array} pixels row by row.
 * @param {number} width
 * @param {number} channels 1 for gray, 3 for RGB.
 * @param {Uint8Array | null} profile an ICC color profile.
 * @return {Promise<Blob>} the file.
 */
async function pngFile(pixels, width, channels, profile) {
  const height = pixels.length / (width * channels);
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits
  header.setUint8(9, channels === 1 ? 0 : 2);
  const parts = [new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), ...pngChunk("IHDR", new Uint8Array(header.buffer))];
  if (profile) {
    const name = new TextEncoder().encode("ICC profile\0\0"); // a name, its end, and the method: deflate
    parts.push(...pngChunk("iCCP", joined([name, ...(await deflated([profile]))])));
  }
  const rows = filteredRows(pixels, width * channels, channels);
  for (const part of await deflated(rows)) parts.push(...pngChunk("IDAT", part));
  return new Blob([...parts, ...pngChunk("IEND", new Uint8Array())], {type: "image/png"});
}

/** The rows of a PNG, each with its filter: Paeth. */
function* filteredRows(pixels, stride, channels) {
  let above = new Uint8Array(stride);
  for (let start = 0; start < pixels.length; start += stride) {
    const row = pixels.subarray(start, start + stride);
    const filtered = new Uint8Array(1 + stride);
    filtered[0] = 4;
    for (let i = 0; i < stride; i++) {
      const [a, b, c] = i < channels ? [0, above[i], 0] : [row[i - channels], above[i], above[i - channels]];
      const [toA, toB, toC] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
      filtered[1 + i] = row[i] - (toA <= toB && toA <= toC ? a : toB <= toC ? b : c);
    }
    yield filtered;
    above = row;
  }
}

/** Compress arrays as one; the result is in parts. */
async function deflated(arrays) {
  const stream = new CompressionStream("deflate");
  const read = (async () => {
    const parts = [];
    const reader = stream.readable.getReader();
    for (let step = await reader.read(); !step.done; step = await reader.read()) parts.push(step.value);
    return parts;
  })();
  const writer = stream.writable.getWriter();
  for (const array of arrays) await writer.write(array);
  await writer.close();
  return read;
}

/** A chunk of a PNG, in parts. */
function pngChunk(type, content) {
  const name = new TextEncoder().encode(type);
  return [bigEndian(content.length), name, content, bigEndian(crc32([name, content]))];
}

function bigEndian(number) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, number);
  return new Uint8Array(view.buffer);
}

const CRC_TABLE = Uint32Array.from({length: 256}, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 && 0xedb88320);
  return value;
});

function crc32(arrays) {
  let crc = ~0;
  for (const array of arrays) for (const byte of array) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

function joined(arrays) {
  const result = new Uint8Array(arrays.reduce((length, array) => length + array.length, 0));
  arrays.reduce((at, array) => (result.set(array, at), at + array.length), 0);
  return result;
}
