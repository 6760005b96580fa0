// What the page keeps by itself: a model for the viewer, the clock, and answers not yet stored.

// Looks like a widget's model, but lives in the page: the viewer moves without asking the kernel.
function localModel(values) {
  const held = { ...values }, reacts = {};
  return {
    get: (name) => held[name],
    save_changes: () => {},
    on: (event, react) => (reacts[event] = [...(reacts[event] || []), react]),
    off: (event, react) => (reacts[event] = (reacts[event] || []).filter((r) => r !== react)),
    set(name, value) {
      if (held[name] === value) return;
      held[name] = value;
      (reacts[`change:${name}`] || []).forEach((react) => react());
    },
  };
}

// Milliseconds a case has been on the screen, pauses left out. performance.now() never jumps.
function newClock() {
  return { start: performance.now(), away: 0, pausedAt: null, history: [] };
}

function elapsed(clock) {
  const now = clock.pausedAt ?? performance.now();
  return Math.max(0, Math.round(now - clock.start - clock.away));
}

function stopClock(clock) {
  clock.pausedAt ??= performance.now();
}

function goOn(clock) {
  if (clock.pausedAt === null) return;
  clock.away += performance.now() - clock.pausedAt;
  clock.pausedAt = null;
}

// [ms, what, value]; the way of a slider or of a drag within a tenth of a second is one entry.
function note(clock, what, value) {
  const last = clock.history.findLast((entry) => entry[1] === what), at = elapsed(clock);
  if (last && at - last[0] < 100) last[2] = value;
  else if (clock.history.length < 4000) clock.history.push([at, what, value]);
}

function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // pages without https lack randomUUID
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// An answer stays here, and in the browser's own storage, until the kernel says it is on disk.
// It keeps its id, so that sending it again can never store it twice.
function shelf(key, what = "answer") {
  const name = `camreader-${what}-${key}`;
  return {
    read() {
      try { return JSON.parse(localStorage.getItem(name)); } catch { return null; }
    },
    write(answer) {
      try {
        if (answer) localStorage.setItem(name, JSON.stringify(answer));
        else localStorage.removeItem(name);
      } catch { /* storage switched off: the answer still stays on the page */ }
    },
  };
}

// Whether a session was begun in this window before: kept through reload and back, not in a second one.
function readHere(begun = false) {
  try {
    if (begun) sessionStorage.setItem("camreader-begun", "1");
    return Boolean(sessionStorage.getItem("camreader-begun"));
  } catch { return false; }
}

// What is said of the case but not yet locked: a page that is reloaded goes on with it.
function keepDraft({ state, draft }) {
  shelf(state.key, "draft").write({ place: placeOf(state), draft });
}

function keptDraft(state) {
  const kept = state.key && shelf(state.key, "draft").read();
  return kept?.place === placeOf(state) ? kept.draft : {};
}

function placeOf({ number, case: name, stage }) {
  return `${number} ${name} ${stage}`;
}
