// The list of queries: filters, order, the address, keys.

const { tasks, queries } = read("index");
const PAGE = 200;
const FILTERS = ["task", "measure", "outcome", "order", "find"];
const measures = [...new Set(tasks.flatMap((task) => task.measures))];
const lower = queries.map((row) => `${row.id}\n${row.text}`.toLowerCase());
let matching = [];
let shown = PAGE;
let chosen = null;

/** Before, after and their difference in the chosen measure; null where a query has none. */
function valuesOf(row) {
  const i = tasks[row.task].measures.indexOf(byId("measure").value);
  const [before, after] = i < 0 ? [null, null] : row.values[i];
  return { before, after, change: before === null || after === null ? null : after - before };
}

const OUTCOMES = {
  lost: (row) => kind(valuesOf(row).change ?? 0) === "down",
  won: (row) => kind(valuesOf(row).change ?? 0) === "up",
  tied: (row) => valuesOf(row).change !== null && kind(valuesOf(row).change) === "same",
  failed: (row) => row.failed > 0,
  missed: (row) => row.relevant > 0 && row.found === 0,
};

/** What a query is ordered by, lowest first; queries without a value come last. */
const KEYS = {
  "": (row) => { const { before, change } = valuesOf(row); return change ?? before; },
  gain: (row) => { const { change, before } = valuesOf(row); return change === null ? before : -change; },
  after: (row) => { const { after, before } = valuesOf(row); return after ?? before; },
  before: (row) => valuesOf(row).before,
  given: (_, place) => place,
};

function select() {
  const [task, outcome, words] = [byId("task").value, byId("outcome").value, byId("find").value.toLowerCase().split(/\s+/).filter(Boolean)];
  const places = queries.map((_, place) => place).filter((place) =>
    (task === "" || queries[place].task === Number(task))
    && (outcome === "" || OUTCOMES[outcome](queries[place]))
    && words.every((word) => lower[place].includes(word)));
  const keys = new Map(places.map((place) => [place, KEYS[byId("order").value](queries[place], place) ?? Infinity]));
  matching = places.sort((a, b) => (keys.get(a) - keys.get(b)) || a - b);
  shown = PAGE;
  const at = matching.indexOf(chosen);
  if (at >= shown) shown = at + PAGE;
  list();
}

function list() {
  byId("list").replaceChildren(...matching.slice(0, shown).map(item));
  const rest = matching.length - shown;
  byId("more").hidden = rest <= 0;
  byId("more").textContent = `Show ${number(Math.min(PAGE, rest))} more of ${number(rest)}`;
  byId("count").textContent = matching.length === queries.length
    ? many(queries.length, "query", "queries")
    : `${number(matching.length)} of ${many(queries.length, "query", "queries")}`;
}

function item(place) {
  const row = queries[place];
  const { before, after, change } = valuesOf(row);
  const link = make(
    "a", { href: address(place), "data-place": place, "aria-current": place === chosen ? "true" : null },
    make("span", { class: `change ${change === null ? "" : kind(change)}`, text: change === null ? points(before) : signed(change) }),
    make("span", { class: "what" },
      make("span", { class: "words", dir: "auto", text: row.text || row.id }),
      make("span", { class: "quiet" },
        tasks.length > 1 ? make("bdi", { text: tasks[row.task].name }) : null, tasks.length > 1 ? " · " : null,
        make("bdi", { text: row.id }),
        change === null ? "" : ` · ${points(before)} → ${points(after)}`,
        row.failed ? make("span", { class: "down", text: ` · ${many(row.failed, "failure")}` }) : null)),
  );
  return make("li", {}, link);
}

/** The address of a query with the filters as they are. */
function address(place) {
  const named = new URLSearchParams();
  if (place !== null) {
    named.set("query", queries[place].id);
    if (tasks.length > 1) named.set("split", tasks[queries[place].task].name);
  }
  for (const id of FILTERS) {
    const value = id === "task" && byId(id).value ? tasks[Number(byId(id).value)].name : byId(id).value;
    if (value && !(id === "measure" && value === measures[0])) named.set(id, value);
  }
  return `#${named}`;
}

/** Scrolls the list, and never the page. */
function reveal(link) {
  const pane = document.querySelector(".pane.list");
  const [view, box] = [pane.getBoundingClientRect(), link.getBoundingClientRect()];
  if (box.bottom < view.top || box.top > view.bottom) pane.scrollTop += box.top - view.top - view.height / 3;
  else if (box.top < view.top) pane.scrollTop -= view.top - box.top;
  else if (box.bottom > view.bottom) pane.scrollTop += box.bottom - view.bottom;
}

