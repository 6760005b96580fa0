// The slices above and below a case: fetched ahead from the key slice outwards, scrolled by wheel,
// keys and touch. What is asked and marked stays that of the key slice.

// Slices in a message; silence after which it is sent again: long, as a busy server only falls further
// behind if it is asked twice.
const CHUNK = 8, ASK_AGAIN_MS = 20000;
const CINE_MS = 100, PAGE_SLICES = 5;
const AHEAD = 24; // slices of the next case that are unpacked while this one is read

function stackOf(session) {
  return session.reviewing || session.correcting ? null : session.state.stack;
}

function sliceNow(session) {
  return session.viewModel.get("case");
}

function atKey(session) {
  const stack = stackOf(session);
  return !stack || sliceNow(session) === stack.key;
}

function goToSlice(session, index) {
  const stack = stackOf(session);
  if (!stack || session.paused) return;
  session.viewModel.set("case", clamp(index, 0, stack.slices - 1));
}

function scrollBy(session, steps) {
  stopCine(session);
  goToSlice(session, sliceNow(session) + steps);
}

// ---- fetching ----

// What the page holds of a case and of the next one; everything else is let go.
function fetchStacks(session) {
  const { state } = session, held = session.stacks || {};
  const near = [[state.case, state.stack], [state.next, state.next_stack]].filter(([name, stack]) => name && stack);
  session.stacks = Object.fromEntries(near.map(([name]) => [name, held[name] || {}]));
  session.wantedStacks = near;
  askForSlices(session);
  unpackSoon(session);
}

function askForSlices(session) {
  const { state, stacks, root } = session, held = state.stack ? Object.keys(stacks[state.case]).length : 0;
  root.dataset.slices = held === (state.stack?.slices ?? 0) ? "whole" : "arriving";
  for (const [name, { slices, key }] of session.wantedStacks || []) {
    const order = [...Array(slices).keys()].sort((a, b) => Math.abs(a - key) - Math.abs(b - key));
    const wanted = order.filter((k) => !session.stacks[name][k]).slice(0, CHUNK);
    if (!wanted.length) continue;
    session.askedSlices = performance.now();
    return toKernel(session, { type: "slices", id: newId(), case: name, wanted });
  }
  session.askedSlices = null;
}

function askSlicesAgain(session) {
  if (session.askedSlices && performance.now() - session.askedSlices > ASK_AGAIN_MS) askForSlices(session);
}

function takeSlices(session, { stack: name, wanted, slices }, buffers) {
  const held = session.stacks?.[name];
  if (held) {
    wanted.forEach((k, place) => (held[k] = { ...slices[place], data: buffers[place] }));
    unpackSoon(session);
    if (name === session.state.case && !session.reviewing) showSlices(session);
  }
  askForSlices(session);
}

// Unpacked one after the other, the nearest first, each in a task of its own: a key or the wheel never
// waits for eight of them. Of the next case only those round its key slice, to bound what is held.
function unpackSoon(session) {
  if (session.unpacking) return;
  const next = nextToUnpack(session);
  if (!next) return;
  session.unpacking = true;
  remember(session.view, next.key, () => unpackSlice(next)).catch(() => {}).then(() => setTimeout(() => {
    session.unpacking = false;
    unpackSoon(session);
  }));
}

function nextToUnpack({ view, stacks, state, wantedStacks, viewModel }) {
  for (const [name, { slices, key }] of wantedStacks || []) {
    const here = name === state.case, from = here ? viewModel.get("case") : key;
    const near = [...Array(slices).keys()].sort((a, b) => Math.abs(a - from) - Math.abs(b - from));
    const packed = near.slice(0, here ? slices : AHEAD).map((k) => stacks[name][k]);
    const found = packed.find((one) => one && !view.cache.has(one.key));
    if (found) return found;
  }
}

function showSlices({ viewModel, stacks, state }) {
  viewModel.set("_slices", { ...stacks[state.case] });
}

// ---- cine ----

function toggleCine(session) {
  if (session.cine) return stopCine(session);
  const { slices } = stackOf(session);
  session.cine = setInterval(() => goToSlice(session, (sliceNow(session) + 1) % slices), CINE_MS);
}

function stopCine(session) {
  clearInterval(session.cine);
  session.cine = null;
}

// ---- keys and words ----

function stackKey(session, { code, key, shiftKey }) {
  const stack = stackOf(session);
  if (!stack || shiftKey) return null;
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -PAGE_SLICES, PageDown: PAGE_SLICES }[key];
  if (steps) return () => scrollBy(session, steps);
  if (key === "Home") return () => scrollBy(session, stack.key - sliceNow(session));
  return code === "Period" ? () => toggleCine(session) : null;
}

function stackKeyWords(session) {
  if (!stackOf(session)) return [];
  return [["wheel, ← →", "slices"], ["PgUp PgDn", `${PAGE_SLICES} slices`], ["Home", "the slice in question"],
    [letter(session, "Period"), "cine"], ["Ctrl+wheel", "zoom"]];
}

function sliceCaption(session) {
  const stack = stackOf(session);
  if (!stack) return session.state.spacing ? [`pixel ${session.state.spacing.toFixed(2)} mm`] : [];
  const off = sliceNow(session) - stack.key, mm = off * stack.step_mm;
  const where = stack.step_mm ? `${mm > 0 ? "+" : ""}${mm.toFixed(1)} mm` : `${off > 0 ? "+" : ""}${off}`;
  const place = off === 0 ? "the slice in question" : `${where} from the slice in question`;
  const step = stack.step_mm ? `, slices ${stack.step_mm} mm apart` : "";
  const pixel = session.state.spacing ? [`axial, pixel ${session.state.spacing.toFixed(2)} mm${step}`] : [];
  return [`slice ${sliceNow(session) + 1} of ${stack.slices}: ${place}`, ...pixel];
}
