// The reading session: one case at a time, alone, locked, then with what the next stage shows.
// The page shows what the kernel says is stored; it never moves on before the kernel has said so.

const BEAT_MS = 5000, PATIENCE_MS = 4000, SILENCE_MS = 14000;
const SETTLE_MS = 400; // nobody reads so fast: a press this early is the second half of a double one
const SILENT = "The server is not responding, so no new answer can be stored. Your earlier answers are safe. " +
  "Wait a moment; if this message stays, reload the page (in JupyterLab: Run > Run All Cells).";
const HEAT_SHOWN = { opacity: 0.5, threshold: 0.2, show_heat: true }; // as the design has it
const NOTED = ["window_centre", "window_width", "opacity", "threshold", "show_heat"];
const HELD_UNPACKED = 48; // slices and maps beside those of the stack at hand
const REPEATED = ["PageUp", "PageDown"]; // keys that act again while they are held, as those passed on do
const PASSED_ON = ["+", "=", "-", "0", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"];

function createSession(model, root) {
  const session = { model, root, stops: [], state: {}, draft: {}, clock: newClock(), waiting: null, again: null };
  session.oneKey = model.get("settings").one_key;
  session.questions = model.get("settings").questions;
  Object.assign(session, actions(session));
  root.classList.add("cr-session");
  root.tabIndex = 0;
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab keeps its keys to itself
  build(session);
  follow(session, ["state"], () => arrive(session));
  follow(session, ["_slices"], () => showLooked(session));
  const hear = (message, buffers) => onMessage(session, message, buffers);
  model.on("msg:custom", hear);
  session.stops.push(() => model.off("msg:custom", hear));
  listen(session, root, "keydown", (event) => onSessionKey(session, event), true);
  listen(session, root, "mousedown", (event) => leaveKeys(session, event));
  watchIdleness(session);
  session.heard = performance.now();
  const beat = setInterval(() => checkPulse(session), BEAT_MS);
  session.stops.push(() => clearInterval(beat), () => clearInterval(session.waiting?.timer), () => session.view.destroy());
  navigator.keyboard?.getLayoutMap?.().then((layout) => { session.layout = layout; session.render(); }).catch(() => {});
  session.destroy = () => session.stops.forEach((stop) => stop());
  arrive(session);
  return session;
}

// A lost kernel is said before the reader has an answer to store.
function checkPulse(session) {
  if (!running(session)) return (session.heard = performance.now());
  if (performance.now() - session.heard > SILENCE_MS) alarm(session, SILENT);
  askSlicesAgain(session);
  toKernel(session, { type: "beat" });
}

// What a beat has to say, until a good one; it never takes the place of words about an answer.
function alarm(session, words) {
  if (session.waiting || session.again) return;
  if (words || session.alarmed) say(session, words, true);
  session.alarmed = Boolean(words);
}

// A closed channel throws; the words on the page come from the missing reply, as for a dead kernel.
function toKernel(session, message) {
  try { session.model.send(message); } catch (error) { console.warn(error); }
}

function running(session) {
  return !["start", "waiting", "moved", "finished", undefined].includes(session.state.stage);
}

// What a stage shows beside the slice: "answer", "probability", "map", "text".
function showsOf(session, stage) {
  return session.model.get("settings").stages[stage]?.shows || [];
}

// ---- building ----

function build(session) {
  const { model, root } = session;
  session.viewModel = localModel({
    case: 0, count: 1, ...HEAT_SHOWN, ...designWindow(model),
    presets: model.get("settings").presets, method: "", colour_map: "inferno",
    show_box: false, side_by_side: false, navigation: false, cohort_title: model.get("settings").title,
    unit: model.get("settings").unit, sides: model.get("settings").sides, _slices: {}, _heat: {}, _methods: [], _boxes: [], _titles: [],
    _colours: model.get("_colours"),
  });
  const holder = element("div", { className: "cr-holder" });
  session.view = createViewer(session.viewModel, holder);
  useMarks(session);
  follow({ model: session.viewModel, stops: session.stops }, ["case"], () =>
    stackOf(session) && note(session.clock, "slice", sliceNow(session) - stackOf(session).key));
  NOTED.forEach((trait) => follow({ model: session.viewModel, stops: session.stops }, [trait], () =>
    note(session.clock, trait, session.viewModel.get(trait))));
  session.bar = element("header", { className: "cr-bar" });
  session.panel = element("aside", { className: "cr-panel" });
  session.desk = element("main", { className: "cr-desk" }, holder, session.panel);
  session.cover = element("section", { className: "cr-cover" });
  session.said = element("div", { className: "cr-said", role: "alert" });
  root.append(session.bar, session.said, session.desk, session.cover);
}

function designWindow(model) {
  const [window_centre, window_width] = model.get("settings").window;
  return { window_centre, window_width };
}

// ---- what the kernel says ----

function arrive(session) {
  const before = session.state, now = session.model.get("state");
  session.state = now;
  const other = before.case !== now.case || before.stage !== now.stage || before.number !== now.number;
  if (other) startReview(session);
  if (other) startStage(session, before.case !== now.case);
  if (running(session)) {
    readHere(true);
    if (!session.correcting) showCase(session);
    resend(session);
  }
  session.render();
  askDisplay(session);
  if (document.hidden) session.pause("page hidden");
}

// Every case starts in the design's window, every heat-map as the design shows it. While the page
// is paused, or nobody sees it, the clock of a new stage stands still.
function startStage(session, newCase) {
  const { model, viewModel } = session;
  const { state } = session, kept = running(session) ? keptDraft(state) : {};
  dropLock(session);
  session.draft = { ...kept, marks: kept.marks || structuredClone(state.marks || []).map(({ x_mm, y_mm, ...mark }) => mark) };
  session.markSelected = null;
  session.clock = newClock();
  if (session.paused || session.reviewing) stopClock(session.clock);
  const start = { ...HEAT_SHOWN, ...(newCase ? designWindow(model) : {}) };
  for (const [trait, value] of Object.entries(start)) viewModel.set(trait, value);
  if (running(session)) giveKeys(session.root);
}

function showCase(session) {
  const { viewModel, model, state, reviewing } = session;
  const slices = model.get("_slices"), heat = reviewing ? null : model.get("_heat")[state.case];
  const held = { [state.number]: slices[state.case] };
  if (reviewing) held[state.number - 1] = slices[reviewing.case];
  stopCine(session);
  fetchStacks(session);
  viewModel.set("spacing", state.spacing);
  viewModel.set("group", reviewing ? `review ${reviewing.case}` : `${state.number} ${state.case}`);
  if (stackOf(session)) return showStack(session, slices[state.case], heat);
  if (state.next) held[state.number + 1] = slices[state.next]; // unpacked while the reader thinks
  viewModel.set("count", state.number + 2);
  viewModel.set("_heat", heat ? { [state.number]: { "Heat-map": heat } } : {});
  viewModel.set("_slices", held);
  viewModel.set("case", reviewing ? state.number - 1 : state.number);
  viewModel.set("method", heat ? "Heat-map" : "");
  viewModel.set("_methods", heat ? ["Heat-map"] : []);
  NOTED.forEach((trait) => note(session.clock, trait, viewModel.get(trait)));
}

// The slices of a stack have numbers of their own, from 0; the map is that of the key slice.
function showStack(session, packed, heat) {
  const { viewModel, state, stacks } = session, { key, slices } = state.stack;
  const opened = viewModel.get("opened") === viewModel.get("group") && viewModel.get("heat_of") === Boolean(heat);
  stacks[state.case][key] ||= packed;
  viewModel.set("cache", slices + HELD_UNPACKED);
  viewModel.set("count", slices);
  viewModel.set("_heat", heat ? { [key]: { "Heat-map": heat } } : {});
  if (!opened) viewModel.set("case", key);
  viewModel.set("opened", viewModel.get("group"));
  viewModel.set("heat_of", Boolean(heat));
  showSlices(session);
  viewModel.set("method", heat ? "Heat-map" : "");
  viewModel.set("_methods", heat ? ["Heat-map"] : []);
  NOTED.forEach((trait) => note(session.clock, trait, viewModel.get(trait)));
}

function onMessage(session, message, buffers) {
  const { waiting } = session;
  session.heard = performance.now();
  if (message.stack) return takeSlices(session, message, buffers);
  if (message.beat) return alarm(session, message.lost);
  if (!waiting || message.re !== waiting.id) return;
  clearInterval(waiting.timer);
  session.waiting = null;
  session.again = message.ok || message.final ? null : waiting.again;
  if (!session.again) session.shelf?.write(null);
  if (message.ok && waiting.stores) shelf(session.state.key, "draft").write(null);
  say(session, message.ok ? null : message.words, !message.ok);
  if (message.occupied) askAgain(session);
  else session.asking = null;
  if (message.ok && waiting.then) waiting.then();
  session.render();
}

// The button stays as long as there is something to send again.
function say(session, words, bad = false) {
  session.said.replaceChildren(...(words ? [element("span", {}, words)] : []));
  if (session.again) session.said.append(knob("Try again (Enter)", session.again));
  session.said.classList.toggle("cr-bad", bad);
}

// ---- drawing the page ----

function render(session) {
  const { root, state, desk, cover } = session, held = document.activeElement, mine = root.contains(held);
  const covered = coverOf(session);
  if (!covered || covered !== cover.firstChild) cover.replaceChildren(...(covered ? [covered] : []));
  cover.hidden = !covered;
  desk.hidden = Boolean(covered) || !(running(session) || session.correcting);
  root.dataset.stage = session.paused ? "paused" : session.reviewing ? "review" : state.stage;
  root.dataset.case = state.case || "";
  root.dataset.waiting = String(Boolean(session.waiting));
  session.bar.replaceChildren(...barOf(session));
  if (running(session) || session.correcting) renderPanel(session);
  if (mine) keepFocus(session, held);
}

function coverOf(session) {
  const { state } = session;
  if (session.correcting) return null; // beside its picture
  if (session.listing) return answerList(session);
  if (session.checking && running(session)) return session.checking.node;
  if (session.paused) {
    const why = session.paused === "idle" ? "There was no activity for a while, so the clock was stopped." : "The clock is stopped.";
    const screen = messageScreen("Paused", why);
    screen.append(knob(`Continue (${letter(session, "KeyP")})`, session.resume));
    return screen;
  }
  const screens = {
    start: () => startScreen(session),
    waiting: () => messageScreen("This part is done", `The next part opens on ${state.until}. ` +
      "The interval is there so that you do not remember the cases. Thank you."),
    moved: () => messageScreen("This session was opened in another window", "Continue reading there."),
    finished: () => messageScreen("All cases have been read", "Every answer is stored. Thank you; you can close this page."),
  };
  return screens[state.stage]?.();
}

function barOf(session) {
  const { state } = session;
  if (state.stage === "start" || session.checking) return [];
  const progress = element("progress", { max: state.total || 1, value: state.done || 0 });
  const part = session.reviewing ? "Practice: the last case again" : state.training ? `Practice ${state.number} of ${state.practice}` : `Case ${state.number - state.practice} of ${state.total - state.practice}`;
  const oneKey = element("input", { type: "checkbox", checked: session.oneKey });
  oneKey.addEventListener("change", () => (session.oneKey = oneKey.checked));
  return [
    element("strong", {}, running(session) ? part : "Reading session"), progress,
    element("span", { className: "cr-reader" }, state.reader || ""),
    element("label", { className: "cr-one", title: "One key stores the answer; otherwise Enter confirms it" }, oneKey, "one key answers"),
    knob(`My answers (${letter(session, "KeyU")})`, session.toggleAnswers),
    knob(`Pause (${letter(session, "KeyP")})`, () => session.pause("reader")),
  ];
}

function renderPanel(session) {
  if (session.correcting) return session.panel.replaceChildren(correctionForm(session));
  if (session.reviewing) return session.panel.replaceChildren(...reviewPanel(session));
  const { state, draft, panel } = session, last = state.number_of_stage === state.stages;
  const parts = [element("p", { className: "cr-feedback", hidden: !state.feedback }, state.feedback || "")];
  if (state.stages > 1) parts.push(stageLine(session));
  if (state.clinical_text) parts.push(element("p", { className: "cr-clinical" }, state.clinical_text));
  if (showsOf(session, state.stage).length) {
    const said = state.said ? `You said: ${inWords(session, state.said)}` : "";
    parts.push(...networkSays(session), element("p", { className: "cr-quiet" }, said));
  }
  parts.push(...markList(session), ...questionFields(session, state.stage, draft, session.pick));
  const go = storeButton(session, last ? "Store and next case (Enter)" : "Lock my answer (Enter)", session.store);
  go.classList.add("cr-store");
  panel.replaceChildren(...parts, go, keyHelp(session));
}
