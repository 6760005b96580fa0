// What the reader does: answers, pauses, corrections, keys. An answer is kept until it is on disk.

// ---- sending ----

// Send an answer and wait for "on disk"; without a word, send the same again and say so. Where it
// is refused, `again` sends it once more under the same id, so that it can never be stored twice.
function send(session, answer) {
  const { id, kind, case: name, payload, then } = answer;
  const out = { type: "event", id, kind, case: name, payload };
  session.again = null;
  session.shelf?.write(out);
  const go = () => toKernel(session, out);
  const timer = setInterval(() => {
    say(session, "Not stored yet: the server is not responding. Your answer is kept on this page and in " +
      "this browser. If this message stays, reload the page (in JupyterLab: Run > Run All Cells).", true);
    go();
  }, PATIENCE_MS);
  expect(session, { id, then, timer, stores: kind !== "display", again: () => send(session, answer) });
  say(session, null);
  session.render();
  go();
}

// Wait for one reply at a time: the answer of an earlier page may follow before "begin" is replied to.
function expect(session, waiting) {
  clearInterval(session.waiting?.timer);
  session.waiting = waiting;
}

// An answer that an earlier page could not store, found in this browser: send it first.
function resend(session) {
  if (session.shelfKey === session.state.key) return;
  session.shelfKey = session.state.key;
  session.shelf = shelf(session.state.key);
  const left = session.shelf.read();
  if (left) send(session, left);
}

// One answer after the other: while one is on its way none follows, and a refused one goes first.
function busy(session) {
  if (!session.waiting) session.again?.();
  return Boolean(session.waiting);
}

function tell(session, kind, payload) {
  toKernel(session, { type: "event", id: newId(), kind, case: session.state.case, payload });
}

// ---- what the reader does ----

function actions(session) {
  return {
    render: () => render(session),
    begin: (name) => session.waiting || ask(session, { type: "begin", name: (session.typed = name), profile: session.profile || {} }),
    pick: (part) => pick(session, part),
    store: () => store(session),
    pause: (reason, more) => pause(session, reason, more),
    resume: () => resume(session),
    toggleAnswers: () => toggleAnswers(session),
    correct: (row, target) => startCorrection(session, row, target),
    storeCorrection: () => storeCorrection(session),
    leaveCorrection: () => leaveCorrection(session),
  };
}

// A page may have been left without a word to the server, as when the network was away: its session is
// let go after a while, and until then this page asks again by itself, if it is in the same window.
const HELD_MS = 30000, ASK_EVERY_MS = 4000;

function askAgain(session) {
  if (!readHere()) return;
  session.asking ??= performance.now();
  if (performance.now() - session.asking > HELD_MS) return (session.asking = null);
  setTimeout(() => session.state.stage === "start" && session.again?.(), ASK_EVERY_MS);
}

function ask(session, message) {
  const id = newId(), again = () => ask(session, message);
  session.again = null;
  say(session, null);
  expect(session, { id, again, timer: setInterval(() =>
    say(session, "The server is not responding. Reload the page (in JupyterLab: Run > Run All Cells).", true), PATIENCE_MS) });
  toKernel(session, { ...message, id });
}

function complete(session) {
  const { draft, state } = session;
  return !firstOpen(session, state.stage, draft) && !marksMissing(session) && !isClosed(session);
}

// Whether what this stage shows has not arrived yet.
function isClosed(session) {
  const { state } = session;
  return showsOf(session, state.stage).length > 0 && !state.shown;
}

function pick(session, part) {
  const { clock, state } = session;
  if (session.waiting || session.again || isClosed(session)) return;
  if (performance.now() - clock.start < SETTLE_MS) return;
  say(session, null);
  const before = session.locking?.before || structuredClone(session.draft);
  dropLock(session);
  Object.assign(session.draft, part);
  keepDraft(session);
  session.render();
  if (!session.oneKey) return;
  if (complete(session)) return lockSoon(session, before);
  const open = marksMissing(session);
  if (open && !firstOpen(session, state.stage, session.draft)) say(session, `${open} Then Enter locks the answer.`);
}

