// The parts of the page: answer grid, panels, lists. All text goes through `element`, as text.

const DIAGNOSES = [["tumor", "Tumor"], ["no tumor", "No tumor"], ["other", "Other finding"]];
const CONFIDENCES = [1, 2, 3, 4, 5];
const CERTAINTY = ["unsure", "", "fairly", "", "certain"];
const HELPS = [["yes", "Yes"], ["some", "Some"], ["no", "No"]];
// Places on the keyboard, not letters: three rows for three diagnoses, outward for certainty.
const GRID_CODES = [
  ["KeyQ", "KeyW", "KeyE", "KeyR", "KeyT"],
  ["KeyA", "KeyS", "KeyD", "KeyF", "KeyG"],
  ["KeyZ", "KeyX", "KeyC", "KeyV", "KeyB"],
];
const HELP_CODES = ["KeyJ", "KeyK", "KeyL"];

// What this keyboard has printed on that place, where the browser tells; else as on a US keyboard.
function letter(session, code) {
  return (session.layout?.get(code) || code.replace("Key", "")).toUpperCase();
}

// The second click of a double one may find another page under the mouse: it is not counted.
function knob(text, press) {
  const node = element("button", { type: "button" }, text);
  node.addEventListener("click", (event) => event.detail < 2 && press());
  return node;
}

function storeButton(session, text, press) {
  const node = knob(session.waiting ? "Storing …" : text, press);
  node.disabled = Boolean(session.waiting);
  return node;
}

function choice(session, { text, code, chosen, pick, label }) {
  const node = knob(text, pick);
  node.setAttribute("aria-pressed", String(chosen));
  if (label) node.setAttribute("aria-label", label);
  if (code) node.append(element("kbd", {}, letter(session, code)));
  return node;
}

// 3 x 5 buttons, laid out as the keys are: one press says diagnosis and confidence.
function answerGrid(session, draft, pick) {
  const head = ["", ...CERTAINTY].map((text) => element("span", { className: "cr-head" }, text));
  const grid = element("div", { className: "cr-grid", role: "group", "aria-label": "Diagnosis and confidence" }, ...head);
  DIAGNOSES.forEach(([diagnosis, words], row) => {
    grid.append(element("span", { className: "cr-row" }, words));
    CONFIDENCES.forEach((confidence, column) => grid.append(choice(session, {
      text: String(confidence), code: GRID_CODES[row][column],
      chosen: draft.diagnosis === diagnosis && draft.confidence === confidence,
      pick: () => pick({ diagnosis, confidence }), label: `${words}, confidence ${confidence} of 5`,
    })));
  });
  return grid;
}

function helpButtons(session, draft, pick) {
  const row = element("div", { className: "cr-helps", role: "group", "aria-label": "Was the heat-map helpful?" });
  HELPS.forEach(([helpfulness, text], i) => row.append(choice(session, {
    text, code: HELP_CODES[i], chosen: draft.helpfulness === helpfulness, pick: () => pick({ helpfulness }),
  })));
  return row;
}

function commentBox(session, draft) {
  const box = element("textarea", {
    rows: 2, maxLength: 2000, placeholder: "Comment (optional)", "aria-label": "Comment",
    "data-lm-suppress-shortcuts": "true", className: "cr-comment", value: draft.comment || "",
    disabled: Boolean(session.waiting), // what is typed after the answer would belong to none
  });
  box.addEventListener("input", () => (draft.comment = box.value));
  return box;
}

function inWords(answer) {
  if (!answer) return "–";
  const words = Object.fromEntries(DIAGNOSES)[answer.diagnosis];
  const help = answer.helpfulness ? `, helpful: ${answer.helpfulness}` : "";
  return `${words}, ${answer.confidence} of 5${help}`;
}

function networkSays(shown) {
  if (!shown) return element("p", { className: "cr-cnn" }, "The network's answer is being opened …");
  const words = shown.cnn_prediction === 1 ? "tumor" : "no tumor";
  return element("p", { className: "cr-cnn" }, "The network says: ", element("strong", {}, words),
    ` (its score for tumor: ${shown.cnn_probability.toFixed(2)})`);
}

