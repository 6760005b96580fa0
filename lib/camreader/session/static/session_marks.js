// Marks: placed with a click or a key, each with its own confidence, movable until the lock.
// Coordinates are source pixels of the slice, from 0 at the centre of its first pixel, as of boxes.

const MARK_REACH = 13; // CSS pixels round a mark in which a press takes hold of it
const MARK_COLOURS = { placed: "#f0e442", accepted: "#2dd4a0", missed: "#ff8c42", lesion: "#56b4e9" };

function markRules(session) {
  return session.model.get("settings").marks;
}

// Marks can be changed: they are asked for, and nothing is on its way or in the way.
function canMark(session) {
  const closed = session.waiting || session.again || session.paused || session.reviewing || session.correcting || isClosed(session);
  return Boolean(markRules(session)) && running(session) && !closed && Boolean(session.view.slice);
}

function useMarks(session) {
  session.view.tool = {
    clicks: () => Boolean(markRules(session)),
    grab: (point, scale) => canMark(session) && holdOf(session, point, scale),
    click: (point) => canMark(session) && placeMark(session, point),
    draw: (context, place) => drawMarks(session, context, place),
    scrolls: () => Boolean(stackOf(session)),
    scroll: (steps) => steps && scrollBy(session, steps),
    caption: () => sliceCaption(session),
  };
}

// ---- what the reader does ----

// A press on a mark selects it, and it follows the pointer.
function holdOf(session, point, scale) {
  if (!atKey(session)) return null;
  const near = session.draft.marks.findLastIndex(({ x, y }) =>
    Math.hypot(x + 0.5 - point.x, y + 0.5 - point.y) * scale <= MARK_REACH);
  if (near < 0) return null;
  selectMark(session, near);
  return (to) => putMark(session, session.draft.marks[near], to);
}

function placeMark(session, point) {
  const { width, height } = session.view.slice, { marks } = session.draft, rules = markRules(session);
  if (!atKey(session)) return say(session, "Marks belong to the slice in question: Home leads back to it.");
  if (point.x < 0 || point.y < 0 || point.x > width || point.y > height) return;
  const one = rules.mode === "lroc" && marks[0];
  if (!one && marks.length >= rules.most) return say(session, `No more than ${rules.most} marks.`, true);
  const mark = one || { slice: 0, milliseconds: elapsed(session.clock) };
  if (!one) marks.push(mark);
  selectMark(session, marks.indexOf(mark));
  putMark(session, mark, point);
}

function putMark(session, mark, { x, y }) {
  const { width, height } = session.view.slice, hundredth = (value) => Math.round(100 * value) / 100;
  mark.x = hundredth(clamp(x - 0.5, -0.5, width - 0.5));
  mark.y = hundredth(clamp(y - 0.5, -0.5, height - 0.5));
  marksChanged(session);
}

function marksChanged(session) {
  undoLock(session); // the answer waits for its marks
  keepDraft(session);
  redraw(session.view);
  session.render();
}

function selectMark(session, index) {
  session.markSelected = index;
  if (index !== null && stackOf(session)) goToSlice(session, stackOf(session).key);
  marksChanged(session);
}

// The confidence completes a mark: the keys go back to windows and opacity.
function rateMark(session, index, confidence) {
  session.draft.marks[index].confidence = confidence;
  selectMark(session, null);
}

function removeMark(session, index) {
  session.draft.marks.splice(index, 1);
  selectMark(session, null);
}

// By key: where the pointer is on the picture, else in the middle of what is seen.
function markByKey(session) {
  const { pointer, view } = session.view;
  placeMark(session, pointer || { x: view.x, y: view.y });
}

// ---- keys ----

const MARK_STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function markKey(session, { code, key, shiftKey }) {
  if (!canMark(session)) return null;
  const { marks } = session.draft, at = session.markSelected, mark = atKey(session) && marks[at];
  if (code === "Space") return () => markByKey(session);
  if (code === "KeyN") return marks.length ? () => selectMark(session, ((at ?? -1) + 1) % marks.length) : null;
  if (!mark) return null;
  if (MARK_STEPS[key]) {
    const far = shiftKey ? 10 : 1, [dx, dy] = MARK_STEPS[key];
    return () => putMark(session, mark, { x: mark.x + 0.5 + far * dx, y: mark.y + 0.5 + far * dy });
  }
  const level = code.startsWith("Digit") ? Number(code.slice(5)) : 0;
  if (level >= 1 && level <= markRules(session).levels) return () => rateMark(session, at, level);
  if (["Delete", "Backspace"].includes(code)) return () => removeMark(session, at);
  return code === "Escape" ? () => selectMark(session, null) : null;
}

function markKeyWords(session) {
  if (!markRules(session)) return [];
  return [["click, Space", "mark this place"], [letter(session, "KeyN"), "next mark"],
    [`1–${markRules(session).levels}`, "how sure, of the chosen mark"], ["arrows", "move it (Shift: by 10)"], ["Del", "delete it"]];
}

// ---- what is stored ----

function markPayload({ draft, state }, rules) {
  if (!rules) return {};
  const mm = (value) => Math.round(1e4 * value * state.spacing) / 1e4;
  return { marks: draft.marks.map((mark) => (state.spacing ? { ...mark, x_mm: mm(mark.x), y_mm: mm(mark.y) } : { ...mark })) };
}