function choose(place) {
  chosen = place;
  const at = matching.indexOf(place);
  if (at >= shown) { shown = at + PAGE; list(); }
  for (const link of byId("list").querySelectorAll("a")) {
    const here = Number(link.dataset.place) === place;
    if (here) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    if (here) reveal(link);
  }
  const beside = (step) => (at >= 0 && matching[at + step] !== undefined ? address(matching[at + step]) : null);
  showDetail(place, queries[place], tasks[queries[place].task], {
    previous: beside(-1), next: at < 0 ? (matching.length ? address(matching[0]) : null) : beside(1),
    place: at < 0 ? null : at, count: matching.length,
  });
}

/** What the address says: filters, a query, or a section of the page, which the browser goes to itself. */
function follow() {
  const named = new URLSearchParams(location.hash.slice(1));
  if (![...FILTERS, "query"].some((name) => named.has(name))) return;
  for (const id of FILTERS) {
    const value = named.get(id) ?? "";
    byId(id).value = id === "task" && value ? String(tasks.findIndex((task) => task.name === value)) : value;
    // A value that is none of the options selects nothing.
    if (byId(id).value === "" && id !== "find") byId(id).selectedIndex = 0;
  }
  const place = queries.findIndex((row) => row.id === named.get("query")
    && (!named.has("split") || tasks[row.task].name === named.get("split")));
  if (place >= 0) chosen = place;
  select();
  if (place >= 0) choose(place);
  else if (named.has("query")) byId("detail").replaceChildren(make("p", { class: "down", text: `There is no query ${named.get("query")} in this report.` }));
  byId("queries").scrollIntoView({ block: "start" });
}

function filtered() {
  select();
  if (!matching.includes(chosen)) chosen = matching[0] ?? chosen;
  history.replaceState(null, "", address(chosen));
  if (chosen !== null) choose(chosen);
}

function step(by) {
  const at = matching.indexOf(chosen);
  const place = matching[at < 0 ? 0 : Math.min(Math.max(at + by, 0), matching.length - 1)];
  if (place === undefined || place === chosen) return;
  chosen = place; // now: the address is followed later, and the next key may come before
  location.hash = address(place);
}

const ON_KEY = {
  j: () => step(1), k: () => step(-1),
  "/": () => { byId("queries").scrollIntoView(); byId("find").focus(); byId("find").select(); },
  q: () => { byId("queries").scrollIntoView(); byId("queries").focus({ preventScroll: true }); },
  g: () => scrollTo({ top: 0 }),
  t: () => byId("traces")?.click(), r: () => byId("judged")?.click(),
  "?": () => byId("keys").showModal(),
};

function start() {
  for (const [i, task] of tasks.entries()) byId("task").append(make("option", { value: i, text: task.name }));
  byId("task-label").hidden = tasks.length < 2;
  for (const measure of measures) byId("measure").append(make("option", { value: measure, text: measure }));
  if (!tasks.some((task) => task.reranked)) {
    for (const [id, gone] of [["outcome", ["lost", "won", "tied", "failed"]], ["order", ["gain", "after"]]])
      for (const option of [...byId(id).options]) if (gone.includes(option.value)) option.remove();
    byId("order").options[0].textContent = "lowest first";
    byId("order").querySelector("[value=before]").remove();
  }
  byId("help").hidden = false;
  byId("help").addEventListener("click", ON_KEY["?"]);
  byId("more").addEventListener("click", () => { shown += PAGE; list(); });
  for (const id of FILTERS) byId(id).addEventListener(id === "find" ? "input" : "change", filtered);
  document.addEventListener("click", (event) => {
    const mark = event.target.closest?.("[data-query]");
    if (mark) location.hash = address(Number(mark.dataset.query));
  });
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape" && field) field.blur();
    if (field || event.ctrlKey || event.altKey || event.metaKey || byId("keys").open || !ON_KEY[event.key]) return;
    event.preventDefault();
    ON_KEY[event.key]();
  });
  addEventListener("hashchange", follow);
  select();
  if (matching.length) choose(matching[0]);
  follow();
  document.body.setAttribute("aria-busy", "false");
}

start();