function startScreen(session) {
  const { state } = session;
  if (session.model.offline) return messageScreen("Reading session", state.title || "", "This page is the record of a run; " +
    "no program stands behind it. To read, start the session with: make read");
  const name = element("input", {
    type: "text", maxLength: 60, placeholder: "Your name or code", "aria-label": "Your name or code",
    "data-lm-suppress-shortcuts": "true", className: "cr-name", value: session.typed ?? state.reader ?? "", autocomplete: "off",
  });
  const begin = () => session.begin(name.value);
  name.addEventListener("keydown", (event) => event.key === "Enter" && !event.repeat && begin());
  return element("div", { className: "cr-start" },
    element("h2", {}, "Reading session"), element("p", { className: "cr-study" }, state.title || ""),
    element("p", {}, state.introduction || ""), element("label", {}, name, knob("Start reading", begin)),
    element("p", { className: "cr-quiet" }, "You can stop at any time: every answer is stored before the next case " +
      "shows, and the same name takes you back to where you were."));
}

function messageScreen(title, ...lines) {
  return element("div", { className: "cr-start" }, element("h2", {}, title),
    ...lines.map((line) => element("p", {}, line)));
}

function keyHelp(session) {
  const on = (code) => letter(session, code);
  const grid = GRID_CODES.map((codes) => `${on(codes[0])}–${on(codes.at(-1))}`);
  const rows = [
    [grid[0], "tumor, confidence 1–5"], [grid[1], "no tumor"], [grid[2], "other finding"],
    [HELP_CODES.map(on).join(" "), "heat-map helpful: yes, some, no"], ["Enter", "lock / next"], ["1–4", "window"],
    ["↑ ↓", "heat-map opacity"], [on("KeyH"), "heat-map on / off"], ["+ − 0", "zoom, fit"], ["Shift+arrows", "move"],
    [on("KeyM"), "comment (Esc leaves it)"], [on("KeyU"), "my answers"], [on("KeyP"), "pause"],
  ];
  const list = element("details", { className: "cr-keys", open: Boolean(session.showKeys) }, element("summary", {}, "Keys"),
    ...rows.map(([key, does]) => element("span", {}, element("kbd", {}, key), ` ${does}`)));
  list.addEventListener("toggle", () => (session.showKeys = list.open)); // open for the next case too
  return list;
}

// ---- my answers ----

function answerList(session) {
  const { state } = session;
  const body = element("tbody", {});
  for (const row of state.answers || []) {
    const cells = [nameOf(row), ...["unaided", "aided"].map((stage) => answerCell(row, stage))];
    const target = row.aided ? "aided" : row.alone ? "unaided" : null;
    const correct = target ? knob("Correct", () => session.correct(row, target)) : "";
    body.append(element("tr", {}, ...cells.map((cell) => element("td", {}, cell)), element("td", {}, correct)));
  }
  const head = element("tr", {}, ...["Case", "Without help", "With heat-map"].map((text) => element("th", {}, text)), element("td"));
  return element("div", { className: "cr-answers" }, element("h2", {}, "My answers"),
    element("p", { className: "cr-quiet" }, "A stored answer stays as it is. A correction is stored beside it, with its own time."),
    element("table", {}, element("thead", {}, head), body), knob(`Back (${letter(session, "KeyU")})`, session.toggleAnswers));
}

function nameOf(row) {
  return row.training ? `practice ${row.number}` : row.case;
}

function answerCell(row, stage) {
  const corrected = row[`${stage} corrected`];
  return corrected ? `${inWords(row[stage])} → ${inWords(corrected)}` : inWords(row[stage]);
}

function correctionForm(session) {
  const { row, target, draft } = session.correcting;
  const pick = (part) => (Object.assign(draft, part), session.render());
  const parts = [answerGrid(session, draft, pick)];
  if (target === "aided") parts.push(element("p", {}, "Was the heat-map helpful?"), helpButtons(session, draft, pick));
  return element("div", { className: "cr-answers" }, element("h2", {}, `Correct ${nameOf(row)}`),
    element("p", {}, `Stored: ${answerCell(row, target)}`), ...parts, commentBox(session, draft),
    element("div", { className: "cr-actions" }, storeButton(session, "Store the correction (Enter)", session.storeCorrection),
      knob("Leave it as it is (Esc)", () => session.leaveCorrection())));
}
