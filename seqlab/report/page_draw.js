// Figures as SVG, in the colours of the page.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 400;
const HEIGHT = 230;
const DASHES = ["", "6 2", "2 2", "6 2 2 2", "10 3", "1 3"];
const MARKS = [ // baselines: shapes around 0, 0
  "M-4,-4H4V4H-4Z", "M0,-5L5,0L0,5L-5,0Z", "M0,-5L5,4H-5Z", "M0,5L5,-4H-5Z", "M-4,-4L4,4M-4,4L4,-4", "M-5,0H5M0,-5V5",
];

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

const titled = (element, text) => (element.append(svg("title", {}, text)), element);

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}

// Round values between two limits, about `count` of them; whole numbers only where the axis counts.
function ticks(low, high, count, whole = false) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(Number((n * step).toPrecision(12)));
  return found;
}

// A function from values to places. A logarithmic scale is linear between -1 and 1 if there are values below 0.
function scale(values, unit, logarithmic, from, to, pad = 0.05) {
  const positive = Math.min(...values) > 0;
  const turn = !logarithmic ? (v) => v : positive ? Math.log10 : (v) => Math.sign(v) * Math.log10(1 + Math.abs(v));
  let [low, high] = unit ? [0, 1] : [turn(Math.min(...values)), turn(Math.max(...values))];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const room = unit ? (high - low) * 0.03 : (high - low) * pad;
  [low, high] = [low - room, high + room];
  const place = (value) => from + ((turn(value) - low) / (high - low)) * (to - from);
  const limits = unit ? [0, 1] : [low, high];
  place.ticks = (count, whole) => {
    if (!logarithmic) return ticks(...limits, count, whole);
    const round = [0]; // 1, 2 and 5 times the powers of ten, as many as there is room for
    for (let power = -9; power < 10; power++) for (const factor of [1, 2, 5]) round.push(factor * 10 ** power, -factor * 10 ** power);
    const inside = round.filter((value) => (value || !positive) && turn(value) >= low && turn(value) <= high).sort((a, b) => a - b);
    let last = -Infinity;
    return inside.filter((value) => turn(value) - last > (high - low) / (count + 2) && ((last = turn(value)), true));
  };
  return place;
}

function figure(title, height, ...children) {
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": title }, ...children);
  return make("figure", {}, make("figcaption", {}, title), drawing);
}

// Labels beside the places where their lines end, moved apart.
function endLabels(ends, low, high) {
  const room = 12;
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((end, n) => { end.at = Math.max(end.y, n ? ends[n - 1].at + room : low); });
  let last = high;
  for (const end of [...ends].reverse()) { end.at = Math.min(end.at, last); last = end.at - room; }
  return ends.flatMap((end) => {
    const text = end.label.length > 17 ? `${end.label.slice(0, 16)}…` : end.label;
    const attributes = { x: end.x + 13, y: end.at + 4, class: end.colour ? "" : "quiet" };
    return [
      svg("path", { d: `M${end.x + 2},${end.y}L${end.x + 11},${end.at}`, stroke: end.colour || "currentColor", "stroke-width": 0.8, fill: "none" }),
      titled(svg("text", attributes, text), end.label),
    ];
  });
}

