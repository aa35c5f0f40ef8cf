// What is shown of a document in a ranking: its move, its score, its text, its reasoning.

const LONG = 420;

/** How far a document moved, as an arrow and in words. */
function movedBy(before, after) {
  if (!before || !after) return make("span", { class: "moved quiet", text: before ? `was ${before}` : "new" });
  const by = before - after;
  const text = by === 0 ? "= " : by > 0 ? `▲ ${by}` : `▼ ${-by}`;
  const label = by === 0 ? "stayed" : `${by > 0 ? "up" : "down"} ${Math.abs(by)} from ${before}`;
  return make("span", { class: `moved ${kind(by)}`, title: label }, make("span", { "aria-hidden": "true", text }), make("span", { class: "sr", text: label }));
}

/** A score with its digits; a probability with a bar. */
function score(value, unit) {
  const text = Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : value.toFixed(3);
  const label = make("span", { class: "score", title: unit || "score" }, text.replace("-", "−"));
  if (unit === "probability") {
    const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span"));
    bar.firstChild.style.width = `${value * 100}%`;
    label.prepend(bar);
  }
  return label;
}

/** A text of a few lines, with a button for the rest where there is one. */
function clippable(text, name) {
  const shown = make("p", { class: name, dir: "auto", text });
  if (text.length <= LONG && text.split("\n").length <= 4) return shown;
  shown.classList.add("clipped");
  const more = make("button", { type: "button", class: "link", text: "show all", "aria-expanded": "false" });
  more.addEventListener("click", () => {
    const clipped = shown.classList.toggle("clipped");
    more.textContent = clipped ? "show all" : "show less";
    more.setAttribute("aria-expanded", String(!clipped));
  });
  return make("div", {}, shown, more);
}

/** What a model wrote before its answer, folded unless `open`. */
function trace(text, open = false) {
  const words = text.split(/\s+/).length;
  const folded = make("details", { class: "trace" }, make("summary", { text: `Reasoning, ${many(words, "word")}` }));
  // Put in when it is opened first: a list has a hundred of them.
  folded.addEventListener("toggle", () => {
    if (folded.childElementCount === 1) folded.append(make("p", { class: "text", dir: "auto", text }));
  });
  folded.open = open;
  return folded;
}
