// The two pictures: fitting, drawing, labels and the colour bar.

const BOX_COLOUR = "#56b4e9"; // Okabe-Ito sky blue, seen on grey and on every heat colour
const LABEL_FONT = "12px system-ui, sans-serif";

// Scale and offset (CSS pixels) that put image point (view.x, view.y) at the picture's centre.
function placement(viewer, canvas) {
  const { slice, view } = viewer;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const scale = Math.min(width / slice.width, height / slice.height) * view.zoom;
  return { scale, left: width / 2 - view.x * scale, top: height / 2 - view.y * scale };
}

function imagePoint(viewer, canvas, event) {
  const box = canvas.getBoundingClientRect();
  const { scale, left, top } = placement(viewer, canvas);
  return { x: (event.clientX - box.left - left) / scale, y: (event.clientY - box.top - top) / scale };
}

function fit(viewer) {
  viewer.view = { zoom: 1, x: viewer.slice.width / 2, y: viewer.slice.height / 2 };
}

function prepare(viewer) {
  const { model, slice, heat } = viewer;
  if (!slice) return;
  if (!viewer.grey) {
    const wanted = [model.get("window_centre"), model.get("window_width"), viewer.inverted];
    viewer.grey = paintGrey(sheetOf(viewer, slice), slice, ...wanted);
  }
  if (heat && !viewer.hot) {
    const pixels = heatPixels(heat, model.get("threshold"), colours(model));
    viewer.hot = paint(pixels, slice.width, slice.height);
  }
}

function colours(model) {
  const view = model.get("_colours")[model.get("colour_map")];
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function drawPane(viewer, { canvas, overlay }) {
  const context = startCanvas(canvas);
  if (!viewer.slice) return message(context, canvas, viewer.message);
  const place = placement(viewer, canvas);
  context.save();
  context.translate(place.left, place.top);
  context.scale(place.scale, place.scale);
  context.drawImage(viewer.grey, 0, 0);
  if (overlay) drawHeat(viewer, context);
  if (viewer.model.get("show_box")) drawBoxes(viewer, context, place.scale);
  context.restore();
  drawMeasures(viewer, context, place);
  viewer.tool?.draw(context, place);
  drawSides(viewer, context, canvas);
  drawLabels(viewer, context, canvas, overlay);
}

function startCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  context.font = LABEL_FONT;
  return context;
}

function drawHeat(viewer, context) {
  if (!viewer.hot || !viewer.model.get("show_heat")) return;
  context.globalAlpha = viewer.model.get("opacity");
  context.drawImage(viewer.hot, 0, 0);
  context.globalAlpha = 1;
}

// Boxes count pixel centres from zero, so 0 lies half a pixel inside the picture.
function drawBoxes(viewer, context, scale) {
  const boxes = viewer.model.get("_boxes")[viewer.model.get("case")] || [];
  for (const [colour, width] of [["#000", 4], [BOX_COLOUR, 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width / scale;
    for (const [x1, y1, x2, y2] of boxes) {
      context.strokeRect(x1 + 0.5, y1 + 0.5, x2 - x1, y2 - y1);
    }
  }
}

function drawLabels(viewer, context, canvas, overlay) {
  const { model } = viewer;
  const width = canvas.clientWidth, bottom = canvas.clientHeight - 8;
  const level = `W ${Math.round(model.get("window_width"))}  L ${Math.round(model.get("window_centre"))}`;
  label(context, overlay ? overlayName(viewer) : "original", 8, 18);
  label(context, level, width - 8, 18, "right");
  (viewer.tool?.caption() || []).forEach((line, k) => label(context, line, 8, 36 + 16 * k));
  const lines = wrap(context, model.get("cohort_title"), width - 16);
  lines.forEach((line, i) => label(context, line, 8, bottom - 15 * (lines.length - 1 - i)));
  if (overlay && viewer.heat && model.get("show_heat")) drawColourBar(model, context, canvas);
}

// Hidden and missing are two things: a map may be there and say nothing.
function overlayName({ model, heat }) {
  if (!heat) return "no heat-map";
  return model.get("show_heat") ? model.get("method") : "heat-map hidden";
}

function label(context, text, x, y, align = "left") {
  context.textAlign = align;
  context.lineWidth = 3;
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.strokeText(text, x, y);
  context.fillStyle = "#e6edf3";
  context.fillText(text, x, y);
}

function wrap(context, text, width) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

// Heat 0 at the bottom, 1 at the top; what lies under the threshold is left empty.
function drawColourBar(model, context, canvas) {
  const height = Math.round(canvas.clientHeight * 0.4), top = Math.round(canvas.clientHeight * 0.3);
  const left = canvas.clientWidth - 22, table = colours(model), threshold = model.get("threshold");
  context.fillStyle = "rgba(0, 0, 0, 0.6)";
  context.fillRect(left - 2, top - 2, 18, height + 4);
  for (let row = 0; row < height; row++) {
    const heat = 1 - row / (height - 1), c = 3 * Math.round(255 * heat);
    if (heat < threshold) break;
    context.fillStyle = `rgb(${table[c]}, ${table[c + 1]}, ${table[c + 2]})`;
    context.fillRect(left, top + row, 14, 1);
  }
  context.strokeStyle = "#8b949e";
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top - 0.5, 15, height + 1);
  label(context, "1", left - 6, top + 8, "right");
  label(context, "0", left - 6, top + height, "right");
  if (threshold >= 0.1 && threshold <= 0.9) {
    label(context, threshold.toFixed(2), left - 6, top + height * (1 - threshold) + 4, "right");
  }
}

function message(context, canvas, text) {
  const lines = wrap(context, text, canvas.clientWidth - 32);
  const top = canvas.clientHeight / 2 - 8 * lines.length;
  lines.forEach((line, i) => label(context, line, canvas.clientWidth / 2, top + 16 * i, "center"));
}
