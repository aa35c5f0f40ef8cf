// The page: what happens when somebody presses something.

let running = null; // what stops the work under way

let ranked = []; // the form as it was when the rankings on the screen were asked for

const say = (text) => { byId("status").textContent = text; };

function problem(text, field = null) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
  if (field) byId(field).focus();
}

/** An error in words, and the field that helps. */
function complain(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refused)) console.error(error);
  const text = error instanceof Refused ? error.message : `This page has a defect: ${error.message}`;
  if (error.status === 401) byId("token-field").hidden = false;
  problem(error.status === 401 && hasToken() ? "The server does not accept this token (401)." : text, error.status === 401 ? "token" : null);
}

/** What is ranked: the first stage's candidates, or the passages that were brought along. */
async function candidatesOf({ query, source, depth, passages }, signal) {
  if (source === OWN) {
    const taken = passages.slice(0, depth).map((one, index) => ({ ...one, index, passage: one.title ? `${one.title} ${one.text}` : one.text }));
    return { candidates: taken, relevant: 0, about: `as they came${taken.length < passages.length ? `; the first ${number(taken.length)} of ${number(passages.length)}` : ""}` };
  }
  const corpus = corpusOf(source);
  const answer = await (await ask("search", { corpus: corpus.id, query, depth }, signal)).json();
  const grades = corpus.examples.find((example) => example.query === query)?.grades ?? {};
  const candidates = answer.candidates.map((one, index) => ({ ...one, index, grade: grades[one.id] }));
  const relevant = Object.values(grades).filter((grade) => grade > 0).length;
  return { candidates, relevant, about: `${corpus.retriever} · ${many(candidates.length, "candidate")} of ${many(corpus.documents, "passage")}` };
}

function firstStage(searched) {
  const { candidates, about } = searched;
  const column = new Column("First stage", about);
  for (const one of candidates) column.rows.set(one.index, passageRow(one, { rank: one.index + 1, mark: one.score === undefined ? null : score(one.score, "score of the first stage") }));
  column.arrange([...column.rows.values()]);
  column.tellRelevant(searched, candidates.map(({ index }) => index), TOP);
  return column;
}

async function run() {
  const asked = inputs();
  problem("");
  say("");
  if (asked.problem) return problem(asked.problem[1], asked.problem[0]);
  const link = linkOf(asked);
  const isLinked = link.length <= LONGEST_LINK;
  history.replaceState(null, "", isLinked ? link : location.pathname);
  const [state, focused] = [formState(), document.activeElement];
  running?.abort();
  const stopping = new AbortController();
  running = stopping;
  busy(true);
  try {
    say(asked.source === OWN ? "Ranking." : "Searching.");
    const searched = await candidatesOf(asked, stopping.signal);
    const { candidates } = searched;
    if (!candidates.length) {
      byId("result").hidden = true;
      return say("No passage shares a word with the query: there is nothing to rank.");
    }
    const models = asked.models.map((id) => offered.models.find((model) => model.id === id));
    const columns = models.map((model) => new RankingColumn(model, searched));
    show([firstStage(searched), ...columns], strength(candidates)[0]);
    ranked = state;
    [byId("asked").textContent, byId("agreement").textContent] = [asked.query, ""];
    markOutdated();
    // One after another: the seconds of one are not those of the other.
    let failed = 0;
    for (const column of columns) {
      say(`${column.model.id} judges ${many(candidates.length, "passage")}.`);
      try {
        await column.rank(asked.query, stopping.signal, say);
      } catch (error) {
        if (error.name === "AbortError" || error.status === 401) throw error;
        if (!(error instanceof Refused)) console.error(error);
        failed += 1;
      }
    }
    agree(columns, candidates.length);
    const done = failed === columns.length ? "Nothing was ranked." : failed ? "Done, but one reranker ranked nothing." : "Done.";
    say(isLinked ? done : `${done} The address does not hold these inputs: the passages are too long for a link.`);
    if (document.activeElement === focused) toResult();
  } catch (error) {
    // Another run, or a link, may have taken its place, and says what is so now.
    if (running !== stopping) return;
    say(error.name === "AbortError" ? "Stopped." : "");
    complain(error);
  } finally {
    if (running === stopping) { running = null; busy(false); }
  }
}