// What is still missing, in words, or nothing.
function marksMissing(session) {
  const rules = markRules(session), { marks } = session.draft;
  if (!rules) return "";
  if (rules.mode === "lroc" && !marks.length) return "Please mark the most suspicious place first, also where you think that there is nothing.";
  const open = marks.findIndex(({ confidence }) => !confidence);
  return open < 0 ? "" : `How sure are you of mark ${open + 1}? Choose it, then press 1 to ${rules.levels}; Del deletes it.`;
}

// ---- drawing ----

function drawMarks(session, context, place) {
  const { reviewing: reviewed, correcting } = session;
  if ((!markRules(session) && !reviewed) || !atKey(session)) return;
  const own = correcting ? correcting.row[correcting.target].marks : session.draft.marks;
  const marks = reviewed ? reviewed.marks : own || [];
  if (reviewed) reviewed.lesions.forEach((part) => drawOutline(context, place, part));
  marks.forEach((mark, k) => {
    const colour = reviewed ? MARK_COLOURS[mark.accepted ? "accepted" : "missed"] : MARK_COLOURS.placed;
    const sign = reviewed ? (mark.accepted ? " ✓" : " ✗") : mark.confidence ? "" : " ?";
    drawMark(context, place, mark, colour, `${k + 1}${sign}`, !reviewed && k === session.markSelected);
  });
}

// A ring with a free centre: what it marks stays visible.
function drawMark(context, { scale, left, top }, mark, colour, text, chosen) {
  const x = left + (mark.x + 0.5) * scale, y = top + (mark.y + 0.5) * scale;
  for (const [stroke, width] of [["#000", 4], [colour, chosen ? 2.5 : 1.5]]) {
    Object.assign(context, { strokeStyle: stroke, lineWidth: width });
    context.beginPath();
    context.arc(x, y, chosen ? 11 : 9, 0, 2 * Math.PI);
    for (const [dx, dy] of chosen ? Object.values(MARK_STEPS) : []) {
      context.moveTo(x + 11 * dx, y + 11 * dy);
      context.lineTo(x + 17 * dx, y + 17 * dy);
    }
    context.stroke();
  }
  label(context, text, x + 14, y - 8);
}

function drawOutline(context, { scale, left, top }, { box, outline }) {
  const [x1, y1, x2, y2] = box, points = outline || [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
  for (const [stroke, width] of [["#000", 4], [MARK_COLOURS.lesion, 2]]) {
    Object.assign(context, { strokeStyle: stroke, lineWidth: width });
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(left + (x + 0.5) * scale, top + (y + 0.5) * scale));
    context.closePath();
    context.stroke();
  }
}

// ---- the list beside the picture ----

function markList(session) {
  const rules = markRules(session);
  if (!rules) return [];
  const asked = rules.mode === "lroc" ? "Click the one most suspicious place" : "Click every suspicious place";
  const rows = session.draft.marks.map((mark, k) => markRow(session, mark, k, rules));
  const none = rows.length || rules.mode === "lroc" ? [] : [element("p", { className: "cr-quiet" }, "No mark: nothing suspicious.")];
  return [element("h3", {}, `${asked}, then say how sure you are of it`), ...none,
    element("div", { className: "cr-marks", role: "group", "aria-label": "Marks" }, ...rows)];
}

function markRow(session, mark, k, rules) {
  const { spacing } = session.state, mm = (value) => (value * spacing).toFixed(0);
  const where = spacing ? `${mm(mark.x)}, ${mm(mark.y)} mm` : `${mark.x.toFixed(0)}, ${mark.y.toFixed(0)}`;
  const row = element("div", { className: "cr-mark" }, knob(`${k + 1}`, () => selectMark(session, k)), element("span", { className: "cr-quiet" }, where));
  row.firstChild.setAttribute("aria-pressed", String(k === session.markSelected));
  row.firstChild.setAttribute("aria-label", `Choose mark ${k + 1}`);
  for (let level = 1; level <= rules.levels; level++) {
    const node = knob(String(level), () => canMark(session) && rateMark(session, k, level));
    node.title = rules.words[level - 1];
    node.setAttribute("aria-pressed", String(mark.confidence === level));
    node.setAttribute("aria-label", `Mark ${k + 1}: confidence ${level} of ${rules.levels}`);
    row.append(node);
  }
  const away = knob("×", () => canMark(session) && removeMark(session, k));
  away.setAttribute("aria-label", `Delete mark ${k + 1}`);
  row.append(away);
  return row;
}

// ---- practice: the case once more, with its lesions on the picture ----

function startReview(session) {
  const { review } = session.state;
  if (!review || session.reviewed === review.case) return;
  session.reviewed = review.case;
  session.reviewing = review;
}

function leaveReview(session) {
  session.reviewing = null;
  startStage(session, true);
  showCase(session);
  session.render();
}

function reviewPanel(session) {
  const { feedback } = session.state, { marks, lesions, rule } = session.reviewing;
  const lines = marks.map((mark, k) => `Mark ${k + 1}: ${mark.accepted ? "accepted" : "not accepted"}.`);
  if (rule) lines.push(`A mark is accepted ${rule}.`);
  if (lesions.length) lines.unshift("The lesion is outlined in blue.");
  const go = knob("Next case (Enter)", () => leaveReview(session));
  go.classList.add("cr-store");
  return [element("p", { className: "cr-feedback" }, feedback), ...lines.map((line) => element("p", {}, line)), go, keyHelp(session)];
}