// Each seed a thin line, the mean a thick one; baselines are grey and dashed.
function lines(panel) {
  const points = panel.rows.flatMap((row) => [...row.mean, ...row.seeds.flat()]);
  if (!points.length) return null;
  const [left, right, top, bottom] = [46, WIDTH - 118, 8, HEIGHT - 34];
  const x = scale(points.map(([at]) => at), false, false, left, right, 0.02);
  const y = scale(points.map(([, value]) => value), panel.unit && points.every(([, v]) => v >= 0 && v <= 1), panel.log, bottom, top);
  const parts = [svg("path", { class: "frame", d: `M${left},${top}V${bottom}H${right}` })];
  for (const tick of y.ticks(5)) {
    parts.push(svg("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    parts.push(svg("text", { class: "quiet", x: left - 4, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (const tick of x.ticks(5, true)) {
    parts.push(svg("text", { class: "quiet", x: x(tick), y: bottom + 14, "text-anchor": "middle" }, String(tick)));
  }
  parts.push(svg("text", { class: "quiet", x: (left + right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, panel.x));
  const path = (of) => "M" + of.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join("L");
  const ends = [];
  panel.rows.forEach((row, number) => {
    const dash = row.kind === "model" ? DASHES[number % DASHES.length] : "3 3";
    const look = { fill: "none", stroke: row.colour || "currentColor", "stroke-dasharray": dash, opacity: row.colour ? 1 : 0.7 };
    if (row.seeds.length > 1) for (const seed of row.seeds) if (seed.length) parts.push(svg("path", { ...look, d: path(seed), "stroke-width": 0.7, opacity: 0.6 }));
    const main = row.mean.length ? row.mean : row.seeds[0];
    if (!main?.length) return;
    const width = row.kind === "model" ? 2 + 0.9 * (panel.rows.length - number > 4 ? 1 : (panel.rows.length - number) / 4) : 1.1;
    parts.push(titled(svg("path", { ...look, d: path(main), "stroke-width": width }), `${row.label}: ${short(main.at(-1)[1])} at ${main.at(-1)[0]}`));
    ends.push({ x: x(main.at(-1)[0]), y: y(main.at(-1)[1]), label: row.label, colour: row.colour });
  });
  return figure(panel.title, HEIGHT, parts, endLabels(ends, top + 4, bottom));
}

// A line for each model and baseline: the mean with its interval, each seed a small dot, chance a dashed line through all.
function dots(panel) {
  const rows = panel.rows.filter((row) => row.kind !== "chance");
  const chance = panel.rows.find((row) => row.kind === "chance");
  const values = panel.rows.flatMap((row) => [row.mean, row.low, row.high, ...row.seeds]).filter((value) => value !== null);
  const unit = panel.unit && values.every((value) => value >= 0 && value <= 1.0000001) || (panel.unit && panel.rows.every((row) => row.mean >= 0 && row.mean <= 1));
  const [left, right, top] = [130, WIDTH - 46, 6];
  const height = top + 17 * rows.length + 34;
  const bottom = height - 30;
  const x = scale(values, unit, false, left, right);
  const clamp = (value) => (unit ? Math.min(1, Math.max(0, value)) : value);
  const parts = [svg("path", { class: "frame", d: `M${left},${bottom}H${right}` })];
  for (const tick of x.ticks(4)) {
    parts.push(svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: bottom }));
    parts.push(svg("text", { class: "quiet", x: x(tick), y: bottom + 13, "text-anchor": "middle" }, short(tick)));
  }
  if (chance) {
    parts.push(titled(svg("line", { class: "chance", x1: x(chance.mean), x2: x(chance.mean), y1: top, y2: bottom, "stroke-dasharray": "4 3" }), `chance: ${short(chance.mean)}`));
    parts.push(svg("text", { x: x(chance.mean), y: bottom + 26, "text-anchor": "middle" }, `chance ${short(chance.mean)}`));
  }
  let shape = 0;
  rows.forEach((row, number) => {
    const y = top + 17 * number + 9;
    const label = row.label.length > 20 ? `${row.label.slice(0, 19)}…` : row.label;
    parts.push(titled(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", class: row.colour ? "" : "quiet" }, label), row.label));
    parts.push(svg("text", { x: right + 8, y: y + 4, class: row.colour ? "" : "quiet" }, short(Number(row.mean.toPrecision(3)))));
    if (!row.colour) {
      parts.push(titled(svg("path", { class: "base", d: MARKS[shape++ % MARKS.length], transform: `translate(${x(row.mean)},${y})` }), `${row.label}: ${short(row.mean)}`));
      return;
    }
    if (row.low !== null) parts.push(svg("line", { x1: x(clamp(row.low)), x2: x(clamp(row.high)), y1: y, y2: y, stroke: row.colour, "stroke-width": 2 }));
    if (row.seeds.length > 1) for (const seed of row.seeds) parts.push(svg("circle", { cx: x(seed), cy: y, r: 2, fill: "none", stroke: row.colour }));
    parts.push(titled(svg("circle", { cx: x(row.mean), cy: y, r: 4.5, fill: row.colour }), `${row.label}: ${short(row.mean)}`));
  });
  return figure(panel.title, height, parts);
}

const DRAW = { lines, dots };

// The figures of each data set; those of a column only while the column is chosen.
function drawPanels() {
  [...document.querySelectorAll("#overview .panels")].forEach((place, number) => {
    const chosen = CHOSEN[Number(place.dataset.table)];
    const panels = DATA.panels[number].filter((panel) => !panel.heading || chosen.has(panel.heading));
    place.replaceChildren(...panels.map((panel) => DRAW[panel.kind](panel)).filter((drawn) => drawn !== null));
  });
}
