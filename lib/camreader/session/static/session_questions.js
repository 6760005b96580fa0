// The questions, as the kernel lists them: drawn by kind, pressed by key, put in words.

function questionsOf(session, stage) {
  return session.questions.filter(({ stages }) => stages.includes(stage));
}

// A paired question is answered by the same press as another one, and not drawn by itself.
function partnerOf(session, question) {
  return session.questions.find(({ name }) => name === question.paired);
}

function isPartner(session, question) {
  return session.questions.some(({ paired }) => paired === question.name);
}

function shortOf({ short, name }) {
  return short || name;
}

function promptOf(session, question, stage) {
  return (showsOf(session, stage).length && question.aided_prompt) || question.prompt;
}

// ---- answers ----

function given(question, draft) {
  return draft[question.name] ?? (question.kind === "text" ? "" : undefined);
}

// What is said of a stage's questions; what was left open is not part of it.
function answersOf(session, stage, draft) {
  return Object.fromEntries(questionsOf(session, stage).map((question) => [question.name, given(question, draft)])
    .filter(([, value]) => value !== undefined));
}

function firstOpen(session, stage, draft) {
  return questionsOf(session, stage).find((question) => question.required && [undefined, ""].includes(given(question, draft)));
}

function partOf(session, question, option, place) {
  const partner = partnerOf(session, question);
  return { [question.name]: option.value, ...(partner && { [partner.name]: partner.options[place].value }) };
}

// Places on the keyboard, not letters: they stay where they are on a French or German keyboard.
function codesOf({ keys }) {
  return [...keys].map((key) => (/\d/.test(key) ? "Digit" : "Key") + key);
}

const SIGNS = { Semicolon: ";", BracketLeft: "[", BracketRight: "]", Slash: "/", Period: "." };

// What this keyboard has printed on that place, where the browser tells; else as on a US keyboard.
function letter(session, code) {
  return (session.layout?.get(code) || SIGNS[code] || code.replace(/^(Key|Digit)/, "")).toUpperCase();
}

// The part of an answer that a key gives, or undefined.
function keyPart(session, stage, code) {
  for (const question of questionsOf(session, stage)) {
    for (const option of question.options) {
      const place = codesOf(option).indexOf(code);
      if (place >= 0) return partOf(session, question, option, place);
    }
  }
}

// ---- words ----

function inWords(session, answer) {
  if (!answer) return "–";
  const placed = answer.marks ? [`${answer.marks.length} mark${answer.marks.length === 1 ? "" : "s"}`] : [];
  const said = session.questions.filter(({ kind, name }) => kind !== "text" && answer[name] !== undefined);
  return said.map((question) => {
    const value = answer[question.name];
    if (isPartner(session, question)) return `${value} of ${question.options.length}`;
    const { text } = question.options.find((option) => option.value === value) || {};
    if (question.kind === "choice" && !question.short) return text;
    return `${shortOf(question)}: ${question.kind === "choice" ? text.toLowerCase() : value}`;
  }).concat(placed).join(", ");
}

// Rows of the list of keys: [keys, what they say].
function keyWords(session, question) {
  const keyed = question.options.filter(({ keys }) => keys), partner = partnerOf(session, question);
  const on = (option) => codesOf(option).map((code) => letter(session, code));
  const words = ({ value, text }) => (question.kind === "scale" ? value : text.toLowerCase());
  if (!keyed.length) return [];
  if (!partner) return [[keyed.flatMap(on).join(" "), `${shortOf(question)}: ${keyed.map(words).join(", ")}`]];
  const range = `, ${shortOf(partner)} ${partner.options[0].value}–${partner.options.at(-1).value}`;
  return keyed.map((option, row) => [`${on(option)[0]}–${on(option).at(-1)}`, words(option) + (row ? "" : range)]);
}

// ---- drawing ----

// Every question of a stage; `pick` takes a part of the answer, a slider or a text changes `draft`.
function questionFields(session, stage, draft, pick) {
  return questionsOf(session, stage).filter((question) => !isPartner(session, question)).flatMap((question) => {
    const prompt = promptOf(session, question, stage), on = { session, question, prompt, draft, pick };
    if (question.kind === "text") return [textField(on)];
    const field = question.kind === "slider" ? sliderField : partnerOf(session, question) ? pairGrid : optionRow;
    return [element("h3", {}, prompt), field(on)];
  });
}

function optionButton({ session, question, draft, pick }, option, place, text, label) {
  const part = partOf(session, question, option, place), code = codesOf(option)[place];
  const node = knob(text, () => pick(part));
  node.setAttribute("aria-pressed", String(Object.entries(part).every(([name, value]) => draft[name] === value)));
  node.setAttribute("aria-label", label);
  if (code) node.append(element("kbd", {}, letter(session, code)));
  return node;
}

// One row per option, one column per step of the paired scale, laid out as the keys are.
function pairGrid(on) {
  const { session, question, prompt } = on, partner = partnerOf(session, question);
  const head = ["", ...partner.options.map(({ text }) => text)].map((text) => element("span", { className: "cr-head" }, text));
  const grid = element("div", { className: "cr-grid", role: "group", "aria-label": prompt }, ...head);
  grid.style.setProperty("--columns", partner.options.length);
  for (const option of question.options) {
    grid.append(element("span", { className: "cr-row" }, option.text));
    partner.options.forEach(({ value }, place) => grid.append(optionButton(on, option, place, String(value),
      `${option.text}, ${shortOf(partner)} ${value} of ${partner.options.length}`)));
  }
  return grid;
}

function optionRow(on) {
  const { question, prompt } = on, row = element("div", { className: "cr-options", role: "group", "aria-label": prompt });
  for (const option of question.options) {
    const text = question.kind === "scale" ? `${option.value} ${option.text}`.trim() : option.text;
    row.append(optionButton(on, option, 0, text, `${shortOf(question)}: ${text}`));
  }
  return row;
}

// Unanswered until it is moved; it never stores an answer by itself.
function sliderField({ session, question, prompt, draft }) {
  const { name, low, high, step } = question;
  const shown = element("output", {}, String(draft[name] ?? "–"));
  const range = field({
    type: "range", min: low, max: high, step, value: draft[name] ?? (low + high) / 2, "aria-label": prompt,
    disabled: Boolean(session.waiting),
  });
  range.addEventListener("input", () => {
    shown.textContent = draft[name] = range.valueAsNumber;
    if (draft === session.draft) keepDraft(session);
  });
  return element("div", { className: "cr-range" }, element("span", {}, String(low)), range, element("span", {}, String(high)), shown);
}

function textField({ session, question, prompt, draft }) {
  const box = element("textarea", {
    rows: 2, maxLength: 2000, placeholder: question.required ? prompt : `${prompt} (optional)`, "aria-label": prompt,
    "data-lm-suppress-shortcuts": "true", className: "cr-comment", value: given(question, draft),
    disabled: Boolean(session.waiting), // what is typed after the answer would belong to none
  });
  box.addEventListener("input", () => {
    draft[question.name] = box.value;
    if (draft === session.draft) keepDraft(session);
  });
  return box;
}
