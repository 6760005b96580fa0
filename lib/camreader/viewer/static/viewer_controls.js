// Controls bound to the model's traits, and the keys. Every control has a label and can be
// reached with Tab; the keys are one table, from which the help line is written.

function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children); // strings become text, so nothing typed can become markup
  return node;
}

function field(properties) {
  return element("input", { "data-lm-suppress-shortcuts": "true", ...properties });
}

function slider(viewer, text, trait) {
  const input = field({ type: "range", min: 0, max: 1, step: 0.01, className: `cr-${trait}` });
  const output = element("output");
  listen(viewer, input, "input", () => change(viewer, trait, Number(input.value)));
  const show = () => {
    input.value = viewer.model.get(trait);
    output.textContent = `${Math.round(100 * viewer.model.get(trait))} %`;
  };
  follow(viewer, [trait], show);
  show();
  return element("label", { className: "cr-slider" }, element("span", {}, text), input, output);
}

function number(viewer, text, trait, read, write) {
  const input = field({ type: "number", step: 1, className: `cr-${trait}` });
  const show = () => (input.value = Math.round(read(viewer.model.get(trait))));
  listen(viewer, input, "change", () => {
    if (input.value !== "") change(viewer, trait, write(Number(input.value)));
    show();
  });
  follow(viewer, [trait], show);
  show();
  return element("label", {}, element("span", {}, text), input);
}

function checkbox(viewer, text, trait) {
  const input = field({ type: "checkbox", className: `cr-${trait}` });
  listen(viewer, input, "change", () => change(viewer, trait, input.checked));
  const show = () => (input.checked = viewer.model.get(trait));
  follow(viewer, [trait], show);
  show();
  return element("label", { className: "cr-check" }, input, element("span", {}, text));
}

// `names` lists the choices, `current` says which one holds, `choose` sets another. A choice made
// with the mouse gives the keys back to the pictures.
function chooser(viewer, text, traits, { names, current, choose }) {
  const select = element("select", { "data-lm-suppress-shortcuts": "true" });
  let byMouse = false;
  listen(viewer, select, "pointerdown", () => (byMouse = true));
  listen(viewer, select, "keydown", () => (byMouse = false));
  listen(viewer, select, "change", () => {
    choose(select.value);
    if (byMouse) giveKeys(viewer.root);
  });
  const show = () => {
    select.replaceChildren(...names().map((name) => element("option", { value: name }, name)));
    select.value = current();
  };
  follow(viewer, traits, show);
  show();
  return element("label", {}, element("span", {}, text), select);
}

function button(viewer, text, press) {
  const node = element("button", { type: "button" }, text);
  listen(viewer, node, "click", press);
  return node;
}

// ---- cases ----

function moveTo(viewer, index) {
  const { model } = viewer;
  const target = clamp(Math.round(index), 0, model.get("count") - 1);
  if (model.get("navigation") && target !== model.get("case")) change(viewer, "case", target);
}

function caseBar(viewer) {
  const { model } = viewer;
  const step = (by) => () => moveTo(viewer, model.get("case") + by);
  const input = number(viewer, "Case", "case", (value) => value + 1, (value) =>
    clamp(Math.round(value) - 1, 0, model.get("count") - 1));
  const count = element("span", { className: "cr-count" });
  const buttons = element("span", { className: "cr-cases" },
    button(viewer, "‹ Previous", step(-1)), input, count, button(viewer, "Next ›", step(1)));
  const title = element("span", { className: "cr-title", "aria-live": "polite" });
  const show = () => {
    buttons.hidden = !model.get("navigation") || model.get("count") < 2;
    count.textContent = `of ${model.get("count")}`;
    title.textContent = model.get("_titles")[model.get("case")] || "";
  };
  follow(viewer, ["case", "count", "_titles", "navigation"], show);
  show();
  return element("div", { className: "cr-top" }, buttons, title);
}

// ---- heat-map, window ----

