// Rankings beside each other, and the moves between them: a row for each passage, a line from row to row.

/** A list of passages with a heading. `rows` has each passage's row by its place among the candidates. */
class Column {
  constructor(name, about) {
    this.rows = new Map();
    this.list = make("ol", { class: "passages" });
    this.below = make("div", { class: "about" }, make("p", { class: "quiet", text: about }));
    this.section = make("section", { class: "column card", "aria-label": name }, make("div", { class: "top" }, make("h2", {}, make("bdi", { text: name })), this.below), this.list);
  }

  /** Puts rows into this order, and moves no row that stands where it belongs: it may have the focus. */
  arrange(rows) {
    let at = this.list.firstElementChild;
    for (const row of rows) {
      if (row === at) at = at.nextElementSibling;
      else this.list.insertBefore(row, at);
    }
  }

  /** How many of the relevant passages are among the first; coloured where the first stage has more or fewer. */
  tellRelevant({ candidates, relevant }, order, first) {
    if (!relevant) return;
    const among = (places) => places.slice(0, first).filter((index) => candidates[index].grade > 0).length;
    const [here, before] = [among(order), among(candidates.map((one) => one.index))];
    this.below.append(make("p", { class: `found ${kind(here - before)}`, text: `${here} of ${many(relevant, "relevant passage")} in the first ${first}` }));
  }
}

/** A passage's row: what is seen at once, and its whole text with the reasoning, when it is opened. */
function passageRow(candidate, { rank = null, moved = null, mark = null, failure = null, reasoning = null }) {
  const { title, text } = candidate;
  const summary = make(
    "summary", {},
    make("span", { class: "rank", text: rank ?? "–" }),
    make("span", { class: "words" },
      make("span", { class: "title", dir: "auto", text: title || text }),
      title ? make("span", { class: "snippet", dir: "auto", text }) : null),
    make("span", { class: "side" }, mark, make("span", { class: "under" },
      moved,
      candidate.grade > 0 ? make("span", { class: "badge yes", text: "relevant" }) : null,
      reasoning ? make("span", { class: "badge", text: "reasoning" }) : null)),
  );
  const inside = make("div", { class: "inside" }, make("p", { class: "text", dir: "auto", text: title.length > 80 ? `${title}\n${text}` : text }));
  if (reasoning) inside.append(make("h3", { text: `Reasoning, ${many(reasoning.split(/\s+/).length, "word")}` }), make("p", { class: "text reasoning", dir: "auto", text: reasoning }));
  const row = make("li", { "data-index": candidate.index, class: candidate.grade > 0 ? "relevant" : "" }, make("details", {}, summary, inside));
  if (failure) {
    row.classList.add("failed");
    row.append(make("p", { class: "failure" }, make("b", { text: "Not judged: " }), make("bdi", { text: failure })));
  }
  return row;
}

/** The lines between two columns; `strong` says which are drawn strong. */
class Moves {
  constructor(left, right, strong) {
    [this.left, this.right, this.strong] = [left, right, strong];
    this.svg = draw("svg", { class: "moves", "aria-hidden": "true" });
  }

  redraw() {
    const box = this.svg.getBoundingClientRect();
    if (!box.width) return;
    const height = (row) => { const at = row.querySelector("summary").getBoundingClientRect(); return at.top + at.height / 2 - box.top; };
    const lines = [];
    const ranks = (column) => new Map([...column.list.children].map((row, place) => [Number(row.dataset.index), place]));
    const [before, after] = [ranks(this.left), ranks(this.right)];
    for (const [index, row] of this.right.rows) {
      if (!row.isConnected || !this.left.rows.get(index)?.isConnected) continue;
      const [y1, y2, w] = [height(this.left.rows.get(index)), height(row), box.width];
      const way = row.classList.contains("failed") ? "same" : kind(before.get(index) - after.get(index));
      const line = draw("path", { d: `M0 ${y1}C${w * 0.5} ${y1} ${w * 0.5} ${y2} ${w} ${y2}`, class: `${way}${this.strong(index, after.get(index)) ? " strong" : ""}`, "data-index": index });
      lines.push([this.strong(index, after.get(index)), line]);
    }
    this.svg.replaceChildren(...lines.sort(([a], [b]) => a - b).map(([, line]) => line));
  }
}

/** What is on the screen: columns from left to right, with lines between neighbours. */
const view = { moves: [], isDue: false };

function show(columns, strong) {
  view.moves = columns.slice(1).map((right, place) => new Moves(columns[place], right, strong));
  const parts = columns.flatMap((column, place) => (place ? [view.moves[place - 1].svg, column.section] : [column.section]));
  byId("columns").className = columns.length > 2 ? "three" : "two";
  byId("columns").replaceChildren(...parts);
  byId("result").hidden = false;
  redraw();
}

/** Draws the lines before the next frame, once for many changes. */
function redraw() {
  if (view.isDue) return;
  view.isDue = true;
  requestAnimationFrame(() => {
    view.isDue = false;
    for (const moves of view.moves) moves.redraw();
  });
}

/** Marks a passage in all columns, with its lines; null marks none. */
function point(index) {
  for (const marked of document.querySelectorAll("#columns .here")) marked.classList.remove("here");
  if (index === null) return;
  for (const one of document.querySelectorAll(`#columns [data-index="${index}"]`)) one.classList.add("here");
}
