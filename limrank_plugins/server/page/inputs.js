// The form: what can be chosen, passages that are brought along, and the link that holds it all.

const OWN = "own";
const LONGEST_LINK = 30_000;
const offered = { models: [], corpora: [] };
let added = []; // [{ name, passages: [{ title, text }] }]

async function offer() {
  const [models, corpora] = await Promise.all(["v1/models", "corpora"].map(async (path) => (await ask(path)).json()));
  [offered.models, offered.corpora] = [models.data, corpora.data];
  const named = ({ id, recipe }) => (id === recipe ? id : `${id} (${recipe})`);
  const options = offered.models.map((model) => make("option", { value: model.id, text: named(model) }));
  byId("model").replaceChildren(...options);
  byId("other").replaceChildren(make("option", { value: "", text: "nothing" }), ...options.map((one) => one.cloneNode(true)));
  byId("source").replaceChildren(
    ...offered.corpora.map(({ id, documents, examples }) =>
      make("option", { value: `corpus:${id}`, text: `${id}${examples.length ? " collection" : ""} (${number(documents)})` })),
    make("option", { value: OWN, text: "your own: paste or upload" }),
  );
}

const corpusOf = (value) => offered.corpora.find(({ id }) => value === `corpus:${id}`);

function showSource() {
  const corpus = corpusOf(byId("source").value);
  const examples = corpus?.examples ?? [];
  byId("own").hidden = Boolean(corpus);
  byId("example-field").hidden = !examples.length;
  byId("example").replaceChildren(
    make("option", { value: "", text: "…" }),
    ...examples.map(({ query }, place) => make("option", { value: place, text: query.length > 70 ? `${query.slice(0, 70)}…` : query })),
  );
  showExample();
}

/** The example that the query is, if it is one. */
function showExample() {
  const examples = corpusOf(byId("source").value)?.examples ?? [];
  const place = examples.findIndex(({ query }) => query === byId("query").value.trim());
  byId("example").value = place < 0 ? "" : String(place);
}

function showAdded() {
  byId("added").replaceChildren(...added.map((file) => {
    const gone = make("button", { type: "button", class: "link", text: "remove", "aria-label": `remove ${file.name}` });
    gone.addEventListener("click", () => { added = added.filter((other) => other !== file); showAdded(); byId("files").focus(); });
    return make("li", {}, make("bdi", { text: file.name }), `: ${many(file.passages.length, "passage")} `, gone);
  }));
  markOutdated();
}

/** Passages of files; a file that cannot be read is a sentence in the returned list. */
async function addFiles(files) {
  const problems = [];
  for (const file of files) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
      const passages = /\.jsonl$/i.test(file.name) ? readLines(text) : [{ title: file.name.replace(/\.\w+$/, ""), text: text.trim() }];
      if (!passages.some((passage) => passage.text)) throw new Error("it holds no passage");
      added = [...added, { name: file.name, passages }];
    } catch (error) {
      problems.push(`${file.name} cannot be read: ${error instanceof TypeError ? "it is no UTF-8 text" : error.message}.`);
    }
  }
  showAdded();
  return problems;
}

function readLines(text) {
  return text.split("\n").flatMap((line, place) => {
    if (!line.trim()) return [];
    let row;
    try { row = JSON.parse(line); } catch { throw new Error(`line ${place + 1} is no JSON`); }
    const passage = typeof row === "string" ? { text: row } : row;
    if (typeof passage?.text !== "string") throw new Error(`line ${place + 1} has no "text"`);
    return [{ title: typeof passage.title === "string" ? passage.title : "", text: passage.text }];
  });
}

const pasted = () => byId("passages").value.split(/\n[ \t]*\n/).map((text) => text.trim()).filter(Boolean);

/** What the form says; `problem` names the field that cannot be used, and why. */
function inputs() {
  const depth = Number(byId("depth").value);
  const named = {
    query: byId("query").value.trim(),
    source: byId("source").value,
    depth,
    models: [byId("model").value, byId("other").value].filter(Boolean),
    passages: [...pasted().map((text) => ({ title: "", text })), ...added.flatMap((file) => file.passages)],
    problem: null,
  };
  if (!named.query) named.problem = ["query", "Type a query."];
  else if (named.source === OWN && !named.passages.length) named.problem = ["passages", "Paste passages, or choose files."];
  else if (!Number.isInteger(depth) || depth < 1) named.problem = ["depth", "Depth must be a whole number of at least 1."];
  else if (named.models[0] === named.models[1]) named.problem = ["other", "Compare with another reranker, or with nothing."];
  return named;
}

/** What the form holds, to be compared with what is ranked. */
function formState() {
  const values = ["query", "source", "depth", "model", "other"].map((id) => byId(id).value.trim());
  return byId("source").value === OWN ? [...values, byId("passages").value, added] : values;
}

// ---- link ---------------------------------------------------------------------------------------

/** The fragment that holds the inputs. */
function linkOf({ query, source, depth }) {
  const named = new URLSearchParams({ query, depth: String(depth), model: byId("model").value });
  if (byId("other").value) named.set("with", byId("other").value);
  if (source !== OWN) named.set("corpus", source.slice("corpus:".length));
  else {
    named.set("text", byId("passages").value);
    for (const { title, text } of added.flatMap((file) => file.passages)) named.append("passage", JSON.stringify(title ? { title, text } : { text }));
  }
  return `#${named}`;
}

/** Fills the form from the address; says what is in it that is not here, and null where it holds nothing. */
function readLink() {
  const named = new URLSearchParams(location.hash.slice(1));
  if (!["query", "text", "passage", "corpus"].some((name) => named.has(name))) return null;
  const missing = [];
  byId("query").value = named.get("query") ?? "";
  if (named.has("depth")) byId("depth").value = named.get("depth");
  for (const [id, name, what] of [["model", "model", "reranker"], ["other", "with", "reranker"], ["source", "corpus", "corpus"]]) {
    const value = named.get(name);
    if (!value) { byId(id).selectedIndex = 0; continue; }
    const wanted = id === "source" ? `corpus:${value}` : value;
    if ([...byId(id).options].some((option) => option.value === wanted)) byId(id).value = wanted;
    else missing.push(`The link names the ${what} ${value}, which is not served here.`);
  }
  added = [];
  if (!named.has("corpus") && (named.has("text") || named.has("passage"))) {
    byId("source").value = OWN;
    byId("passages").value = named.get("text") ?? "";
    try {
      const passages = readLines(named.getAll("passage").join("\n"));
      if (passages.length) added = [{ name: "from the link", passages }];
    } catch { missing.push("The link is damaged: its passages cannot be read."); }
  }
  showAdded();
  showSource();
  return missing;
}
