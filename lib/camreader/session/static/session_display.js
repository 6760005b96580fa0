// The display check: squares and letters of known contrast, and three questions about the place. What
// is shown is drawn at random here; what was seen is sent beside it, and the kernel compares.

const PATTERN = { width: 720, height: 430 }; // CSS pixels

function screenNow() {
  return { width: screen.width, height: screen.height, ratio: Math.round(1000 * devicePixelRatio) / 1000, depth: screen.colorDepth };
}

// Before the first case of a sitting, and where a case begins on another screen; never within a case.
function askDisplay(session) {
  const { state, checking } = session, rules = session.model.get("settings").display;
  if (!rules || checking || !running(session) || session.reviewing) return;
  const known = session.screen || state.display, now = screenNow();
  const same = known && Object.keys(now).every((name) => known[name] === now[name]);
  if (same || (session.screen && state.number_of_stage > 1)) return;
  session.checking = displayCheck(session, rules);
  session.pause("display check");
  session.render();
  session.checking.node.querySelector("select").focus();
}

function displayCheck(session, rules) {
  const any = (text) => text[Math.floor(Math.random() * text.length)];
  const shown = rules.patches.map(() => any("1234"));
  const letters = rules.letters.map(({ steps }) => steps.map(() => any(rules.alphabet)));
  const check = { began: performance.now(), shown: [...shown, ...letters.flat()] };
  const choice = (prompt, options) => labelled(prompt, element("select", { "aria-label": prompt },
    ...["", ...options].map((text) => element("option", { value: text }, text))));
  const squares = rules.patches.map(({ name }, row) =>
    choice(`Row ${"AB"[row]}: which square holds a smaller one?`, [..."1234", "none"]));
  const rows = rules.letters.map((_, row) => labelled(`Row ${"CDE"[row]}: the letters that you can read`,
    element("input", { type: "text", maxLength: 8, autocomplete: "off", "aria-label": `Row ${"CDE"[row]}` })));
  const asked = rules.asked.map(({ prompt, options }) => choice(prompt, options));
  const done = (event) => { event.preventDefault(); storeCheck(session, { rules, squares, rows, asked }); };
  const skip = knob("Skip the check", () => sendCheck(session, { skipped: true }));
  const form = element("form", { className: "cr-check-form" }, ...squares, ...rows, ...asked,
    element("div", { className: "cr-actions" }, element("button", { type: "submit", className: "cr-store" }, "Store and start reading"), skip));
  form.addEventListener("submit", done);
  check.node = element("div", { className: "cr-display" }, element("h2", {}, "Before you read: this screen"),
    element("p", { className: "cr-quiet" }, "One minute, once for each screen. Sit as you will read. Enter what you see at a glance: letters from left to right, ? for one that you cannot read."),
    element("div", { className: "cr-display-desk" }, patternOf(rules, shown, letters), form));
  return check;
}

function labelled(text, node) {
  node.setAttribute("data-lm-suppress-shortcuts", "true");
  return element("label", {}, element("span", {}, text), node);
}

// Drawn in the screen's own pixels: no grey is mixed by scaling.
function patternOf({ patches, letters }, shown, drawn) {
  const ratio = devicePixelRatio, { width, height } = PATTERN;
  const canvas = element("canvas", { width: width * ratio, height: height * ratio, role: "img", "aria-label": "Test pattern" });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = canvas.getContext("2d");
  const box = (grey, x, y, w, h) => {
    context.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
    context.fillRect(Math.round(x * ratio), Math.round(y * ratio), Math.round(w * ratio), Math.round(h * ratio));
  };
  const text = (words, grey, x, y, size = 15) => {
    context.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
    context.font = `600 ${size * ratio}px system-ui, sans-serif`;
    context.fillText(words, x * ratio, y * ratio);
  };
  box(96, 0, 0, width, height);
  for (let step = 0; step <= 10; step++) box(Math.round(25.5 * step), 32 + step * 62, 8, 62, 40);
  patches.forEach(({ greys }, row) => {
    const top = 62 + row * 112;
    text("AB"[row], 255, 10, top + 55);
    for (let k = 0; k < 4; k++) {
      box(greys[0], 40 + 172 * k, top, 160, 88);
      if (String(k + 1) === shown[row]) box(greys[1], 104 + 172 * k, top + 28, 32, 32);
      text(String(k + 1), 255, 116 + 172 * k, top + 103, 13);
    }
  });
  letters.forEach(({ grey, steps }, row) => {
    const top = 288 + row * 47;
    text("CDE"[row], 255, 10, top + 27);
    box(grey, 40, top, width - 44, 42);
    steps.forEach((step, k) => text(drawn[row][k], grey + step, 110 + 172 * k, top + 31, 28));
  });
  return canvas;
}

function storeCheck(session, { rules, squares, rows, asked }) {
  const read = (label) => label.lastChild.value.trim().toUpperCase();
  const open = [...squares, ...asked].find((label) => !read(label));
  if (open) {
    say(session, `Please answer first: ${open.firstChild.textContent}`, true);
    return open.lastChild.focus();
  }
  const seen = squares.map((label) => (read(label) === "NONE" ? "" : read(label)));
  // Letters are read from the left, where they are plainest; what stands between them does not count.
  rows.forEach((label, row) => {
    const typed = read(label).replace(/[^A-Z?]/g, "");
    seen.push(...rules.letters[row].steps.map((_, k) => typed[k] || ""));
  });
  const steps = rules.names.map((name, k) => [name, session.checking.shown[k], seen[k]]);
  const answers = Object.fromEntries(rules.asked.map(({ name }, k) => [name, asked[k].lastChild.value]));
  sendCheck(session, { steps, answers, milliseconds: Math.round(performance.now() - session.checking.began) });
}

function sendCheck(session, told) {
  if (busy(session)) return;
  const now = screenNow(), payload = { screen: now, window: [innerWidth, innerHeight], ...told };
  send(session, { id: newId(), kind: "display", case: session.state.case, payload, then: () => {
    session.screen = now;
    session.checking = null;
    session.resume();
  } });
}