/** The focus goes to the rankings, which come into view where they are far down. */
function toResult() {
  byId("result").focus({ preventScroll: true });
  if (byId("result").getBoundingClientRect().top > 0.7 * innerHeight) byId("result").scrollIntoView();
}

/** Says whether the form still holds what is ranked below it. */
function markOutdated() {
  const state = formState();
  byId("outdated").hidden = state.length === ranked.length && state.every((value, place) => value === ranked[place]);
}

/** How much two orders have in common at the top. */
function agree(columns, total) {
  const done = columns.filter((column) => column.order);
  if (!done.length) return;
  const top = Math.min(TOP, total);
  const [first, firstName] = done.length > 1 ? [done[0].order, done[0].model.id] : [done[0].order.map((_, place) => place), "the first stage"];
  const last = done.at(-1);
  const same = last.order.slice(0, top).filter((index) => first.slice(0, top).includes(index)).length;
  byId("agreement").textContent = `Of the first ${top} passages, ${firstName} and ${last.model.id} have ${same} in common.`;
}

function busy(is) {
  byId("columns").setAttribute("aria-busy", String(is));
  byId("stop").hidden = !is;
}

async function share() {
  const asked = inputs();
  const link = linkOf(asked);
  if (link.length > LONGEST_LINK)
    return problem(`These passages make a link of ${number(link.length)} characters; many programs cut one above ${number(LONGEST_LINK)}. Serve them as a corpus instead: limrank serve --corpus.`);
  history.replaceState(null, "", link);
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied. Whoever opens it sees the inputs, and ranks them with one key.");
  } catch {
    say("The address bar holds the link: copy it from there.");
  }
}

async function begin() {
  try {
    await offer();
  } catch (error) {
    complain(error);
    return;
  }
  byId("token-field").hidden = true;
  problem("");
  showSource();
  if (!follow()) byId("query").focus();
}

/** Fills the form from the address, and stops what is under way for other inputs. It asks for nothing: a link that somebody opens must cost nothing unasked. */
function follow() {
  const missing = readLink();
  if (missing === null) return false;
  problem(missing.join(" "));
  const stopped = running ? "What was under way is stopped. " : "";
  running?.abort();
  running = null;
  busy(false);
  markOutdated();
  say(`${stopped}The inputs are those of the link, and are not ranked yet. Press Rank, or Ctrl+Enter.`);
  byId("rank").focus();
  return true;
}

byId("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
// The address holds the inputs: it must not become "#result".
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); toResult(); });
byId("stop").addEventListener("click", () => { running?.abort(); byId("rank").focus(); });
byId("link").addEventListener("click", share);
byId("form").addEventListener("input", markOutdated);
byId("source").addEventListener("change", showSource);
byId("query").addEventListener("input", showExample);
byId("example").addEventListener("change", () => {
  const example = corpusOf(byId("source").value)?.examples[byId("example").value];
  if (example) byId("query").value = example.query;
  markOutdated();
});
byId("files").addEventListener("change", async () => {
  problem((await addFiles([...byId("files").files])).join(" "));
  byId("files").value = "";
});
function useToken() {
  const token = byId("token").value.trim();
  const odd = oddIn(token);
  if (odd) return problem(`The token holds “${odd}”, which no header can carry: copy it again, without quotes around it.`, "token");
  sessionStorage.setItem(TOKEN, token);
  byId("token").value = "";
  begin();
}
byId("use-token").addEventListener("click", useToken);
byId("token").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); useToken(); } });
byId("open-all").addEventListener("click", () => {
  const open = byId("open-all").getAttribute("aria-expanded") !== "true";
  byId("open-all").setAttribute("aria-expanded", String(open));
  byId("open-all").textContent = open ? "Close all passages" : "Open all passages";
  for (const one of document.querySelectorAll("#columns details")) one.open = open;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); byId("form").requestSubmit(); }
  if (event.key === "Escape" && running) running.abort();
});
for (const [name, of] of [["mouseover", true], ["focusin", true], ["mouseleave", false]])
  byId("columns").addEventListener(name, (event) => {
    const row = of ? event.target.closest?.("[data-index]") : null;
    point(row ? row.dataset.index : null);
  });
byId("columns").addEventListener("toggle", redraw, true);
new ResizeObserver(redraw).observe(byId("columns"));
addEventListener("hashchange", follow);
begin().finally(() => document.body.setAttribute("aria-busy", "false"));
