// The page: which row is shown, what is decided, and the keys.

import { Editor, hasDraft } from "./editing.js";
import { Kept, Refused, get, post } from "./talk.js";
import { $, DECIDED, drawComparison, drawCounts, drawPassage, drawRow, make } from "./view.js";

const kept = new Kept("sessionStorage");
const editor = new Editor(() => drawDraft());
let session; // what does not change
let reviewer = null;
let decisions = {}; // mine, by row
let disputed = new Set();
let at = 0; // index into session.rows
let shown = null; // the row as the server told it
let busy = false; // while something is on its way to the server
const NONE = "none"; // the purpose of rows that were not written for one
let marks = kept.get("marks") ?? true;

// ---- which rows --------------------------------------------------------------------------------

function matches(row) {
  const state = $("state").value;
  const intent = $("intent").value;
  if (intent && (row.intent || NONE) !== intent) return false;
  if (!state) return true;
  if (state === "open") return !decisions[row.id];
  if (state === "draft") return hasDraft(reviewer, row.id);
  if (state === "disputed") return disputed.has(row.id);
  return decisions[row.id]?.action === state;
}

/** The nearest row in this direction that `wanted` likes; -1 if there is none. */
function find(step, wanted = matches, from = at + step) {
  for (let i = from; i >= 0 && i < session.rows.length; i += step) if (wanted(session.rows[i])) return i;
  return -1;
}

async function show(index) {
  const id = session.rows[index].id;
  shown = await get("row", { id, reviewer });
  at = index;
  history.replaceState(null, "", `#row=${encodeURIComponent(id)}`);
  editor.about(shown, reviewer);
  draw();
  window.scrollTo(0, 0);
}

function draw() {
  drawProgress();
  $("main").hidden = false;
  drawRow(shown, session, `Row ${at + 1} of ${session.rows.length}`, marks);
  drawDraft();
}

function drawProgress() {
  const done = session.rows.filter((row) => decisions[row.id]).length;
  $("progress").max = session.rows.length;
  $("progress").value = done;
  const matching = session.rows.filter(matches).length;
  $("nothing").hidden = matching > 0;
  const filtered = $("state").value || $("intent").value ? ` · ${matching} match` : "";
  $("count").textContent = `${done} of ${session.rows.length} decided${filtered}`;
}

function drawDraft() {
  const { draft } = editor;
  $("draft").hidden = !draft;
  drawCounts({ ...standing(), ...(editor.active ? draft : {}) }, session);
}

/** The row as I last left it. */
function standing() {
  return { ...shown.row, ...(shown.decision?.edits ?? {}) };
}

/** On to the next row that matches; at the end, to one before it. */
async function onward(said) {
  const forward = find(1);
  const backward = forward === -1 ? find(1, matches, 0) : -1;
  const open = session.rows.some((row) => !decisions[row.id]);
  if (forward !== -1) await show(forward);
  else if (backward !== -1 && $("state").value) await show(backward);
  else await show(at);
  const end = open ? "this was the last row here; o goes to the next open one" : "every row is decided";
  tell(forward === -1 ? `${said}; ${end}` : said);
}

async function move(step) {
  const index = find(step);
  if (index === -1) tell(step > 0 ? "This is the last row here." : "This is the first row here.");
  else await show(index);
}

async function nextOpen() {
  const open = (row) => !decisions[row.id];
  const index = find(1, open) !== -1 ? find(1, open) : find(1, open, 0);
  if (index === -1) tell("Every row is decided.");
  else await show(index);
}

async function filter() {
  kept.set("filters", [$("state").value, $("intent").value]);
  if ($("state").value === "disputed") await refresh();
  drawProgress();
  const index = matches(session.rows[at]) ? at : Math.max(find(1), find(1, matches, 0));
  if (index === -1) return;
  if (index !== at) await show(index);
}

// ---- deciding ----------------------------------------------------------------------------------

