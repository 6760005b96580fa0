// The slice viewer: state, loading, mouse, keys and controls. The kernel is never asked to draw.

function createViewer(model, root) {
  const viewer = { model, root, turn: 0, message: "", cache: new Map(), stops: [], panes: [] };
  viewer.view = { zoom: 1, x: 0, y: 0 };
  root.classList.add("cr-viewer");
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Slice viewer");
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab keeps its keys to itself
  root.append(caseBar(viewer), pictures(viewer), controls(viewer), helpLine(viewer));
  follow(viewer, ["case", "method", "_slices", "_heat"], () => load(viewer));
  follow(viewer, ["window_centre", "window_width"], () => redraw(viewer, { grey: null }));
  follow(viewer, ["threshold", "colour_map"], () => redraw(viewer, { hot: null }));
  follow(viewer, ["opacity", "show_heat", "show_box", "cohort_title", "_boxes"], () => redraw(viewer));
  listen(viewer, root, "keydown", (event) => onKey(viewer, event));
  viewer.destroy = () => viewer.stops.forEach((stop) => stop());
  load(viewer);
  return viewer;
}

// ---- state ----

function change(viewer, trait, value) {
  viewer.model.set(trait, value);
  viewer.model.save_changes();
}

function follow(viewer, traits, react) {
  for (const trait of traits) {
    viewer.model.on(`change:${trait}`, react);
    viewer.stops.push(() => viewer.model.off(`change:${trait}`, react));
  }
}

function listen(viewer, target, name, react, options) {
  target.addEventListener(name, react, options);
  viewer.stops.push(() => target.removeEventListener(name, react, options));
}

