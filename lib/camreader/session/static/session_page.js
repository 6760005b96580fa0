// The parts of the page: buttons, screens, lists. All text goes through `element`, as text.

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

// Where in the case the reader is: "2 of 3: with the network's answer".
function stageLine(session) {
  const { state } = session, { words } = session.model.get("settings").stages[state.stage];
  return element("p", { className: "cr-stage" }, element("strong", {}, `${state.number_of_stage} of ${state.stages}`), ` ${words}`);
}

// What the stage shows, in words; the map is labelled with what it is evidence for.
function networkSays(session) {
  const { shown, stage } = session.state, { finding } = session.model.get("settings");
  if (!shown) return [element("p", { className: "cr-cnn" }, "Opening what the network says …")];
  const lines = [];
  if (shown.cnn_prediction !== undefined) {
    const score = shown.cnn_probability === undefined ? "" : ` (its score for ${finding}: ${shown.cnn_probability.toFixed(2)})`;
    lines.push(element("p", { className: "cr-cnn" }, "The network says: ",
      element("strong", {}, shown.cnn_prediction === 1 ? finding : `no ${finding}`), score));
  }
  if (showsOf(session, stage).includes("map")) {
    lines.push(element("p", { className: "cr-quiet" }, `The heat-map shows what speaks for ${finding}, whatever the network decided.`));
  }
  if (shown.text) lines.push(element("p", { className: "cr-note" }, shown.text));
  return lines;
}

function startScreen(session) {
  const { state } = session;
  if (session.model.offline) return messageScreen("Reading session", state.title || "", "This page is a saved copy " +
    "without a server. To read, start the session with: make read");
  const name = element("input", {
    type: "text", maxLength: 60, placeholder: "Your name or code", "aria-label": "Your name or code",
    "data-lm-suppress-shortcuts": "true", className: "cr-name", value: session.typed ?? state.reader ?? "", autocomplete: "off", readOnly: Boolean(state.fixed),
  });
  const asked = (state.profile || []).map((entry) => profileField(session, entry));
  const begin = () => session.begin(name.value);
  name.addEventListener("keydown", (event) => event.key === "Enter" && !event.repeat && begin());
  return element("div", { className: "cr-start" },
    element("h2", {}, "Reading session"), element("p", { className: "cr-study" }, state.title || ""),
    element("p", {}, state.introduction || ""), ...asked, element("label", {}, name, knob("Start reading", begin)),
    element("p", { className: "cr-quiet" }, "You can stop at any time: every answer is stored before the next case " +
      "is shown, and the same name brings you back to where you stopped."));
}

// One question about the reader: a choice, or a short text. Asked once, at the first start.
function profileField(session, { name, prompt, options }) {
  const held = (session.profile ||= {}), about = { "aria-label": prompt, "data-lm-suppress-shortcuts": "true" };
  const field = options?.length
    ? element("select", about, ...["", ...options].map((text) => element("option", { value: text, selected: held[name] === text }, text)))
    : element("input", { type: "text", maxLength: 200, value: held[name] || "", ...about });
  field.addEventListener("input", () => (held[name] = field.value));
  return element("label", { className: "cr-profile" }, element("span", {}, prompt), field);
}

function messageScreen(title, ...lines) {
  return element("div", { className: "cr-start" }, element("h2", {}, title),
    ...lines.map((line) => element("p", {}, line)));
}

function keyHelp(session) {
  const on = (code) => letter(session, code);
  const rows = [
    ...session.questions.flatMap((question) => keyWords(session, question)), ["Enter", "lock / next"], ["1–4", "window"],
    ...markKeyWords(session), ...stackKeyWords(session), ["↑ ↓", "heat-map opacity"], [on("KeyH"), "heat-map on / off"], ["+ − 0", "zoom, reset"], [on("Semicolon"), "invert"],
    [`${on("BracketLeft")} ${on("BracketRight")}`, "measure a length, an ellipse (again: put away)"], [on("Slash"), "full screen"], ["Shift+arrows", "move"],
    [on("KeyM"), "comment (Esc leaves it)"], [on("KeyU"), "my answers"], [on("KeyP"), "pause"],
  ];
  const list = element("details", { className: "cr-keys", open: Boolean(session.showKeys) }, element("summary", {}, "Keys"),
    ...rows.map(([key, does]) => element("span", {}, element("kbd", {}, key), ` ${does}`)));
  list.addEventListener("toggle", () => (session.showKeys = list.open)); // open for the next case too
  return list;
}

// ---- my answers ----

function answerList(session) {
  const { state } = session, told = session.model.get("settings").stages;
  const stages = Object.keys(told).filter((stage) => (state.answers || []).some((row) => row.stages.includes(stage)));
  const body = element("tbody", {});
  for (const row of state.answers || []) {
    const cells = [nameOf(row), ...stages.map((stage) => answerCell(session, row, stage))];
    const target = row.answered.length === row.stages.length ? row.stages.at(-1) : null;
    const correct = target ? knob("Correct", () => session.correct(row, target)) : "";
    body.append(element("tr", {}, ...cells.map((cell) => element("td", {}, cell)), element("td", {}, correct)));
  }
  const head = element("tr", {}, ...["Case", ...stages.map((stage) => told[stage].words)].map((text) => element("th", {}, text)), element("td"));
  return element("div", { className: "cr-answers" }, element("h2", {}, "My answers"),
    element("p", { className: "cr-quiet" }, "Stored answers are never changed. A correction is stored beside the answer, with its own time."),
    element("table", {}, element("thead", {}, head), body), knob(`Back (${letter(session, "KeyU")})`, session.toggleAnswers));
}

function nameOf(row) {
  return row.training ? `practice ${row.number}` : row.case;
}

function answerCell(session, row, stage) {
  const corrected = row[`${stage} corrected`], words = inWords(session, row[stage]);
  return corrected ? `${words} → ${inWords(session, corrected)}` : words;
}

function correctionForm(session) {
  const { row, target, draft } = session.correcting;
  const pick = (part) => (Object.assign(draft, part), session.render());
  return element("div", { className: "cr-answers" }, element("h2", {}, `Correct ${nameOf(row)}`),
    element("p", {}, `Stored: ${answerCell(session, row, target)}`), ...questionFields(session, target, draft, pick),
    element("div", { className: "cr-actions" }, storeButton(session, "Store the correction (Enter)", session.storeCorrection),
      knob("Keep the stored answer (Esc)", () => session.leaveCorrection())));
}
