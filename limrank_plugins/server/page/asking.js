// What is asked of the server, its events, and its errors in words.

const TOKEN = "limrank-token";
const CUT = "The connection to the server ended before its answer came.";

/** What the server refused, with its status; or that it cannot be reached (status 0). */
class Refused extends Error {
  constructor(status, words) { super(words); this.status = status; }
}

/** The first sign of a token that is none of those a header carries alike from everywhere. */
const oddIn = (token) => token.match(/[^\x21-\x7e]/u)?.[0];
const hasToken = () => Boolean(sessionStorage.getItem(TOKEN));

const headers = () => {
  const token = sessionStorage.getItem(TOKEN);
  return { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
};

/** A response that is no error; `body` makes it a POST. */
async function ask(path, body, signal) {
  const options = { headers: headers(), signal, cache: "no-store", redirect: "error" };
  let response;
  try {
    response = await fetch(path, body === undefined ? options : { ...options, method: "POST", body: JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server cannot be reached. Is it running?");
  }
  if (!response.ok) throw new Refused(response.status, await words(response));
  return response;
}

async function words(response) {
  let detail = "";
  try { detail = (await response.json()).detail; } catch { /* a proxy's page, perhaps */ }
  if (typeof detail !== "string" || !detail) detail = response.statusText || "the server gave no reason";
  const wait = response.headers.get("Retry-After");
  return sentence(detail, response.status) + (wait ? ` Ask again in ${many(Number(wait), "second")}.` : "");
}

const sentence = (detail, status) => `${detail[0].toUpperCase()}${detail.slice(1).replace(/\.$/, "")} (${status}).`;

/** The server-sent events of a response, as [name, data]. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Refused(0, CUT);
    });
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      yield [field("event"), JSON.parse(field("data"))];
    }
  }
}

/** The answer to a ranking; `tell` gets every event before it. */
async function streamed(body, signal, tell) {
  for await (const [name, data] of events(await ask("rerank", { ...body, stream: true }, signal))) {
    if (name === "answer") return data;
    if (name === "error") throw new Refused(data.status, sentence(data.detail, data.status));
    tell(name, data);
  }
  throw new Refused(0, CUT);
}