// The keyboard to this node, and the page stays where it is.
function giveKeys(node) {
  node.focus({ preventScroll: true });
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// ---- loading and drawing ----

// Show the current case. An older, slower answer never replaces a newer one, and while a slice
// is being unpacked the picture is empty: never the old slice under the new case's name.
async function load(viewer) {
  const { model } = viewer;
  setTouch(viewer);
  const turn = ++viewer.turn, index = model.get("case");
  const packed = model.get("_slices")[index], map = (model.get("_heat")[index] || {})[model.get("method")];
  const waiting = "This slice is not here yet: it comes as soon as the kernel is free.";
  redraw(viewer, { slice: null, heat: null, grey: null, hot: null, message: packed ? "" : waiting });
  if (!packed) return;
  const slice = await remember(viewer, packed.key, () => unpackSlice(packed));
  const { width, height } = slice;
  const heat = map && (await remember(viewer, `${map.key} ${width} x ${height}`, () => unpackHeat(map, width, height)));
  if (turn !== viewer.turn) return;
  const size = `${width} / ${height}`;
  const grown = viewer.size !== size;
  viewer.panes.forEach(({ canvas }) => (canvas.style.aspectRatio = size));
  redraw(viewer, { slice, heat, size });
  if (viewer.pointer) readOut(viewer, viewer.pointer); // of the slice that is shown now
  const shown = model.get("group") ?? packed.key; // slices of one stack are one picture to the eye
  if (grown || viewer.shown !== shown) fit(viewer);
  viewer.shown = shown;
  for (const next of [model.get("_slices")[index + 1], model.get("_slices")[index - 1]]) {
    if (next) remember(viewer, next.key, () => unpackSlice(next));
  }
}

// Unpacked slices by content, maps by content and size, the latest: 48, or what a stack needs.
function remember({ cache, model }, key, unpack) {
  const found = cache.get(key) || unpack();
  cache.delete(key);
  cache.set(key, found);
  if (cache.size > (model.get("cache") || 48)) cache.delete(cache.keys().next().value);
  return found;
}

function redraw(viewer, changes = {}) {
  Object.assign(viewer, changes);
  if (viewer.frame) return;
  viewer.frame = requestAnimationFrame(() => {
    viewer.frame = 0;
    prepare(viewer);
    viewer.panes.filter(({ canvas }) => !canvas.hidden).forEach((pane) => drawPane(viewer, pane));
    viewer.root.dataset.drawn = Number(viewer.root.dataset.drawn || 0) + 1;
  });
}

// ---- pictures ----

function pictures(viewer) {
  const frame = element("div", { className: "cr-pictures" });
  for (const [name, overlay] of [["Original slice", false], ["Slice with heat-map", true]]) {
    const canvas = element("canvas", { role: "img", "aria-label": name });
    viewer.panes.push({ canvas, overlay });
    usePointer(viewer, canvas);
    frame.append(canvas);
  }
  viewer.readout = element("div", { className: "cr-readout" }, " ");
  const resize = new ResizeObserver(() => redraw(viewer));
  viewer.panes.forEach(({ canvas }) => resize.observe(canvas));
  viewer.stops.push(() => resize.disconnect());
  const show = () => {
    const heat = viewer.model.get("_methods").length > 0;
    viewer.panes[0].canvas.hidden = heat && !viewer.model.get("side_by_side");
    viewer.panes[1].canvas.hidden = !heat;
  };
  follow(viewer, ["side_by_side", "_methods"], show);
  show();
  return element("div", {}, frame, viewer.readout);
}

function usePointer(viewer, canvas) {
  let start = null;
  const fingers = new Map(); // {pointer: its last place}: two of them pinch
  const lift = ({ pointerId }) => fingers.delete(pointerId);
  for (const name of ["pointerup", "pointercancel"]) listen(viewer, canvas, name, lift);
  listen(viewer, canvas, "pointerdown", (event) => {
    event.preventDefault();
    giveKeys(viewer.root);
    if (event.pointerType === "touch") fingers.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
    start = viewer.slice && dragStart(viewer, canvas, event);
  });
  listen(viewer, canvas, "pointermove", (event) => {
    if (!viewer.slice) return;
    viewer.pointer = imagePoint(viewer, canvas, event);
    if (fingers.size === 2) return (start = null), pinch(viewer, canvas, fingers, event);
    if (start) drag(viewer, canvas, event, start);
    readOut(viewer, viewer.pointer);
  });
  listen(viewer, canvas, "pointerup", (event) => {
    const clicked = start && !start.far && !start.held && !start.moves && event.button === 0;
    start = null;
    if (clicked && viewer.slice) viewer.tool?.click(imagePoint(viewer, canvas, event));
  });
  listen(viewer, canvas, "pointercancel", () => (start = null));
  listen(viewer, canvas, "pointerleave", () => {
    viewer.pointer = null;
    viewer.readout.textContent = " ";
  });
  listen(viewer, canvas, "contextmenu", (event) => event.preventDefault());
  listen(viewer, canvas, "dblclick", () => viewer.ruler || viewer.tool?.clicks() || refit(viewer));
  listen(viewer, canvas, "wheel", (event) => onWheel(viewer, canvas, event), { passive: false });
}

// A press that does not go far is a click: it changes no window, and a tool may use it.
const FAR = 4;

function dragStart(viewer, canvas, event) {
  const { model, view, tool } = viewer, { clientX, clientY, shiftKey, button } = event;
  const [centre, width] = [model.get("window_centre"), model.get("window_width")];
  const moves = shiftKey || button === 2, { scale } = placement(viewer, canvas);
  const point = imagePoint(viewer, canvas, event);
  const held = !moves && (viewer.ruler ? beginMeasure(viewer, point) : tool?.grab(point, scale));
  return { clientX, clientY, centre, width, x: view.x, y: view.y, moves, held, far: false };
}

// Plain drag sets the window; with Shift or the right button it moves the picture.
function drag(viewer, canvas, event, start) {
  const { model, view } = viewer;
  const dx = event.clientX - start.clientX, dy = event.clientY - start.clientY;
  start.far ||= Math.hypot(dx, dy) >= FAR;
  if (!start.far) return;
  if (start.held) return start.held(imagePoint(viewer, canvas, event));
  if (event.pointerType === "touch" && viewer.tool?.scrolls()) return touchScroll(viewer, event, start);
  if (start.moves) {
    const { scale } = placement(viewer, canvas);
    return pan(viewer, start.x - dx / scale - view.x, start.y - dy / scale - view.y);
  }
  const step = Math.max(start.width, 100) / 300; // finer where the window is narrow
  setWindow(model, start.centre + dy * step, start.width + dx * step);
}

// Two fingers zoom about the place between them, by how much they part.
function pinch(viewer, canvas, fingers, event) {
  const apart = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  const before = apart();
  fingers.set(event.pointerId, event);
  const [a, b] = [...fingers.values()];
  const between = { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 };
  if (before > 0) zoom(viewer, apart() / before, imagePoint(viewer, canvas, between));
}

// A finger moves the page, except where it scrolls a stack or draws a measure.
function setTouch(viewer) {
  const mine = viewer.ruler || viewer.tool?.scrolls();
  viewer.panes.forEach(({ canvas }) => (canvas.style.touchAction = mine ? "none" : ""));
}

const TOUCHED = 14; // CSS pixels of a finger's way to the next slice

function touchScroll(viewer, { clientY }, start) {
  const steps = Math.trunc((clientY - start.clientY) / TOUCHED);
  if (!steps) return;
  start.clientY += steps * TOUCHED;
  viewer.tool.scroll(steps);
}

function pan(viewer, dx, dy) {
  const { view, slice } = viewer;
  view.x = clamp(view.x + dx, 0, slice.width);
  view.y = clamp(view.y + dy, 0, slice.height);
  redraw(viewer);
}

function zoom(viewer, factor, point) {
  const { view } = viewer;
  const target = clamp(view.zoom * factor, 1, 16), share = 1 - view.zoom / target;
  view.zoom = target;
  if (point) pan(viewer, (point.x - view.x) * share, (point.y - view.y) * share);
  if (target === 1) fit(viewer);
  redraw(viewer);
}

function refit(viewer) {
  if (viewer.slice) fit(viewer);
  redraw(viewer);
}

// A wheel's notch is one slice of a stack, whatever it counts; a touchpad adds up.
const NOTCH = 80, TOUCHPAD = 40;

function wheelSteps(viewer, { deltaY, deltaMode }) {
  const turned = deltaMode ? 100 * Math.sign(deltaY) : deltaY;
  if (Math.abs(turned) >= NOTCH) return (viewer.wheeled = 0, Math.sign(turned) * Math.max(1, Math.round(Math.abs(turned) / 120)));
  viewer.wheeled = (viewer.wheeled || 0) + turned;
  const steps = Math.trunc(viewer.wheeled / TOUCHPAD);
  viewer.wheeled -= steps * TOUCHPAD;
  return steps;
}

// Over a stack the wheel scrolls it, with Ctrl (and on a touchpad by pinching) it zooms. Elsewhere it
// zooms where the reader has clicked first, and else scrolls the page.
function onWheel(viewer, canvas, event) {
  if (viewer.slice && viewer.tool?.scrolls() && !event.ctrlKey) {
    event.preventDefault();
    return viewer.tool.scroll(wheelSteps(viewer, event));
  }
  if (!viewer.slice || !viewer.root.contains(document.activeElement)) return;
  event.preventDefault();
  zoom(viewer, Math.exp(-event.deltaY / 400), imagePoint(viewer, canvas, event));
}

function readOut(viewer, { x, y }) {
  const { slice, heat, model } = viewer;
  const column = Math.floor(x), row = Math.floor(y);
  const inside = column >= 0 && row >= 0 && column < slice.width && row < slice.height;
  if (!inside) return (viewer.readout.textContent = " ");
  const at = row * slice.width + column;
  const warm = heat ? `  heat ${heat[at].toFixed(2)}` : "";
  viewer.readout.textContent = `x ${column}  y ${row}  ${slice.values[at]} ${model.get("unit")}${warm}`;
}
