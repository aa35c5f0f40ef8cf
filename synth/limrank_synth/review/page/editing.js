// Editing a row in its place. What is typed is kept in this browser at once, until it is saved or discarded.

import { $ } from "./view.js";
import { Kept } from "./talk.js";

const TEXTS = ["query", "passage", "trace"];
const kept = new Kept("localStorage");

/** The fields of one row, before they are a decision. */
export class Editor {
  /** `changed` is called when a draft appears or goes. */
  constructor(changed) {
    this.changed = changed;
    this.active = false;
    for (const name of TEXTS) $(`${name}-edit`).addEventListener("input", () => this.keep());
    for (const radio of this.radios()) radio.addEventListener("change", () => this.keep());
  }

  /** Which row this is about; `shown` as the server told it. */
  about(shown, reviewer) {
    this.shown = shown;
    this.key = draftKey(reviewer, shown.row.id, shown.hash);
    this.toggle(false);
  }

  get draft() {
    return kept.get(this.key);
  }

  open() {
    const { row, decision } = this.shown;
    const values = { ...row, ...(decision?.edits ?? {}), ...(this.draft ?? {}) };
    this.initial = {};
    for (const name of TEXTS) {
      const field = $(`${name}-edit`);
      // A field changes line ends when it is filled; that alone is no edit, so compare with what it made of it.
      field.value = row[name];
      this.initial[name] = field.value;
      field.value = values[name];
    }
    for (const radio of this.radios()) radio.checked = radio.value === String(values.relevant);
    this.toggle(true);
    $("passage-edit").focus();
  }

  /** What differs from the row as it was synthesised. */
  edits() {
    const found = {};
    for (const name of TEXTS) {
      const value = $(`${name}-edit`).value;
      if (value !== this.initial[name]) found[name] = value;
    }
    const relevant = this.radios().find((radio) => radio.checked).value === "true";
    if (relevant !== this.shown.row.relevant) found.relevant = relevant;
    return found;
  }

  keep() {
    // Values, not differences: the draft must come back although a saved edit was shown.
    const draft = { relevant: this.radios().find((radio) => radio.checked).value === "true" };
    for (const name of TEXTS) draft[name] = $(`${name}-edit`).value;
    if (!kept.set(this.key, draft)) $("status").textContent = "This browser keeps no drafts: save before you reload.";
    this.changed();
  }

  drop() {
    kept.drop(this.key);
    this.changed();
  }

  toggle(active) {
    this.active = active;
    for (const name of TEXTS) {
      $(`${name}-text`).hidden = active;
      $(`${name}-edit`).hidden = !active;
    }
    $("label-edit").hidden = !active;
    $("marking").hidden = active;
    $("editing").hidden = !active;
    $("deciding").hidden = active;
  }

  radios() {
    return [...$("label-edit").querySelectorAll("input")];
  }
}

/** Whether there is unsaved text for a row, whatever its hash. */
export function hasDraft(reviewer, row) {
  const start = draftKey(reviewer, row, "");
  try {
    return Object.keys(localStorage).some((key) => key.startsWith(start));
  } catch {
    return false;
  }
}

function draftKey(reviewer, row, hash) {
  return `limrank draft ${JSON.stringify([reviewer, row])} ${hash}`;
}