// A slip of the finger can be taken back: the answer waits a moment before it is sent. Another key
// in that time answers anew; the time that counts is that of the last one.
function lockSoon(session, before) {
  const wait = session.model.get("settings").undo_ms;
  if (!wait) return store(session);
  session.locking = { before, at: elapsed(session.clock), timer: setTimeout(() => store(session), wait) };
  say(session, `${inWords(session, answersOf(session, session.state.stage, session.draft))}: Esc takes it back, Enter locks it now.`);
}

function dropLock(session) {
  clearTimeout(session.locking?.timer);
  session.locking = null;
}

function undoLock(session) {
  if (!session.locking) return;
  session.draft = { ...session.locking.before, marks: session.draft.marks };
  dropLock(session);
  keepDraft(session);
  say(session, null);
  session.render();
}

function store(session) {
  const { draft, state, clock, viewModel } = session, at = session.locking?.at ?? elapsed(clock);
  dropLock(session);
  if (busy(session)) return;
  if (!complete(session)) return say(session, missing(session), true);
  const payload = {
    ...answersOf(session, state.stage, draft), ...state.told, ...markPayload(session, markRules(session)),
    milliseconds: at, history: structuredClone(clock.history), // sent again as it is now
    window: [viewModel.get("window_centre"), viewModel.get("window_width")],
  };
  send(session, { id: newId(), kind: state.kind, case: state.case, payload });
}

function missing(session) {
  const { draft, state } = session, open = firstOpen(session, state.stage, draft);
  if (isClosed(session)) return "What the network says is not here yet.";
  if (!open) return marksMissing(session);
  return `Please answer first: ${promptOf(session, open, state.stage)}`;
}

// ---- pauses ----

function pause(session, reason, more = {}) {
  if (session.paused || !running(session)) return;
  undoLock(session);
  stopClock(session.clock);
  stopCine(session);
  session.paused = reason;
  tell(session, "paused", { reason, ...more });
  session.render();
}

function resume(session) {
  if (!session.paused) return;
  session.paused = null;
  goOn(session.clock);
  tell(session, "resumed", {});
  session.render();
  giveKeys(session.root);
}

// A lid that was closed, a machine that slept: no timer ran, and none of that time was spent reading.
const ASLEEP_MS = 5000;

function wake(session, asleep) {
  if (session.paused || !running(session)) return;
  session.clock.away += asleep;
  session.pause("page frozen");
}

function watchIdleness(session) {
  const limit = session.model.get("settings").idle_seconds * 1000;
  let last = performance.now();
  for (const name of ["keydown", "pointermove", "pointerdown", "wheel"]) {
    listen(session, document, name, () => (last = performance.now()), { passive: true, capture: true });
  }
  listen(session, document, "visibilitychange", () => document.hidden && session.pause("page hidden"));
  listen(session, document, "freeze", () => session.pause("page frozen"));
  listen(session, window, "pageshow", ({ persisted }) => persisted && location.reload()); // "back": its kernel is gone
  let beat = performance.now();
  const timer = setInterval(() => {
    const now = performance.now(), idle = now - last, asleep = now - beat;
    beat = now;
    if (asleep > ASLEEP_MS && !document.hidden) wake(session, asleep);
    if (idle > limit) session.pause("idle", { idle_ms: Math.round(idle) });
  }, Math.min(1000, limit / 4));
  session.stops.push(() => clearInterval(timer));
}

// ---- earlier answers ----

function toggleAnswers(session) {
  if (session.listing) {
    session.listing = false;
    return resume(session);
  }
  session.listing = true;
  if (running(session)) pause(session, "looked at earlier answers");
  session.render();
}

function startCorrection(session, row, target) {
  session.correcting = { row, target, draft: { ...(row[`${target} corrected`] || row[target]) } };
  toKernel(session, { type: "look", id: newId(), case: row.case });
  showLooked(session);
  session.render();
}

function storeCorrection(session) {
  if (busy(session)) return;
  const { row, target, draft } = session.correcting;
  const period = row.kinds[target] === "answered" ? { period: row.period } : {};
  const payload = { ...answersOf(session, target, draft), target, ...period };
  send(session, { id: newId(), kind: "corrected", case: row.case, payload, then: () => leaveCorrection(session) });
}

// The case to be corrected, as it was seen alone; its marks are drawn, and stay as they are.
const LOOKED = 1e6; // its place in the viewer, far from those of cases and slices