async function decide(action, more = {}, recorded = () => {}) {
  const { row, hash } = shown;
  const { decision } = await post("decide", { reviewer, row: row.id, hash, action, ...more });
  decisions[row.id] = decision;
  recorded();
  await onward(`Row ${row.id} ${DECIDED[action]}`);
}

async function accept() {
  // An edited row is accepted already, as it was edited.
  if (decisions[shown.row.id]?.action === "edit") await onward(`Row ${shown.row.id} stays as you edited it`);
  else await decide("accept");
}

async function reject(reason) {
  const note = $("note").value.trim();
  if (reason === "other" && !note) {
    $("note").focus();
    tell("Say why, or choose a reason.");
    return;
  }
  $("reject-dialog").close();
  await decide("reject", { reason, note });
}

async function save() {
  const edits = editor.edits();
  const changed = Object.keys(edits).length > 0;
  if (!changed && decisions[shown.row.id]?.action !== "edit") {
    tell("Nothing is changed. Esc leaves, then a accepts.");
    return;
  }
  // Once it is recorded, and not before, the draft may go. An edit that is taken back is an acceptance.
  const drop = () => editor.drop();
  await (changed ? decide("edit", { edits }, drop) : decide("accept", {}, drop));
  $("main").focus({ preventScroll: true });
}

async function undo() {
  const { row, decision } = await post("undo", { reviewer });
  if (decision) decisions[row] = decision;
  else delete decisions[row];
  const index = session.rows.findIndex((known) => known.id === row);
  await show(index === -1 ? at : index);
  tell(`Your last decision on row ${row} is taken back`);
}

function edit() {
  editor.open();
  tell(editor.draft ? "Your unsaved text is back." : "");
}

function leave() {
  editor.toggle(false);
  drawDraft();
  $("main").focus({ preventScroll: true });
  tell(editor.draft ? "The draft is kept in this browser; e goes on with it." : "");
}

function discard() {
  editor.drop();
  leave();
  tell("The draft is gone.");
}

// ---- dialogs -----------------------------------------------------------------------------------

function askWhy() {
  $("note").value = "";
  $("reject-dialog").showModal();
  $("reasons").querySelector("button").focus();
}

function askName() {
  $("name").value = reviewer ?? session.reviewer ?? "";
  $("name-problem").textContent = "";
  $("who-dialog").showModal();
  $("name").focus();
  $("name").select();
}

async function begin(name) {
  const state = await get("state", { reviewer: name });
  reviewer = state.reviewer;
  kept.set("reviewer", reviewer);
  decisions = state.decisions;
  disputed = new Set(state.disputed);
  $("who").textContent = `Reviewer: ${reviewer}`;
  $("who-dialog").close();
  const wanted = new URLSearchParams(location.hash.slice(1)).get("row");
  const index = session.rows.findIndex((row) => row.id === wanted);
  await show(index !== -1 ? index : Math.max(find(1, (row) => !decisions[row.id], 0), 0));
  if (editor.draft) edit();
}

async function refresh() {
  const state = await get("state", { reviewer });
  decisions = state.decisions;
  disputed = new Set(state.disputed);
}

async function compare() {
  const found = await get("agreement", { reviewer });
  drawComparison(found, session, (row) => {
    $("compare-dialog").close();
    act(() => show(session.rows.findIndex((known) => known.id === row)));
  });
  $("compare-dialog").showModal();
}

// ---- keys and buttons --------------------------------------------------------------------------

const KEYS = {
  j: () => move(1),
  ArrowRight: () => move(1),
  k: () => move(-1),
  ArrowLeft: () => move(-1),
  a: accept,
  r: askWhy,
  e: edit,
  u: undo,
  o: nextOpen,
  w: () => {
    $("marks").checked = marks = !marks;
    mark();
  },
  g: compare,
  "?": () => $("help-dialog").showModal(),
};
const ONCE = new Set("areu"); // a key that is held down decides once

