// Measuring on the slice: a length, and the values inside an ellipse. Nothing of it is stored.

const RULER_COLOUR = "#7ee081"; // told from marks (yellow), boxes (blue) and every heat colour

// A press with the tool in hand begins a measure; it ends where the button is released.
function beginMeasure(viewer, point) {
  const measure = { kind: viewer.ruler, from: point, to: point, slice: sliceKey(viewer) };
  viewer.measures = [...(viewer.measures || []).slice(-9), measure];
  return (to) => {
    measure.to = to;
    measure.words = null;
    redraw(viewer);
  };
}

function sliceKey({ model }) {
  return `${model.get("group") ?? ""} ${model.get("case")}`;
}

function takeRuler(viewer, kind) {
  viewer.ruler = viewer.ruler === kind ? null : kind;
  viewer.panes.forEach(({ canvas }) => (canvas.style.cursor = viewer.ruler ? "cell" : ""));
  setTouch(viewer);
  redraw(viewer);
}

// Fit, the window that the case opened with, no inversion, no measures.
function reset(viewer) {
  Object.assign(viewer, { measures: [], ruler: null, inverted: false, grey: null });
  viewer.panes.forEach(({ canvas }) => (canvas.style.cursor = ""));
  setTouch(viewer);
  refit(viewer);
}

function lengthOf(viewer, { from, to }) {
  const pixels = Math.hypot(to.x - from.x, to.y - from.y), spacing = viewer.model.get("spacing");
  return spacing ? `${(pixels * spacing).toFixed(1)} mm` : `${pixels.toFixed(1)} pixels`;
}

// Mean, SD, number of the pixels whose centres lie in the ellipse that the corners span.
function insideEllipse({ values, width, height }, { from, to }) {
  const cx = (from.x + to.x) / 2, cy = (from.y + to.y) / 2;
  const rx = Math.max(Math.abs(to.x - from.x) / 2, 1e-6), ry = Math.max(Math.abs(to.y - from.y) / 2, 1e-6);
  let n = 0, sum = 0, squares = 0;
  for (let y = Math.max(0, Math.floor(cy - ry)); y < Math.min(height, cy + ry); y++) {
    for (let x = Math.max(0, Math.floor(cx - rx)); x < Math.min(width, cx + rx); x++) {
      if (((x + 0.5 - cx) / rx) ** 2 + ((y + 0.5 - cy) / ry) ** 2 > 1) continue;
      const value = values[y * width + x];
      n += 1;
      sum += value;
      squares += value * value;
    }
  }
  const mean = sum / n;
  return { n, mean, sd: Math.sqrt(Math.max(0, squares / n - mean * mean)) };
}

function ellipseWords(viewer, measure) {
  const { n, mean, sd } = insideEllipse(viewer.slice, measure), spacing = viewer.model.get("spacing");
  if (!n) return "no pixel";
  const area = spacing ? `${(n * spacing * spacing).toFixed(0)} mm²` : `${n} pixels`;
  return `${mean.toFixed(1)} ± ${sd.toFixed(1)} ${viewer.model.get("unit")}, ${area}`;
}

function drawMeasures(viewer, context, { scale, left, top }) {
  const here = sliceKey(viewer);
  for (const measure of (viewer.measures || []).filter(({ slice }) => slice === here)) {
    const [x1, y1, x2, y2] = [measure.from, measure.to].flatMap(({ x, y }) => [left + x * scale, top + y * scale]);
    for (const [stroke, width] of [["#000", 4], [RULER_COLOUR, 1.5]]) {
      Object.assign(context, { strokeStyle: stroke, lineWidth: width });
      context.beginPath();
      if (measure.kind === "length") {
        context.moveTo(x1, y1);
        context.lineTo(x2, y2);
      } else {
        context.ellipse((x1 + x2) / 2, (y1 + y2) / 2, Math.abs(x2 - x1) / 2, Math.abs(y2 - y1) / 2, 0, 0, 2 * Math.PI);
      }
      context.stroke();
    }
    measure.words ??= measure.kind === "length" ? lengthOf(viewer, measure) : ellipseWords(viewer, measure);
    label(context, measure.words, Math.max(x1, x2) + 6, Math.max(y1, y2) + 4);
  }
}

// Where the sides of the patient are known they stand in the picture, as in a PACS.
function drawSides(viewer, context, canvas) {
  const [left, right] = viewer.model.get("sides") || "", middle = canvas.clientHeight / 2;
  if (!left) return;
  context.font = `600 16px ${LABEL_FONT.slice(5)}`;
  label(context, left, 8, middle);
  label(context, right, canvas.clientWidth - 44, middle, "right");
  context.font = LABEL_FONT;
}
