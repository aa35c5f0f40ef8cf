// The page's keys and buttons.

import {
  accept, act, askName, askWhy, begin, compare, discard, edit, editor, enter, filter, leave, mark, marks, move,
  nextOpen, reject, reviewer, save, session, shown, undo,
} from "./reviewing.js";
import { Refused } from "./talk.js";
import { $ } from "./view.js";

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
  w: () => mark(!marks),
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

function wire() {
  const clicks = {
    previous: () => move(-1), next: () => move(1), accept, reject: askWhy, edit, undo,
    save, leave, discard, who: askName, compare, help: KEYS["?"],
    "reject-note": () => reject("other"),
  };
  for (const [id, what] of Object.entries(clicks)) $(id).addEventListener("click", () => act(what));
  for (const id of ["state", "intent"]) $(id).addEventListener("change", () => act(filter));
  $("marks").addEventListener("change", () => mark($("marks").checked));
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  const start = async () => {
    try {
      await enter($("name").value);
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
  $("who-dialog").addEventListener("close", () => reviewer === null && askName());
  document.addEventListener("keydown", onKey);
}

act(async () => {
  await begin();
  wire();
});
