// From packed bytes to coloured pixels. Pure functions: nothing here touches the page.

async function inflate(view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A slice travels as row-wise differences, all low bytes before all high bytes: half the size.
async function unpackSlice({ shape, data }) {
  const bytes = await inflate(data);
  const [height, width] = shape;
  const size = height * width;
  const values = new Int16Array(size);
  for (let i = 0; i < size; i++) {
    const left = i % width ? values[i - 1] : 0;
    values[i] = left + (bytes[i] | (bytes[size + i] << 8)); // wraps as int16, on purpose
  }
  return { width, height, values };
}

async function unpackHeat({ shape, data }, width, height) {
  const heat = { height: shape[0], width: shape[1], values: await inflate(data) };
  return upsample(heat, width, height);
}

// Where each output pixel falls between two input pixels (half-pixel centres, edges repeated).
function weights(from, to) {
  const low = new Int32Array(to), high = new Int32Array(to), part = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    low[i] = Math.min(from - 1, Math.floor(at));
    high[i] = Math.min(from - 1, low[i] + 1);
    part[i] = Math.min(1, at - low[i]);
  }
  return { low, high, part };
}

// Bilinear, as torch's interpolate(align_corners=False); bytes in, floats 0..1 out.
function upsample(heat, width, height) {
  const across = weights(heat.width, width), down = weights(heat.height, height);
  const out = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const top = down.low[y] * heat.width, bottom = down.high[y] * heat.width, fy = down.part[y];
    for (let x = 0; x < width; x++) {
      const a = across.low[x], b = across.high[x], fx = across.part[x];
      const upper = heat.values[top + a] * (1 - fx) + heat.values[top + b] * fx;
      const lower = heat.values[bottom + a] * (1 - fx) + heat.values[bottom + b] * fx;
      out[y * width + x] = (upper * (1 - fy) + lower * fy) / 255;
    }
  }
  return out;
}

// The colour of each of the 65,536 values there are, as the four bytes of a pixel: the latest window's
// table is kept, so that scrolling through a stack looks every pixel up once and writes it once.
const latest = { name: "", table: null };

function greyTable(centre, width, inverted) {
  const name = `${centre} ${width} ${inverted}`;
  if (latest.name === name) return latest.table;
  const greys = new Uint8ClampedArray(65536), low = centre - width / 2;
  for (let i = 0; i < greys.length; i++) {
    const grey = ((i - 32768 - low) * 255) / width;
    greys[i] = inverted ? 255 - grey : grey;
  }
  const table = Uint32Array.from(greys, (grey) => (0xff000000 | (grey * 0x010101)) >>> 0);
  return Object.assign(latest, { name, table }).table;
}

// One sheet for all slices of one size: scrolling through a stack allocates nothing.
function sheetOf(viewer, { width, height }) {
  const { sheet } = viewer;
  if (sheet?.canvas.width === width && sheet.canvas.height === height) return sheet;
  const canvas = element("canvas", { width, height }), image = new ImageData(width, height);
  return (viewer.sheet = { canvas, image, pixels: new Uint32Array(image.data.buffer) });
}

function greyPixels({ values }, pixels, centre, width, inverted = false) {
  const table = greyTable(centre, width, inverted);
  for (let i = 0; i < values.length; i++) pixels[i] = table[values[i] + 32768];
  return pixels;
}

function paintGrey({ canvas, image, pixels }, slice, ...window) {
  greyPixels(slice, pixels, ...window);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Alpha is the heat itself, and nothing below the threshold: cold areas stay anatomy.
function heatPixels(heat, threshold, colours) {
  const pixels = new Uint8ClampedArray(heat.length * 4);
  for (let i = 0, p = 0; i < heat.length; i++, p += 4) {
    if (heat[i] < threshold) continue;
    const c = 3 * Math.round(255 * heat[i]);
    pixels[p] = colours[c];
    pixels[p + 1] = colours[c + 1];
    pixels[p + 2] = colours[c + 2];
    pixels[p + 3] = 255 * heat[i];
  }
  return pixels;
}

function paint(pixels, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}
