// The reading session: one case at a time, unaided, locked, then with the network's heat-map.
// The page shows what the kernel says is stored; it never moves on before the kernel has said so.

const BEAT_MS = 5000, PATIENCE_MS = 4000;
const NOTED = ["window_centre", "window_width", "opacity", "threshold", "show_heat"];
const PASSED_ON = ["+", "=", "-", "0", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"];

function createSession(model, root) {
  const session = { model, root, stops: [], draft: {}, clock: newClock(), status: null, waiting: null };
  session.oneKey = model.get("settings").one_key;
  session.state = model.get("state");
  Object.assign(session, actions(session));
  root.classList.add("cr-session");
  root.tabIndex = 0;
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab keeps its keys to itself
  build(session);
  follow(session, ["state"], () => arrive(session));
  const hear = (message) => onMessage(session, message);
  model.on("msg:custom", hear);
  session.stops.push(() => model.off("msg:custom", hear));
  listen(session, root, "keydown", (event) => onSessionKey(session, event), true);
  watchIdleness(session);
  const beat = setInterval(() => running(session) && model.send({ type: "beat" }), BEAT_MS);
  session.stops.push(() => clearInterval(beat), () => session.view.destroy());
  navigator.keyboard?.getLayoutMap?.().then((layout) => { session.layout = layout; session.render(); }).catch(() => {});
  session.destroy = () => session.stops.forEach((stop) => stop());
  arrive(session);
  return session;
}

function running(session) {
  return ["unaided", "aided"].includes(session.state.stage);
}

// ---- building ----

function build(session) {
  const { model, root } = session;
  const [centre, width] = model.get("settings").window;
  session.viewModel = localModel({
    case: 0, count: 1, opacity: 0.5, threshold: 0.2, window_centre: centre, window_width: width,
    presets: model.get("settings").presets, method: "", colour_map: "inferno", show_heat: true,
    show_box: false, side_by_side: false, navigation: false, cohort_title: model.get("settings").title,
    unit: model.get("settings").unit, _slices: {}, _heat: {}, _methods: [], _boxes: [], _titles: [],
    _colours: model.get("_colours"),
  });
  const holder = element("div", { className: "cr-holder" });
  session.view = createViewer(session.viewModel, holder);
  NOTED.forEach((trait) => follow({ model: session.viewModel, stops: session.stops }, [trait], () =>
    note(session.clock, trait, session.viewModel.get(trait))));
  session.bar = element("header", { className: "cr-bar" });
  session.panel = element("aside", { className: "cr-panel" });
  session.desk = element("main", { className: "cr-desk" }, holder, session.panel);
  session.cover = element("section", { className: "cr-cover" });
  session.said = element("div", { className: "cr-said", role: "alert" });
  root.append(session.bar, session.said, session.desk, session.cover);
}

// ---- what the kernel says ----

function arrive(session) {
  const before = session.state, now = session.model.get("state");
  session.state = now;
  if (before === now || before.case !== now.case || before.stage !== now.stage || !session.arrived) {
    session.draft = { comment: "" };
    session.clock = newClock();
    if (running(session)) showCase(session);
  } else if (running(session)) showCase(session);
  session.arrived = true;
  if (running(session)) resend(session);
  session.render();
  if (running(session)) session.root.focus({ preventScroll: true });
}

function showCase(session) {
  const { viewModel, model, state } = session;
  const slices = model.get("_slices"), heat = model.get("_heat")[state.case];
  const held = { [state.number]: slices[state.case] };
  if (state.next) held[state.number + 1] = slices[state.next]; // unpacked while the reader thinks
  viewModel.set("count", state.number + 2);
  viewModel.set("_heat", heat ? { [state.number]: { "CNN heat-map": heat } } : {});
  viewModel.set("_slices", held);
  viewModel.set("case", state.number);
  viewModel.set("method", heat ? "CNN heat-map" : "");
  viewModel.set("_methods", heat ? ["CNN heat-map"] : []);
  NOTED.forEach((trait) => note(session.clock, trait, viewModel.get(trait)));
}

function onMessage(session, message) {
  const { waiting } = session;
  if (message.lost) return say(session, message.lost, true);
  if (!waiting || message.re !== waiting.id) return;
  clearInterval(waiting.timer);
  session.waiting = null;
  if (message.ok || message.final) session.shelf?.write(null);
  if (message.ok) say(session, null);
  else say(session, message.words, true, message.final ? null : () => send(session, waiting));
  if (message.ok && waiting.then) waiting.then();
  session.render();
}

function say(session, words, bad = false, again = null) {
  session.status = words ? { words, bad, again } : null;
  session.said.replaceChildren(...(words ? [element("span", {}, words)] : []));
  if (again) session.said.append(knob("Try again (Enter)", again));
  session.said.classList.toggle("cr-bad", bad);
}

// ---- sending ----

// Send an answer and wait for "on disk"; without a word, send the same again and say so.
function send(session, answer) {
  const { id, kind, case: name, payload, then } = answer;
  const out = { type: "event", id, kind, case: name, payload };
  session.shelf?.write(out);
  const go = () => session.model.send(out);
  const timer = setInterval(() => {
    say(session, "Not stored yet: there is no answer from the kernel. Your answer stays on this page and in " +
      "this browser. If this does not go away, reload the page (in JupyterLab: Run > Run All Cells).", true);
    go();
  }, PATIENCE_MS);
  session.stops.push(() => clearInterval(timer));
  session.waiting = { ...out, then, timer };
  say(session, null);
  session.render();
  go();
}

// An answer that an earlier page could not store, found in this browser: send it first.
function resend(session) {
  if (session.shelfKey === session.state.key) return;
  session.shelfKey = session.state.key;
  session.shelf = shelf(session.state.key);
  const left = session.shelf.read();
  if (left) send(session, left);
}

function tell(session, kind, payload) {
  session.model.send({ type: "event", id: newId(), kind, case: session.state.case, payload });
}

// ---- what the reader does ----

function actions(session) {
  return {
    render: () => render(session),
    begin: (name) => ask(session, { type: "begin", name }),
    pick: (part) => pick(session, part),
    store: () => store(session),
    pause: (reason, more) => pause(session, reason, more),
    resume: () => resume(session),
    toggleAnswers: () => toggleAnswers(session),
    correct: (row, target) => startCorrection(session, row, target),
    storeCorrection: () => storeCorrection(session),
    leaveCorrection: () => ((session.correcting = null), session.render()),
  };
}

function ask(session, message) {
  const id = newId();
  say(session, null);
  session.waiting = { id, timer: setInterval(() =>
    say(session, "There is no answer from the kernel. Reload the page (in JupyterLab: Run > Run All Cells).", true), PATIENCE_MS) };
  session.model.send({ ...message, id });
}

function complete(session) {
  const { draft, state } = session;
  return draft.diagnosis && (state.stage === "unaided" || (draft.helpfulness && state.shown));
}

function pick(session, part) {
  if (session.waiting || (session.state.stage === "aided" && !session.state.shown)) return;
  say(session, null);
  Object.assign(session.draft, part);
  session.render();
  if (session.oneKey && complete(session)) store(session);
}

function store(session) {
  const { draft, state, clock, viewModel } = session;
  if (session.waiting) return;
  if (session.status?.again) return session.status.again();
  if (!complete(session)) return say(session, missing(session), true);
  const kind = state.stage === "unaided" ? "locked" : "revised";
  const payload = {
    diagnosis: draft.diagnosis, confidence: draft.confidence, comment: draft.comment,
    milliseconds: elapsed(clock), history: clock.history,
    window: [viewModel.get("window_centre"), viewModel.get("window_width")],
  };
  if (kind === "revised") payload.helpfulness = draft.helpfulness;
  send(session, { id: newId(), kind, case: state.case, payload });
}

function missing({ draft, state }) {
  if (!draft.diagnosis) return "Choose a diagnosis with its confidence first.";
  if (!state.shown) return "The network's answer is not here yet.";
  return "Say whether the heat-map was helpful.";
}

// ---- pauses ----

function pause(session, reason, more = {}) {
  if (session.paused || !running(session)) return;
  stopClock(session.clock);
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
  session.root.focus({ preventScroll: true });
}

function watchIdleness(session) {
  const limit = session.model.get("settings").idle_seconds * 1000;
  let last = performance.now();
  for (const name of ["keydown", "pointermove", "pointerdown", "wheel"]) {
    listen(session, document, name, () => (last = performance.now()), { passive: true, capture: true });
  }
  listen(session, document, "visibilitychange", () => document.hidden && session.pause("page hidden"));
  const timer = setInterval(() => {
    const idle = performance.now() - last;
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
  const stored = row[`${target} corrected`] || row[target];
  const { diagnosis, confidence, helpfulness } = stored;
  session.correcting = { row, target, draft: { diagnosis, confidence, helpfulness, comment: "" } };
  session.render();
}

function storeCorrection(session) {
  const { row, target, draft } = session.correcting;
  const payload = { ...draft, target };
  if (target === "unaided") delete payload.helpfulness;
  send(session, { id: newId(), kind: "corrected", case: row.case, payload, then: () => (session.correcting = null) });
}

// ---- keys ----

function onSessionKey(session, event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target.tagName === "TEXTAREA" || event.target.type === "text";
  if (typing) return typingKey(session, event);
  if (event.target.tagName === "SELECT" || event.target.type === "number") return;
  const act = keyAction(session, event);
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function typingKey(session, event) {
  if (event.key !== "Escape") return;
  event.preventDefault();
  session.root.focus({ preventScroll: true });
}

function keyAction(session, event) {
  const onButton = event.target.tagName === "BUTTON" && ["Enter", " "].includes(event.key);
  if (onButton) return null; // a button reached by Tab is pressed, not passed by
  if (session.correcting) return correctionKey(session, event);
  if (session.listing) return ["KeyU", "Escape"].includes(event.code) ? session.toggleAnswers : null;
  if (session.paused) return ["KeyP", "Enter", "Escape"].includes(event.code) ? session.resume : null;
  if (!running(session)) return event.code === "KeyU" ? session.toggleAnswers : null;
  return caseKey(session, event);
}

function gridKey(code, pick) {
  const row = GRID_CODES.findIndex((codes) => codes.includes(code));
  if (row >= 0) return () => pick({ diagnosis: DIAGNOSES[row][0], confidence: CONFIDENCES[GRID_CODES[row].indexOf(code)] });
  const help = HELP_CODES.indexOf(code);
  return help >= 0 ? () => pick({ helpfulness: HELPS[help][0] }) : null;
}

function correctionKey(session, { code }) {
  if (code === "Escape") return session.leaveCorrection;
  if (code === "Enter") return session.storeCorrection;
  return gridKey(code, (part) => (Object.assign(session.correcting.draft, part), session.render()));
}

function caseKey(session, event) {
  const { code, key } = event, { view, viewModel } = session;
  const preset = ["Digit1", "Digit2", "Digit3", "Digit4"].indexOf(code);
  if (preset >= 0) return () => setPreset(view, Object.keys(viewModel.get("presets"))[preset]);
  if (event.shiftKey && !key.startsWith("Arrow") && key !== "+") return null;
  const acts = {
    Enter: session.store, KeyP: () => session.pause("reader"), KeyU: session.toggleAnswers,
    KeyM: () => session.panel.querySelector("textarea")?.focus(), KeyH: () => toggle(view, "show_heat"),
  };
  if (PASSED_ON.includes(key) && event.target.type !== "range") return () => onKey(view, event);
  if (code in acts) return acts[code];
  const helps = session.state.stage === "aided" || !HELP_CODES.includes(code);
  return event.repeat || !helps ? null : gridKey(code, session.pick);
}

// ---- drawing the page ----

function render(session) {
  const { root, state, desk, cover } = session;
  const covered = coverOf(session);
  cover.replaceChildren(...(covered ? [covered] : []));
  cover.hidden = !covered;
  desk.hidden = Boolean(covered) || !running(session);
  root.dataset.stage = session.paused ? "paused" : state.stage;
  root.dataset.case = state.case || "";
  root.dataset.waiting = String(Boolean(session.waiting));
  session.bar.replaceChildren(...barOf(session));
  if (running(session)) renderPanel(session);
}

function coverOf(session) {
  const { state } = session;
  if (session.correcting) return correctionForm(session);
  if (session.listing) return answerList(session);
  if (session.paused) {
    const why = session.paused === "idle" ? "Nothing moved for a while, so the clock was stopped." : "The clock is stopped.";
    return element("div", { className: "cr-start" }, element("h2", {}, "Paused"), element("p", {}, why),
      knob("Go on (P)", session.resume));
  }
  const screens = {
    start: () => startScreen(session),
    waiting: () => messageScreen("The first part is done", `The second part opens on ${state.until}: ` +
      "the time between keeps you from remembering the cases. Thank you."),
    finished: () => messageScreen("All cases are read", "Every answer is stored. Thank you. You can close this page."),
  };
  return screens[state.stage]?.();
}

function barOf(session) {
  const { state } = session;
  if (state.stage === "start") return [];
  const progress = element("progress", { max: state.total || 1, value: state.done || 0 });
  const part = state.training ? `Practice ${state.number} of ${state.practice}` : `Case ${state.number - state.practice} of ${state.total - state.practice}`;
  const oneKey = element("input", { type: "checkbox", checked: session.oneKey });
  oneKey.addEventListener("change", () => (session.oneKey = oneKey.checked));
  return [
    element("strong", {}, running(session) ? part : "Reading session"), progress,
    element("span", { className: "cr-reader" }, state.reader || ""),
    element("label", { className: "cr-one", title: "One key answers and goes on; else Enter confirms" }, oneKey, "one key answers"),
    knob("My answers (U)", session.toggleAnswers), knob("Pause (P)", () => session.pause("reader")),
  ];
}

function renderPanel(session) {
  const { state, draft, panel } = session;
  if (panel.contains(document.activeElement) && document.activeElement.tagName === "TEXTAREA") return;
  const aided = state.stage === "aided";
  const parts = [element("p", { className: "cr-feedback", hidden: !state.feedback }, state.feedback || "")];
  if (aided) parts.push(networkSays(state.shown), element("p", { className: "cr-quiet" }, state.unaided ? `You said: ${inWords(state.unaided)}` : ""));
  const question = aided ? "With the network's help: is there a tumor?" : "Is there a tumor? Answer without help.";
  parts.push(element("h3", {}, question), answerGrid(session, draft, session.pick));
  if (aided) parts.push(element("h3", {}, "Was the heat-map helpful?"), helpButtons(session, draft, session.pick));
  const storeText = session.waiting ? "Storing …" : aided ? "Store and next case (Enter)" : "Lock my answer (Enter)";
  const go = knob(storeText, session.store);
  go.disabled = Boolean(session.waiting);
  go.classList.add("cr-store");
  panel.replaceChildren(...parts, commentBox(session, draft), go, keyHelp(session));
}
