// What a reviewer can do: go through the rows, decide, look at the agreement.

import { Editor, hasDraft } from "./editing.js";
import { Kept, Refused, get, post } from "./talk.js";
import { $, DECIDED, drawComparison, drawCounts, drawPassage, drawRow, make } from "./view.js";

const kept = new Kept("sessionStorage");
export const editor = new Editor(() => drawDraft());
export let session; // what does not change
export let reviewer = null;
let decisions = {}; // mine, by row
let disputed = new Set();
let at = 0; // index into session.rows
export let shown = null; // the row as the server told it
let busy = false; // while something is on its way to the server
const NONE = "none"; // the purpose of rows that were not written for one
export let marks = kept.get("marks") ?? true;

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

export async function move(step) {
  const index = find(step);
  if (index === -1) tell(step > 0 ? "This is the last row here." : "This is the first row here.");
  else await show(index);
}

export async function nextOpen() {
  const open = (row) => !decisions[row.id];
  const index = find(1, open) !== -1 ? find(1, open) : find(1, open, 0);
  if (index === -1) tell("Every row is decided.");
  else await show(index);
}

export async function filter() {
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

export async function accept() {
  // An edited row is accepted already, as it was edited.
  if (decisions[shown.row.id]?.action === "edit") await onward(`Row ${shown.row.id} stays as you edited it`);
  else await decide("accept");
}

export async function reject(reason) {
  const note = $("note").value.trim();
  if (reason === "other" && !note) {
    $("note").focus();
    tell("Say why, or choose a reason.");
    return;
  }
  $("reject-dialog").close();
  await decide("reject", { reason, note });
}

export async function save() {
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

export async function undo() {
  const { row, decision } = await post("undo", { reviewer });
  if (decision) decisions[row] = decision;
  else delete decisions[row];
  const index = session.rows.findIndex((known) => known.id === row);
  await show(index === -1 ? at : index);
  tell(`Your last decision on row ${row} is taken back`);
}

export function edit() {
  editor.open();
  tell(editor.draft ? "Your unsaved text is back." : "");
}

export function leave() {
  editor.toggle(false);
  drawDraft();
  $("main").focus({ preventScroll: true });
  tell(editor.draft ? "The draft is kept in this browser; e goes on with it." : "");
}

export function discard() {
  editor.drop();
  leave();
  tell("The draft is gone.");
}

// ---- dialogs -----------------------------------------------------------------------------------

export function askWhy() {
  $("note").value = "";
  $("reject-dialog").showModal();
  $("reasons").querySelector("button").focus();
}

export function askName() {
  $("name").value = reviewer ?? session.reviewer ?? "";
  $("name-problem").textContent = "";
  $("who-dialog").showModal();
  $("name").focus();
  $("name").select();
}

export async function enter(name) {
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

export async function compare() {
  const found = await get("agreement", { reviewer });
  drawComparison(found, session, (row) => {
    $("compare-dialog").close();
    act(() => show(session.rows.findIndex((known) => known.id === row)));
  });
  $("compare-dialog").showModal();
}

// ---- one thing after the other -----------------------------------------------------------------

/** One thing at a time: a second key while the first is on its way would meet a row nobody has seen. */
export async function act(what) {
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

/** Mark the query's words in the passage, or not. */
export function mark(now) {
  marks = now;
  $("marks").checked = marks;
  kept.set("marks", marks);
  drawPassage(standing(), marks);
}

/** What does not change, and who reviews. */
export async function begin() {
  session = await get("session");
  for (const intent of [...new Set(session.rows.map((row) => row.intent || NONE))].sort()) {
    $("intent").append(make("option", { value: intent }, intent));
  }
  for (const [i, [key, text]] of session.reasons.entries()) {
    const button = make("button", { type: "button" }, make("kbd", {}, String(i + 1)), ` ${text}`);
    button.addEventListener("click", () => act(() => reject(key)));
    $("reasons").append(make("li", {}, button));
  }
  $("marks").checked = marks;
  $("note").maxLength = session.longest_note;
  $("names").replaceChildren(...session.reviewers.map((name) => make("option", { value: name })));
  $("log-name").textContent = session.log;
  $("notices").replaceChildren(...session.notices.map((text) => make("p", { class: "warning" }, text)));
  [$("state").value, $("intent").value] = kept.get("filters") ?? ["", ""];
  if (!$("intent").value) $("intent").value = "";
  const name = kept.get("reviewer") ?? session.reviewer;
  if (name === null) askName();
  else await enter(name);
}
