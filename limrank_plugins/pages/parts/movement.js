// A query's documents from their ranks before (above) to their ranks after (below), rank 1 on the left.

const MOVED = { height: 118, left: 60, rest: 18, top: 26, bottom: 92 };

/**
 * Relevant documents are drawn strong and on top; the others show how much the list was stirred.
 * `width` is the drawing's own, in which letters are 11 high.
 */
function movementOf(documents, relevant = (one) => (one.grade ?? 0) > 0, named = "relevant documents", width = 720) {
  const ranked = documents.filter((one) => one.before && one.after);
  const depth = Math.max(2, ...ranked.map((one) => Math.max(one.before, one.after)));
  const x = (rank) => MOVED.left + ((width - MOVED.rest - MOVED.left) * (rank - 1)) / (depth - 1);
  const moved = ranked.filter(relevant);
  const label = moved.length
    ? moved.map((one) => `${one.before} to ${one.after}`).slice(0, 12).join(", ")
    : "none of them is in both lists";
  const svg = draw("svg", {
    viewBox: `0 0 ${width} ${MOVED.height}`, role: "img", class: "plot movement",
    "aria-label": `Ranks before and after of ${named}: ${label}`,
  });
  for (const [y, text] of [[MOVED.top, "before"], [MOVED.bottom, "after"]]) {
    svg.append(
      draw("line", { x1: MOVED.left, x2: width - MOVED.rest, y1: y, y2: y, class: "grid" }),
      draw("text", { x: 0, y: y + 4, class: "label" }, text),
    );
  }
  for (const one of [...ranked.filter((other) => !relevant(other)), ...moved]) {
    const kindOf = relevant(one) ? `relevant ${kind(one.before - one.after)}` : "other";
    const title = draw("title", {}, `${one.id}: ${one.before} → ${one.after}`);
    const [y1, y2, x1, x2] = [MOVED.top, MOVED.bottom, x(one.before), x(one.after)];
    svg.append(draw("line", { x1, x2, y1, y2, class: `move ${kindOf}` }, title));
  }
  labels(svg, moved, "before", MOVED.top - 9, x);
  labels(svg, moved, "after", MOVED.bottom + 18, x);
  return svg;
}

/** Ranks at their lines' ends; one that would stand on another's place is left out. */
function labels(svg, moved, side, y, x) {
  let last = -Infinity;
  for (const one of [...moved].sort((a, b) => a[side] - b[side])) {
    const place = x(one[side]);
    if (place - last < 20) continue;
    last = place;
    svg.append(draw("text", { x: place, y, "text-anchor": "middle" }, String(one[side])));
  }
}
