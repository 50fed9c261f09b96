// One run, and two runs side by side. The address after # says which: run=3, or compare=3,5.

const RUNS = DATA.runs;
const nameOf = (run) => `${run.data}, ${run.label}, seed ${run.seed}`;
const settingsOf = (run) => ({ ...DATA.shared, ...run.config });
const tested = (names) => [...names].sort((a, b) => b.startsWith("test/") - a.startsWith("test/")); // best.ckpt before last.ckpt
const shownNumber = (value) => (value === undefined || value === null ? "-" : short(value));
let nextTable = 0;

function table(caption, headings, rows) {
  const name = `t${nextTable++}`;
  const head = headings.map((heading) => make("th", { scope: "col" }, make("button", { type: "button" }, heading)));
  const body = rows.map((cells) => make("tr", {}, cells.map((cell, n) => {
    const at = n === 0 ? make("th", { scope: "row" }) : make("td");
    at.append(cell instanceof Node ? cell : String(cell));
    return at;
  })));
  return make("div", { class: "wide", tabindex: 0, role: "region", "aria-labelledby": name },
    make("table", {}, make("caption", { id: name }, caption), make("thead", {}, make("tr", {}, head)), make("tbody", {}, body)));
}

function chooser(label, selected, onchange, without = -1) {
  const options = RUNS.map((run, n) => (n === without ? null : make("option", { value: n, selected: n === selected }, nameOf(run))));
  return make("label", {}, label, make("select", { onchange }, selected < 0 ? make("option", { value: "" }, "choose a run") : null, options));
}

const goTo = (address) => { location.hash = address; };
const back = () => make("a", { href: "#overview" }, "back to all runs");

// A text with the places where rules break marked: the symbol that breaks one, or the end.
function marked(text, promptLength, marks, same = Infinity) {
  const places = new Map();
  marks.forEach(([rule, at]) => places.set(at, [...(places.get(at) ?? []), rule]));
  const span = make("span", { class: "string" });
  const put = (part, at) => {
    const classes = [at < promptLength ? "prompt" : "", at >= same ? "differs" : ""].join(" ").trim();
    if (part) span.append(classes ? make("span", { class: classes }, part) : part);
  };
  const cuts = [...new Set([promptLength, same, ...places.keys()])].filter((at) => at > 0 && at <= text.length).sort((a, b) => a - b);
  let at = 0;
  while (at < text.length) {
    const rules = places.get(at);
    const whole = rules ? text.slice(at).match(/^<\w+>|^[^]/u)[0] : "";
    const next = rules ? at + whole.length : cuts.find((cut) => cut > at) ?? text.length;
    if (rules) span.append(make("mark", { title: rules.join("; ") }, whole, make("span", { class: "unseen" }, ` breaks: ${rules.join("; ")} `)));
    else put(text.slice(at, next), at);
    at = next;
  }
  for (const [place, rules] of places) {
    if (place >= text.length) span.append(make("mark", { title: rules.join("; ") }, "⊣", make("span", { class: "unseen" }, ` the end breaks: ${rules.join("; ")}`)));
  }
  return span;
}

const wordsOf = (marks, text) => marks.map(([rule, at]) => `${rule}: ${at >= text.length ? "at the end" : `at character ${at + 1}`}`).join("; ");

// Prompt and completion of a record as one text, and where the completion begins; null if it lacks one of them.
function joinedOf({ fields, blank }, row) {
  const [prompt, completion] = ["prompt", "completion"].map((name) => fields.indexOf(name));
  if (prompt < 0 || completion < 0) return null;
  const given = `${row[prompt]}${row[prompt] === "" ? "" : blank}`;
  return { text: `${given}${row[completion]}`, begins: given.length, completion: String(row[completion]) };
}

// What a record shows: prompt and completion as one marked text if it has them, and its other fields.
function fieldsOf(predictions, row, marks) {
  const joined = joinedOf(predictions, row);
  const cells = predictions.fields.flatMap((name, n) => {
    if (joined && name === "completion") return [];
    if (joined && name === "prompt") return [marked(joined.text, joined.begins, marks)];
    return [row[n] === null ? "" : row[n] === true ? "yes" : row[n] === false ? "no" : String(row[n])];
  });
  return { cells, text: joined ? joined.text : "" };
}