function controls(viewer) {
  const heat = element("fieldset", {}, element("legend", {}, "Heat-map"),
    slider(viewer, "Opacity", "opacity"), slider(viewer, "Threshold", "threshold"),
    methodChooser(viewer), colourChooser(viewer), checkbox(viewer, "Show", "show_heat"));
  const show = () => (heat.hidden = viewer.model.get("_methods").length === 0);
  follow(viewer, ["_methods"], show);
  show();
  const window = element("fieldset", {}, element("legend", {}, "Window"),
    presetChooser(viewer), ...windowFields(viewer),
    checkbox(viewer, "Boxes", "show_box"), button(viewer, "Fit picture", () => refit(viewer)));
  return element("div", { className: "cr-controls" }, heat, window);
}

function methodChooser(viewer) {
  const { model } = viewer;
  return chooser(viewer, "Method", ["_methods", "method"], {
    names: () => model.get("_methods"),
    current: () => model.get("method"),
    choose: (name) => change(viewer, "method", name),
  });
}

function colourChooser(viewer) {
  const { model } = viewer;
  return chooser(viewer, "Colours", ["_colours", "colour_map"], {
    names: () => Object.keys(model.get("_colours")),
    current: () => model.get("colour_map"),
    choose: (name) => change(viewer, "colour_map", name),
  });
}

// Whole levels and widths that a slice of int16 can need.
const WINDOW_LIMITS = { window_centre: [-32768, 32767], window_width: [1, 65536] };

function inLimits(trait, value) {
  return clamp(Math.round(value), ...WINDOW_LIMITS[trait]);
}

function setWindow(model, centre, width) {
  model.set("window_centre", inLimits("window_centre", centre));
  model.set("window_width", inLimits("window_width", width));
  model.save_changes();
}

function windowFields(viewer) {
  return [["Level", "window_centre"], ["Width", "window_width"]].map(([text, trait]) =>
    number(viewer, text, trait, Number, (value) => inLimits(trait, value)));
}

const OWN_WINDOW = "own";

function currentPreset(model) {
  const found = Object.entries(model.get("presets")).find(([, [centre, width]]) =>
    centre === model.get("window_centre") && width === model.get("window_width"));
  return found ? found[0] : OWN_WINDOW;
}

function setPreset(viewer, name) {
  const preset = viewer.model.get("presets")[name];
  if (!preset) return;
  viewer.model.set("window_centre", preset[0]);
  viewer.model.set("window_width", preset[1]);
  viewer.model.save_changes();
}

function presetChooser(viewer) {
  const { model } = viewer;
  return chooser(viewer, "Preset", ["presets", "window_centre", "window_width"], {
    names: () => [...Object.keys(model.get("presets")), OWN_WINDOW],
    current: () => currentPreset(model),
    choose: (name) => setPreset(viewer, name),
  });
}

// ---- keys ----

function nextOf(list, current) {
  return list[(list.indexOf(current) + 1) % list.length];
}

function step(viewer, trait, by) {
  change(viewer, trait, clamp(Math.round(100 * (viewer.model.get(trait) + by)) / 100, 0, 1));
}

function toggle(viewer, trait) {
  change(viewer, trait, !viewer.model.get(trait));
}

const always = () => true;
const severalCases = (model) => model.get("navigation") && model.get("count") > 1;
const hasHeat = (model) => model.get("_methods").length > 0;

function fullScreen({ root }) {
  const whole = root.closest(".cr-session") || root;
  if (document.fullscreenElement) document.exitFullscreen();
  else whole.requestFullscreen?.().catch(() => {}); // where a page may not, nothing happens
}