function onKey(event) {
  if (event.isComposing || event.altKey) return;
  const { key, target } = event;
  if (editor.active && (event.ctrlKey || event.metaKey) && key === "Enter") return handled(event, save);
  if (event.ctrlKey || event.metaKey) return undefined;
  if ($("reject-dialog").open) return onReasonKey(event);
  if (document.querySelector("dialog[open]")) return undefined;
  if (key === "Escape") return handled(event, editor.active ? leave : () => $("main").focus({ preventScroll: true }));
  if (target.closest("select, textarea, input:not([type=checkbox])") || editor.active) return undefined;
  if (!KEYS[key] || !shown || (event.repeat && ONCE.has(key))) return undefined;
  return handled(event, KEYS[key]);
}

function onReasonKey(event) {
  const { key, target } = event;
  if (event.repeat) return undefined;
  if (target === $("note")) {
    return key === "Enter" && !event.shiftKey ? handled(event, () => reject("other")) : undefined;
  }
  const reason = /^[1-9]$/.test(key) ? session.reasons[Number(key) - 1] : undefined;
  return reason ? handled(event, () => reject(reason[0])) : undefined;
}

function handled(event, what) {
  event.preventDefault();
  act(what);
}

/** One thing at a time: a second key while the first is on its way would meet a row nobody has seen. */
async function act(what) {
  if (busy) return;
  setBusy(true);
  try {
    warn(null);
    tell("");
    await what();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    warn(error.message);
  } finally {
    setBusy(false);
  }
}

function setBusy(now) {
  busy = now;
  document.body.setAttribute("aria-busy", String(now));
}

function tell(text) {
  $("status").textContent = text;
}

function warn(text) {
  document.querySelector("#notices .error")?.remove();
  if (text) $("notices").append(make("p", { class: "warning error", role: "alert" }, text));
}

function mark() {
  kept.set("marks", marks);
  drawPassage(standing(), marks);
}

function wire() {
  const clicks = {
    previous: () => move(-1), next: () => move(1), accept, reject: askWhy, edit, undo,
    save, leave, discard, who: askName, compare, help: KEYS["?"],
    "reject-note": () => reject("other"),
  };
  for (const [id, what] of Object.entries(clicks)) $(id).addEventListener("click", () => act(what));
  for (const id of ["state", "intent"]) $(id).addEventListener("change", () => act(filter));
  $("marks").checked = marks;
  $("marks").addEventListener("change", () => {
    marks = $("marks").checked;
    mark();
  });
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  const start = async () => {
    try {
      await begin($("name").value);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      $("name-problem").textContent = error.message;
    }
  };
  $("name-save").addEventListener("click", () => act(start));
  $("name").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) handled(event, start);
  });
  // Nobody can decide without a name.
  $("who-dialog").addEventListener("cancel", (event) => reviewer === null && event.preventDefault());
  document.addEventListener("keydown", onKey);
}

function prepare() {
  for (const intent of [...new Set(session.rows.map((row) => row.intent || NONE))].sort()) {
    $("intent").append(make("option", { value: intent }, intent));
  }
  for (const [i, [key, text]] of session.reasons.entries()) {
    const button = make("button", { type: "button" }, make("kbd", {}, String(i + 1)), ` ${text}`);
    button.addEventListener("click", () => act(() => reject(key)));
    $("reasons").append(make("li", {}, button));
  }
  $("note").maxLength = session.longest_note;
  $("names").replaceChildren(...session.reviewers.map((name) => make("option", { value: name })));
  $("log-name").textContent = session.log;
  $("notices").replaceChildren(...session.notices.map((text) => make("p", { class: "warning" }, text)));
  [$("state").value, $("intent").value] = kept.get("filters") ?? ["", ""];
  if (!$("intent").value) $("intent").value = "";
}

act(async () => {
  session = await get("session");
  prepare();
  wire();
  const name = kept.get("reviewer") ?? session.reviewer;
  if (name === null) askName();
  else await begin(name);
});