function predictionsTable(run) {
  const { predictions } = run;
  if (predictions.problem) return make("p", {}, predictions.problem);
  if (!predictions.rows.length) return make("p", {}, "This run has no predictions.jsonl.");
  const marking = predictions.broken.some((marks) => marks.length);
  const names = predictions.fields.filter((name) => !(name === "completion" && predictions.fields.includes("prompt")));
  const headings = names.map((name) => (name === "prompt" && predictions.fields.includes("completion") ? "prompt and completion" : run.meanings[name] ?? name.replaceAll("_", " ")));
  const rows = predictions.rows.map((row, n) => {
    const { cells, text } = fieldsOf(predictions, row, predictions.broken[n]);
    return marking ? [...cells, wordsOf(predictions.broken[n], text)] : cells;
  });
  const place = table(`${rows.length} of ${predictions.total} predictions`, marking ? [...headings, "broken rules"] : headings, rows);
  if (!marking) return place;
  const onlyBroken = (event) => [...place.querySelectorAll("tbody tr")].forEach((row) => { row.hidden = event.target.checked && row.cells[row.cells.length - 1].textContent === ""; });
  const legend = make("p", { class: "hint" }, "A ", make("mark", {}, "mark"), " is the symbol at which a rule breaks for good; ⊣ is the end.");
  return make("div", {}, legend, make("label", {}, make("input", { type: "checkbox", onchange: onlyBroken }), " only those that break a rule"), place);
}

function curvesOf(runs) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves).filter((name) => run.curves[name].length > 1)))];
  if (!names.length) return make("p", {}, "No curves are kept.");
  const distinct = runs.length < 2 || runs[0].colour !== runs[1].colour;
  return make("div", { class: "panels" }, names.map((name) => {
    const rows = runs.filter((run) => run.curves[name]?.length > 1).map((run, n) => ({
      label: runs.length < 2 ? run.label : `${"AB"[runs.indexOf(run)]} ${run.model}, ${run.seed}`, kind: "model", mean: run.curves[name], seeds: [],
      colour: distinct || n === 0 ? run.colour : "#7A7A7A",
    }));
    const values = rows.flatMap((row) => row.mean.map(([, value]) => value));
    const unit = runs.some((run) => run.intervals[name.replace(/^val/, "test")]);
    return lines({ title: name, x: "step", unit, rows, log: !unit && Math.min(...values) > 0 && Math.max(...values) > 20 * Math.min(...values) });
  }));
}

function oneRun(number) {
  const run = RUNS[number];
  const about = `${run.steps} steps in ${run.seconds} s, stopped: ${run.stopped || "unknown"}; ${run.parameters.toLocaleString("en")} parameters`;
  const settings = Object.entries(settingsOf(run)).filter(([, value]) => value !== null);
  const metrics = tested(Object.keys(run.metrics)).map((name) => [
    name, short(run.metrics[name]), run.intervals[name] ? run.intervals[name].map(short).join(" to ") : "",
    ...Object.values(run.baselines).map((of) => shownNumber(of[name])),
  ]);
  return [
    make("h2", { tabindex: -1 }, nameOf(run)), make("p", {}, run.description), make("p", {}, about),
    make("p", {}, "Files: ", make("a", { href: run.href }, run.folder)), ...run.notes.map((note) => make("p", {}, note)),
    make("div", { class: "tools" }, back(), chooser("Side by side with", -1, (event) => event.target.value && goTo(`compare=${number},${event.target.value}`), number)),
    make("h3", {}, "Predictions"), predictionsTable(run),
    make("h3", {}, "Curves"), curvesOf([run]),
    make("h3", {}, "Results"), table("results on test data, with 95% intervals", ["metric", "value", "95%", ...Object.keys(run.baselines)], metrics),
    make("h3", {}, "Settings"), run.configured ? table("configuration", ["key", "value"], settings) : make("p", {}, "No configuration is kept of this run."),
  ];
}

// The records of two runs by what went in, the first field beside `set`; of equal ones the first with the first.
function matched(a, b) {
  const keys = (run) => {
    const seen = new Map();
    const { fields, rows } = run.predictions;
    const given = fields.findIndex((name) => name !== "set");
    return rows.map((row) => {
      const key = JSON.stringify([row[fields.indexOf("set")] ?? "", row[given]]);
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return `${key} ${seen.get(key)}`;
    });
  };
  const others = new Map(keys(b).map((key, n) => [key, n]));
  return keys(a).flatMap((key, n) => (others.has(key) ? [[n, others.get(key)]] : []));
}