function showLooked({ correcting, viewModel, model }) {
  const packed = correcting && model.get("_slices")[correcting.row.case];
  if (!correcting) return;
  viewModel.set("group", `look ${correcting.row.case}`);
  viewModel.set("_heat", {});
  viewModel.set("_methods", []);
  viewModel.set("_slices", packed ? { [LOOKED]: packed } : {});
  viewModel.set("case", LOOKED);
}

function leaveCorrection(session) {
  session.correcting = null;
  if (running(session)) showCase(session);
  session.render();
}

// ---- keys ----

// A button pressed with the mouse leaves the keys to the page: Enter confirms, it does not press again.
function leaveKeys({ root }, event) {
  if (!event.target.closest("button, summary, .cr-one")) return;
  event.preventDefault();
  giveKeys(root);
}

// What had the focus and was drawn anew gets it back; what is gone or hidden leaves it to the page.
function keepFocus({ root }, held) {
  if (held.getClientRects().length) return;
  const name = (node) => node.getAttribute("aria-label") || node.textContent;
  const same = [...root.querySelectorAll(held.tagName)].find((node) =>
    node !== held && !node.disabled && name(node) === name(held));
  giveKeys(same || root);
  if (same?.tagName === "TEXTAREA") same.setSelectionRange(held.selectionStart, held.selectionEnd);
}

// A key that is held down moves sliders and pictures; it answers and presses once.
function onSessionKey(session, event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (keepsKey(event.target, event)) return leaveField(session, event);
  const onButton = event.target.tagName === "BUTTON" && ["Enter", " "].includes(event.key);
  if (onButton && !event.repeat) return; // a button reached by Tab is pressed, not passed by
  const act = keyAction(session, event);
  if (!act && !onButton) return;
  event.preventDefault();
  event.stopPropagation();
  if (!event.repeat || [...PASSED_ON, ...REPEATED].includes(event.key)) act?.();
}

// Escape leaves any field, Enter one with a number.
function leaveField(session, { key, target }) {
  if (key !== "Escape" && !(key === "Enter" && target.type === "number")) return;
  giveKeys(session.root);
}

function keyAction(session, event) {
  if (session.correcting) return correctionKey(session, event);
  if (session.checking) return null; // its fields and buttons have their own keys
  if (session.listing) return ["KeyU", "Escape"].includes(event.code) ? session.toggleAnswers : null;
  if (session.paused) return ["KeyP", "Enter", "Escape"].includes(event.code) ? session.resume : null;
  if (session.state.stage === "start") return null;
  if (!running(session)) return event.code === "KeyU" ? session.toggleAnswers : null;
  return caseKey(session, event);
}

function correctionKey(session, event) {
  const { code } = event;
  if (code === "Escape") return session.leaveCorrection;
  if (code === "Enter") return session.storeCorrection;
  const { target, draft } = session.correcting, part = keyPart(session, target, code);
  if (!part && (PASSED_ON.includes(event.key) || SHARED_KEYS.test(code))) return () => onKey(session.view, event);
  return part ? () => (Object.assign(draft, part), session.render()) : null;
}

const SHARED_KEYS = /^(Digit[1-4]|Semicolon|Bracket(Left|Right)|Slash|Comma|Quote)$/; // of the viewer

function caseKey(session, event) {
  const { code, key } = event, { view } = session;
  if (session.reviewing && code === "Enter") return () => leaveReview(session);
  const mark = markKey(session, event);
  if (mark) return mark;
  const scroll = stackKey(session, event);
  if (scroll) return scroll;
  if (code === "Escape" && session.locking) return () => undoLock(session);
  if (SHARED_KEYS.test(code)) return () => onKey(view, event);
  if (event.shiftKey && !key.startsWith("Arrow") && key !== "+") return null;
  const acts = {
    Enter: session.store, KeyP: () => session.pause("reader"), KeyU: session.toggleAnswers,
    KeyM: () => session.panel.querySelector(".cr-comment")?.focus(), KeyH: () => toggle(view, "show_heat"),
  };
  if (PASSED_ON.includes(key)) return () => onKey(view, event);
  if (session.reviewing && ["Enter", "KeyM"].includes(code)) return null;
  if (code in acts) return acts[code];
  if (session.reviewing) return null;
  const part = keyPart(session, session.state.stage, code);
  return part ? () => session.pick(part) : null;
}
