// A reranker's column: it fills while the server works, and ends as the answer, or as what went wrong.

const TOP = 10;
const KINDS = { rank: "no comparable scores: the order alone", probability: "scores are probabilities", logit: "scores are logits", grade: "scores are grades" };

class RankingColumn extends Column {
  constructor(model, searched) {
    super(model.id, [model.id === model.recipe ? "" : model.recipe, KINDS[model.score_kind] ?? `scores: ${model.score_kind}`].filter(Boolean).join(" · "));
    [this.model, this.searched, this.candidates] = [model, searched, searched.candidates];
    this.results = []; // judged so far, best first
    this.failed = [];
    this.counts = { finished: 0, total: searched.candidates.length, tokens: 0 };
    this.bar = make("progress", { "aria-label": `progress of ${model.id}` });
    this.words = make("p", { class: "took", text: "waits for its turn" });
    this.below.append(this.bar, this.words);
    this.order = null;
  }

  /** Ranks the candidates, showing each as it is judged; `tell` gets sentences for those who do not see it. */
  async rank(query, signal, tell) {
    const began = performance.now();
    const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
    // What came since the last time is placed at once: a thousand results are not a thousand sortings.
    const tick = () => { this.place(); this.working(seconds()); };
    const clock = setInterval(tick, 200);
    let quarter = 0;
    tick();
    try {
      const body = { model: this.model.id, query, documents: this.candidates.map(({ passage }) => passage) };
      const answer = await streamed(body, signal, (name, data) => {
        if (name === "progress") this.counts = data;
        else (name === "result" ? this.results : this.failed).push(data);
        const now = Math.floor((4 * this.counts.finished) / this.counts.total);
        if (now > quarter && now < 4) tell(`${this.model.id}: ${this.counts.finished} of ${this.counts.total} judged`);
        quarter = now;
      });
      this.finish(answer, seconds());
    } catch (error) {
      this.place();
      this.bar.remove();
      this.words.textContent = error.name === "AbortError" ? `stopped after ${seconds()} s` : "";
      if (error.name !== "AbortError") this.below.append(make("p", { class: "failure", role: "alert", text: error.message }));
      throw error;
    } finally {
      clearInterval(clock);
    }
  }

  working(seconds) {
    const { finished, total, tokens } = this.counts;
    // A list that is judged as a whole tells of no part of it.
    if (finished) { this.bar.max = total; this.bar.value = finished; }
    this.words.textContent = [finished ? `${number(finished)} of ${number(total)} judged` : `judges ${many(total, "passage")}`, tokens ? `${many(tokens, "token")} written` : "", `${seconds} s`].filter(Boolean).join(" · ");
  }

  /** What is judged so far, best first; what failed, at the end. */
  place() {
    if (this.results.length + this.failed.length === this.rows.size) return;
    this.results.sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index);
    this.put([...this.results, ...this.failed]);
  }

  /** The answer: what failed keeps its first-stage place, as it does in a ranking everywhere else. */
  finish(answer, seconds) {
    const failed = new Map(answer.failed.map((one) => [one.index, one]));
    const judged = [...answer.results];
    const entries = this.candidates.map(({ index }) => failed.get(index) ?? judged.shift());
    this.put(entries);
    this.order = entries.map(({ index }) => index);
    this.bar.remove();
    const { prompt_tokens: read, completion_tokens: written } = answer.usage;
    const tokens = [read ? `${many(read, "token")} read` : "", written ? `${number(written)} written` : ""].filter(Boolean).join(", ");
    this.words.textContent = [`${number(answer.results.length)} judged${failed.size ? `, ${number(failed.size)} not` : ""}`, tokens, `${seconds} s`].filter(Boolean).join(" · ");
    this.tellRelevant(this.searched, this.order, TOP);
    // The first one sums up what failed, which the rows say.
    const warnings = (answer.meta.warnings ?? []).slice(failed.size ? 1 : 0);
    if (warnings.length) this.below.append(make("ul", { class: "facts" }, ...warnings.map((text) => make("li", { text }))));
    const moves = this.candidates.map((one) => ({ id: one.title || one.text.slice(0, 60), grade: one.grade, before: one.index + 1, after: this.order.indexOf(one.index) + 1 }));
    const [strong, named] = strength(this.candidates);
    this.below.append(make("figure", { class: "strip" }, movementOf(moves, (one) => strong(one.before - 1, one.after - 1), named, 360)));
  }

  put(entries) {
    const rows = entries.map((entry, place) => {
      const candidate = this.candidates[entry.index];
      let row = this.rows.get(entry.index);
      const isFailed = entry.reason !== undefined;
      if (!row) {
        const mark = isFailed || entry.score_kind === "rank" ? null : score(entry.relevance_score, entry.score_kind);
        row = passageRow(candidate, { moved: make("span"), mark, failure: isFailed ? entry.reason : null, reasoning: entry.reasoning });
        this.rows.set(entry.index, row);
      }
      if (row.dataset.place === String(place)) return row;
      row.dataset.place = place;
      row.querySelector(".rank").textContent = isFailed ? "–" : place + 1;
      row.querySelector(".under").firstElementChild.replaceWith(isFailed ? make("span") : movedBy(entry.index + 1, place + 1));
      return row;
    });
    this.arrange(rows);
    redraw();
  }
}

/** Which lines are drawn strong: of what is relevant, where that is known, else of the first of the new order. */
function strength(candidates) {
  const known = candidates.some((one) => one.grade > 0);
  return known ? [(index) => candidates[index].grade > 0, "relevant passages"] : [(_, place) => place < 5, "the new first five"];
}
