// One query: its text, its measures before and after, its documents with their reasoning.

const state = { judgedOnly: false, order: "after", open: false };

function showDetail(place, row, task, neighbours) {
  const pane = byId("detail");
  const data = read(`query-${place}`);
  const documents = data.documents ?? [];
  pane.replaceChildren(...[
    head(row, task, neighbours),
    clippable(data.text ?? "(its text is not among the queries)", "query"),
    data.instruction ? clippable(data.instruction, "instruction") : null,
    notes(row, data, task),
    values(row, task),
    task.reranked ? make("figure", {}, movementOf(documents)) : null,
    tools(documents, task),
    make("ol", { class: "documents", id: "documents" }),
    data.more ? make("p", { class: "quiet", text: `${many(data.more, "document")} further down are not listed here.` }) : null,
  ].filter(Boolean));
  fill(documents, task);
  pane.scrollTop = 0;
}

function head(row, task, { previous, next, place, count }) {
  const go = (target, text, label) =>
    target === null
      ? make("span", { class: "go off", text, "aria-hidden": "true" })
      : make("a", { class: "go", href: target, text, "aria-label": label });
  return make(
    "div", { class: "head" },
    make("h3", {}, make("bdi", { text: row.id })),
    make("span", { class: "badge" }, make("bdi", { text: task.name })),
    make("span", { class: "quiet", text: place === null ? "not in this selection" : `${number(place + 1)} of ${number(count)}` }),
    make("span", { class: "gos" }, go(previous, "↑ k", "previous query"), go(next, "↓ j", "next query")),
  );
}

function notes(row, data, task) {
  const label = [];
  if (task.hidden) label.push("Gated: hashes stand for texts.");
  if (row.failed) label.push(`${many(row.failed, "document")} could not be judged.`);
  if (row.relevant && row.found < row.relevant)
    label.push(`${number(row.relevant - row.found)} of ${many(row.relevant, "relevant document")} in no list: no reranker can find what is not there.`);
  if (!row.relevant) label.push("No document is judged relevant.");
  if (data.repairs) label.push(`${many(data.repairs, "malformed answer")} repaired.`);
  if (data.images) label.push(`The query has ${many(data.images, "picture")}, not shown here.`);
  return label.length ? make("ul", { class: "facts" }, ...label.map((text) => make("li", { text }))) : null;
}

function values(row, task) {
  const rows = task.measures.map((measure, i) => {
    const [before, after] = row.values[i];
    const cells = [make("th", { scope: "row", text: measure }), make("td", { text: points(before) })];
    if (task.reranked) {
      const change = before === null || after === null ? null : after - before;
      cells.push(
        make("td", { text: points(after) }),
        make("td", { class: change === null ? "" : kind(change), text: change === null ? "–" : signed(change) }),
      );
    }
    return make("tr", {}, ...cells);
  });
  const heads = task.reranked ? ["× 100", "before", "after", "difference"] : ["× 100", "value"];
  return make(
    "table", { class: "values" },
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })))),
    make("tbody", {}, ...rows),
  );
}

function tools(documents, task) {
  const traces = documents.some((one) => one.trace);
  const order = make("select", { id: "by" }, ...Object.entries(ORDERS).map(([value, [text]]) => make("option", { value, text })));
  order.value = state.order;
  order.addEventListener("change", () => { state.order = order.value; fill(documents, task); });
  const judged = make("input", { type: "checkbox", id: "judged" });
  judged.checked = state.judgedOnly;
  judged.addEventListener("change", () => { state.judgedOnly = judged.checked; fill(documents, task); });
  const open = make("button", { type: "button", id: "traces", text: state.open ? "Close all reasoning" : "Open all reasoning" });
  open.addEventListener("click", () => {
    state.open = !state.open;
    open.textContent = state.open ? "Close all reasoning" : "Open all reasoning";
    for (const one of document.querySelectorAll("#documents details")) one.open = state.open;
  });
  return make(
    "div", { class: "tools" },
    make("h4", { text: "Documents" }),
    task.reranked ? make("label", {}, "Order ", order) : null,
    make("label", { class: "switch" }, judged, " judged only ", make("kbd", { text: "r" })),
    traces ? open : null,
  );
}

const far = (rank) => rank ?? Infinity;
const ORDERS = {
  after: ["after reranking", (a, b) => far(a.after ?? a.before) - far(b.after ?? b.before)],
  before: ["first stage", (a, b) => far(a.before) - far(b.before)],
  lost: ["furthest down first", (a, b) => lost(b) - lost(a)],
  grade: ["grade", (a, b) => (b.grade ?? -1e9) - (a.grade ?? -1e9)],
};
const lost = (one) => (one.before && one.after ? one.after - one.before : -Infinity);

function fill(documents, task) {
  const found = documents.filter((one) => !state.judgedOnly || one.grade !== undefined);
  // Infinity - Infinity is no order: equal ones stay as they are.
  found.sort((a, b) => ORDERS[state.order][1](a, b) || 0);
  const rest = found.length ? [] : [make("li", { class: "quiet", text: "No document." })];
  byId("documents").replaceChildren(...found.map((one) => entry(one, task)), ...rest);
}

function entry(one, task) {
  const relevant = (one.grade ?? 0) > 0;
  const [rank, was] = task.reranked ? [one.after, one.before] : [one.before, null];
  const line = make(
    "div", { class: "line" },
    make("span", { class: "rank", text: rank ?? "–" }),
    task.reranked ? movedBy(one.before, one.after) : null,
    make("span", { class: `badge ${relevant ? "yes" : one.grade === undefined ? "unjudged" : "no"}`, text: mark(one) }),
    make("bdi", { class: "id", text: one.id }),
    one.score === undefined ? null : score(one.score, task.kind),
  );
  const item = make("li", { class: `${relevant ? "relevant" : ""} ${one.failure ? "failed" : ""}` }, line);
  if (rank === undefined && was === undefined) item.append(make("p", { class: "fact", text: "Relevant, but in no list." }));
  if (one.failure) item.append(make("p", { class: "failure" }, make("b", { text: "Not judged: " }), make("bdi", { text: one.failure })));
  if (one.title) item.append(make("p", { class: "title", dir: "auto", text: one.title }));
  if (one.text) item.append(clippable(one.text, "text"));
  else if (one.absent) item.append(make("p", { class: "fact", text: "Its text is not in the corpus." }));
  if (one.images) item.append(make("p", { class: "fact", text: `${many(one.images, "picture")}, not shown here` }));
  if (one.cut) item.append(make("p", { class: "fact", text: `The model did not read its last ${many(one.cut, "token")}.` }));
  if (one.trace) item.append(trace(one.trace, state.open));
  return item;
}

const mark = (one) =>
  one.grade === undefined ? "not judged" : one.grade > 0 ? `relevant · ${one.grade}` : `not relevant · ${one.grade}`;
