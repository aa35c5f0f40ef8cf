// Elements from texts: what comes from queries, documents and models is only ever a text node or an attribute.

const byId = (id) => document.getElementById(id);

/** An element; `attributes` may hold `class`, `text` (its only child) and anything setAttribute takes. */
function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") node.textContent = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The same for SVG. */
function draw(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** What a JSON element of the page holds. */
const read = (id) => JSON.parse(byId(id).textContent);

const number = (value) => value.toLocaleString("en");
const points = (value) => (value === null ? "–" : (value * 100).toFixed(1).replace("-", "−"));
const signed = (value) => (value > 0 ? "+" : value === 0 ? "±" : "") + points(value);
const kind = (value) => (value > 1e-9 ? "up" : value < -1e-9 ? "down" : "same");
const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;
