// Words: how many there are, and which of a passage's are the query's.

const WORD = /[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu;
const COMMON = new Set(
  ("a about after all also an and any are as at be been before being but by can could did do does doing for from " +
    "get got had has have having he her here him his how i if in into is it its just like me more most my no not " +
    "now of off on one only or our out over own she should so some such than that the their them then there these " +
    "they this those through to too under up very was way we were what when where which while who why will with " +
    "without would you your").split(" "),
);

/** How many words: runs of anything but white space, as the guidelines count them. */
export function countWords(text) {
  return text.split(/\s+/u).filter(Boolean).length;
}

/** The text as nodes, the query's own words in <mark>; never as markup. */
export function marked(text, query) {
  const wanted = new Set((query.match(WORD) ?? []).map(plain).filter((word) => word.length > 1 && !COMMON.has(word)));
  const nodes = document.createDocumentFragment();
  let at = 0;
  for (const match of text.matchAll(WORD)) {
    if (!wanted.has(plain(match[0]))) continue;
    const mark = document.createElement("mark");
    mark.textContent = match[0];
    nodes.append(text.slice(at, match.index), mark);
    at = match.index + match[0].length;
  }
  nodes.append(text.slice(at));
  return nodes;
}

/** Singular and plural are one word; more would need the language. */
function plain(word) {
  const lower = word.toLowerCase().replace(/['’]s$/u, "");
  return lower.length > 3 && lower.endsWith("s") && !lower.endsWith("ss") ? lower.slice(0, -1) : lower;
}
