// What is drawn. Every text goes in as text: nothing here ever makes markup of a string.

import { countWords, marked } from "./words.js";

export const $ = (id) => document.getElementById(id);

/** An element with texts or other elements in it. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const DECIDED = { accept: "accepted", reject: "rejected", edit: "edited and accepted" };

/** The row as it stands: what was edited is shown edited. */
export function drawRow(shown, session, place, marks) {
  const { row, decision } = shown;
  const now = { ...row, ...(decision?.edits ?? {}) };
  $("place").textContent = place;
  drawDecision(decision, session);
  $("false-claim").hidden = !row.false_claim;
  $("targets").replaceChildren(
    ...[row.kind, row.domain, row.difficulty, row.intent].filter(Boolean).map((text) => make("li", {}, text)),
  );
  $("query-text").replaceChildren(now.query);
  $("persona").textContent = String(row.meta.persona ?? "nobody in particular");
  drawPassage(now, marks);
  $("trace-text").replaceChildren(now.trace);
  drawCounts(now, session);
  const verdict = $("verdict");
  verdict.textContent = now.relevant ? "relevant" : "not relevant";
  verdict.className = `badge ${now.relevant ? "yes" : "no"}`;
  define($("votes"), [
    ["Judge", votes(row.votes)],
    ["Second judge", votes(row.second)],
    ...(now.relevant === row.relevant ? [] : [["Label before your edit", row.relevant ? "relevant" : "not relevant"]]),
  ]);
  drawGuide(row, session);
  define($("made"), [
    ["Seed", row.meta.seed],
    ["Planned passage", row.meta.description],
    ["What would satisfy the query", row.meta.thought],
    ["Judged by", row.meta.judge],
    ["Sources", row.sources.map((source) => `${source.name} (${source.licence})`).join("; ")],
    ["Row", row.id],
  ]);
}

export function drawPassage(row, marks) {
  $("passage-text").replaceChildren(marks ? marked(row.passage, row.query) : row.passage);
}

export function drawDecision(decision, session) {
  const badge = $("decision");
  badge.textContent = decision ? DECIDED[decision.action] : "open";
  badge.className = `badge ${decision?.action ?? "open"}`;
  if (decision?.action === "reject") badge.textContent += `: ${reasonOf(decision, session)}`;
}

/** Why something was rejected, in words. */
export function reasonOf(decision, session) {
  const said = session.reasons.find(([key]) => key === decision.reason)?.[1];
  return [said, decision.note].filter(Boolean).join(" – ");
}

/** How long the texts are, and were meant to be. */
export function drawCounts(row, session) {
  drawWords("query", row.query, session.words[row.kind]);
  drawWords("passage", row.passage, session.words.passage);
  drawWords("trace", row.trace, null);
}

function drawWords(part, text, limits) {
  const count = countWords(text);
  const [least, most] = limits ?? [0, Infinity];
  const where = $(`${part}-words`);
  where.textContent = limits ? `${count} words, meant: ${least}–${most}` : `${count} words`;
  where.classList.toggle("off", count < least || count > most);
}

function drawGuide(row, session) {
  // Rows from elsewhere were written for no purpose and no target.
  const meant = row.intent.startsWith("negative") ? "not relevant" : "relevant";
  define($("guide"), [
    row.intent
      ? [`Passage: ${row.intent}`, session.meaning[row.intent] ?? "the guidelines do not name this purpose"]
      : ["Passage", "not written for a purpose; judge the verdict and the trace"],
    ["Meant to be judged", row.intent in session.meaning ? meant : ""],
    ["Real-world use", USE[row.kind]],
    ["Domain", row.domain],
    ["Difficulty", DIFFICULT[row.difficulty] ?? row.difficulty],
  ]);
}

const USE = {
  "daily-life": "an everyday need, in everyday words",
  expert: "a professional’s need, in a professional’s words",
};

const DIFFICULT = {
  easy: "easy: a good passage matches it directly",
  medium: "medium: takes a step or two of reasoning to match",
  hard: "hard: takes nuanced inference to match",
};

function define(list, pairs) {
  const given = pairs.filter(([, text]) => text !== undefined && text !== null && text !== "");
  list.replaceChildren(...given.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
}

function votes(given) {
  if (!given.length) return "not asked";
  const yes = given.filter(Boolean).length;
  if (given.length === 1) return yes ? "relevant" : "not relevant";
  return `${yes} of ${given.length} say relevant`;
}

/** Every two reviewers, and the rows they differ on; `go` is called with the id of a row that is chosen. */
export function drawComparison({ pairs, disagreements }, session, go) {
  const parts = [];
  if (!pairs.length) {
    parts.push(make("p", {}, "No two reviewers have decided on the same row yet."));
  } else {
    const head = ["Reviewers", "Rows", "Agree", "Cohen’s κ", "Both keep", "Both reject", "Only one keeps"];
    const rows = pairs.map((pair) =>
      make("tr", {},
        make("th", { scope: "row" }, `${pair.first} and ${pair.second}`),
        ...[
          pair.rows,
          `${(100 * pair.agreement).toFixed(1)} %`,
          pair.kappa === null ? "not defined" : pair.kappa.toFixed(2),
          pair.both_keep,
          pair.both_reject,
          pair.first_keeps + pair.second_keeps,
        ].map((value) => make("td", {}, String(value))),
      ),
    );
    const table = make("table", {},
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows),
    );
    parts.push(make("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Agreement by reviewers" }, table));
    parts.push(make("p", { class: "quiet" },
      "κ is agreement beyond chance: 1 is perfect, 0 is chance. An edited row counts as kept. It is not defined where both only ever gave one answer."));
  }
  parts.push(make("h3", {}, "Disputed rows"));
  parts.push(make("p", { class: "quiet" },
    disagreements.length
      ? "Kept by one and rejected by another, or edited differently."
      : "None among the rows you have decided. What others say on a row is shown once you have decided it."));
  const list = disagreements.map(({ row, decisions }) => {
    const button = make("button", { type: "button", class: "link" }, row);
    button.addEventListener("click", () => go(row));
    const said = Object.entries(decisions).map(([who, decision]) =>
      make("li", {}, `${who}: ${DECIDED[decision.action]}`, decision.action === "reject" ? ` (${reasonOf(decision, session)})` : ""));
    return make("li", {}, button, make("ul", {}, ...said));
  });
  parts.push(make("ul", { class: "disputed" }, ...list));
  $("comparison").replaceChildren(...parts);
}