// One map for viewer and session: letters belong to the session's answers, so here are the digits and
// signs, by their place on the keyboard, that both use alike.
const KEYS = [
  { show: "← →", does: "case", when: severalCases, press: {
    ArrowLeft: (v) => moveTo(v, v.model.get("case") - 1),
    ArrowRight: (v) => moveTo(v, v.model.get("case") + 1),
    Home: (v) => moveTo(v, 0),
    End: (v) => moveTo(v, v.model.get("count") - 1) } },
  { show: "↑ ↓", does: "opacity", when: hasHeat, press: {
    ArrowUp: (v) => step(v, "opacity", 0.05), ArrowDown: (v) => step(v, "opacity", -0.05) } },
  { show: ", Shift+,", does: "threshold up, down", when: hasHeat, press: {
    Comma: (v, event) => step(v, "threshold", event.shiftKey ? -0.05 : 0.05) } },
  { show: "H", does: "heat-map on/off", when: hasHeat, press: { h: (v) => toggle(v, "show_heat") } },
  { show: "`", does: "method", when: (model) => model.get("_methods").length > 1, press: {
    Backquote: (v) => change(v, "method", nextOf(v.model.get("_methods"), v.model.get("method"))) } },
  { show: "'", does: "colours", when: hasHeat, press: {
    Quote: (v) => change(v, "colour_map", nextOf(Object.keys(v.model.get("_colours")), v.model.get("colour_map"))) } },
  { show: "1–4", does: "window", when: always, press: Object.fromEntries([1, 2, 3, 4].map((place) =>
    [`Digit${place}`, (v) => setPreset(v, Object.keys(v.model.get("presets"))[place - 1])])) },
  { show: "\\", does: "boxes", when: (model) => model.get("_boxes").length > 0, press: { Backslash: (v) => toggle(v, "show_box") } },
  { show: ";", does: "invert", when: always, press: { Semicolon: (v) => redraw(v, { inverted: !v.inverted, grey: null }) } },
  { show: "[ ]", does: "measure a length, an ellipse", when: always, press: {
    BracketLeft: (v) => takeRuler(v, "length"), BracketRight: (v) => takeRuler(v, "ellipse") } },
  { show: "/", does: "full screen", when: always, press: { Slash: (v) => fullScreen(v) } },
  { show: "+ − 0", does: "zoom, reset", when: always, press: {
    "+": (v) => zoom(v, 1.25), "=": (v) => zoom(v, 1.25), "-": (v) => zoom(v, 0.8), 0: reset } },
  { show: "Shift+arrows", does: "move the picture", when: always, press: {} },
];
const PANS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function actionOf(viewer, event) {
  if (event.shiftKey && PANS[event.key]) {
    const far = 20 / viewer.view.zoom;
    return () => pan(viewer, far * PANS[event.key][0], far * PANS[event.key][1]);
  }
  const name = ({ press }) => [event.code, event.key].find((key) => key in press);
  const row = KEYS.find((entry) => name(entry) && entry.when(viewer.model));
  return row && (() => row.press[name(row)](viewer, event));
}

// Fields keep the keys they need: text all of them, numbers all but letters, lists and sliders
// those that move them.
function keepsKey({ tagName, type }, { key, code }) {
  if (type === "number") return !code.startsWith("Key");
  if (tagName === "SELECT") return /^(Arrow|Page|Home|End|Enter|Escape| $)/.test(key);
  if (type === "range") return /^(Arrow|Page|Home|End)/.test(key);
  return tagName === "TEXTAREA" || type === "text";
}

function onKey(viewer, event) {
  if (event.ctrlKey || event.altKey || event.metaKey || keepsKey(event.target, event)) return;
  const act = viewer.slice || viewer.model.get("navigation") ? actionOf(viewer, event) : null;
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function helpLine(viewer) {
  const line = element("p", { className: "cr-help" });
  const show = () => {
    const keys = KEYS.filter(({ when }) => when(viewer.model)).map(({ show, does }) =>
      element("span", {}, element("kbd", {}, show), ` ${does}`));
    line.replaceChildren(element("span", {}, "Click a picture, then:"), ...keys,
      element("span", {}, "Drag: level and width. Right or Shift drag: move. Wheel: zoom."));
  };
  follow(viewer, ["_methods", "navigation", "count"], show);
  show();
  return line;
}