function predictionsDiffed(a, b) {
  const pairs = matched(a, b);
  if (!pairs.length) return make("p", {}, "The two runs have no predictions on the same inputs.");
  const { fields } = a.predictions;
  const answer = (run, n) => {
    const { fields: own, rows, broken } = run.predictions;
    const joined = joinedOf(run.predictions, rows[n]);
    if (joined) return { ...joined, marks: broken[n] };
    const given = own.findIndex((name) => name !== "set");
    const text = own.flatMap((name, k) => (name === "set" || k === given ? [] : [`${name.replaceAll("_", " ")} ${rows[n][k]}`])).join(", ");
    return { text, begins: 0, completion: text, marks: [] };
  };
  let differing = 0;
  const given = fields.findIndex((name) => name !== "set");
  const rows = pairs.map(([m, n]) => {
    const [x, y] = [answer(a, m), answer(b, n)];
    const same = x.completion === y.completion;
    differing += !same;
    let from = 0;
    while (!same && from < x.completion.length && x.completion[from] === y.completion[from]) from++;
    const cell = (side) => marked(side.text, side.begins, side.marks, same ? Infinity : side.begins + from);
    const input = make("span", { class: "string" }, String(a.predictions.rows[m][given]) || "(empty)");
    return [input, cell(x), cell(y), same ? "same" : "differ", wordsOf(x.marks, x.text), wordsOf(y.marks, y.text)];
  });
  const marking = rows.some((row) => row[4] || row[5]);
  const headings = [fields[given].replaceAll("_", " "), "A", "B", "A and B", ...(marking ? ["A breaks", "B breaks"] : [])];
  const place = table(`${pairs.length} predictions of both, ${differing} differ`, headings, rows.map((row) => (marking ? row : row.slice(0, 4))));
  const only = (event) => [...place.querySelectorAll("tbody tr")].forEach((row) => { row.hidden = event.target.checked && row.cells[3].textContent === "same"; });
  return make("div", {}, make("label", {}, make("input", { type: "checkbox", onchange: only }), " only those that differ"), place);
}

function twoRuns(first, second) {
  const [a, b] = [RUNS[first], RUNS[second]];
  const [x, y] = [settingsOf(a), settingsOf(b)];
  const differ = [...new Set([...Object.keys(x), ...Object.keys(y)])].filter((key) => (x[key] ?? null) !== (y[key] ?? null));
  const names = tested(new Set([...Object.keys(a.metrics), ...Object.keys(b.metrics)]));
  const metrics = names.map((name) => {
    const [m, n] = [a.metrics[name], b.metrics[name]];
    const better = a.better[name] ?? b.better[name];
    const both = m !== undefined && n !== undefined;
    const best = !both || m === n || !better ? "" : (m < n) === (better === "low") ? "A" : "B";
    return [name, shownNumber(m), shownNumber(n), both ? short(Number((n - m).toPrecision(3))) : "-", best];
  });
  return [
    make("h2", { tabindex: -1 }, "Two runs side by side"),
    make("p", {}, "A: ", make("a", { href: `#run=${first}` }, nameOf(a))), make("p", {}, "B: ", make("a", { href: `#run=${second}` }, nameOf(b))),
    make("div", { class: "tools" }, back(), chooser("A", first, (event) => goTo(`compare=${event.target.value},${second}`), second),
      chooser("B", second, (event) => goTo(`compare=${first},${event.target.value}`), first)),
    make("h3", {}, "Differences of configuration"),
    !a.configured || !b.configured ? make("p", {}, "No configuration is kept of both runs.") : differ.length ? table(differ.length === 1 ? "1 key differs" : `${differ.length} keys differ`, ["key", "A", "B"], differ.map((key) => [key, x[key] ?? "-", y[key] ?? "-"])) : make("p", {}, "No key differs."),
    make("h3", {}, "Predictions"), predictionsDiffed(a, b),
    make("h3", {}, "Curves"), curvesOf([a, b]),
    make("h3", {}, "Results"), table("results on test data", ["metric", "A", "B", "B − A", "better"], metrics),
  ];
}

function show() {
  const [, run, first, second] = location.hash.match(/^#(?:run=(\d+)|compare=(\d+),(\d+))$/) ?? [];
  const there = (number) => number !== undefined && Number(number) < RUNS.length;
  const content = there(run) ? oneRun(Number(run)) : there(first) && there(second) ? twoRuns(Number(first), Number(second)) : null;
  const [overview, chosen] = [document.getElementById("overview"), document.getElementById("chosen")];
  const before = !chosen.hidden;
  overview.hidden = content !== null;
  chosen.hidden = content === null;
  chosen.replaceChildren(...(content ?? []));
  document.title = content ? `SeqLab: ${chosen.querySelector("h2").textContent}` : "SeqLab: runs";
  if (content) {
    scrollTo(0, 0);
    chosen.querySelector("h2").focus({ preventScroll: true });
  } else if (before) {
    document.getElementById("content").focus();
    RESULTS.forEach(hintAt);
  }
}

function prepareRuns() {
  if (RUNS.length < 2) return;
  const picked = ["", ""];
  const pick = (side) => (event) => {
    picked[side] = event.target.value;
    if (picked[0] && picked[1]) goTo(`compare=${picked.join()}`);
  };
  document.getElementById("tools").append(chooser("Run A", -1, pick(0)), chooser("beside run B", -1, pick(1)));
}

prepareTables();
drawPanels();
prepareRuns();
addEventListener("hashchange", show);
show();
