"use strict";
// Tables: sorting, filtering, choosing columns. The other scripts draw figures and show single runs.

const DATA = JSON.parse(document.getElementById("data").textContent);

// An element with attributes and children; a text child can only become text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

// Pressed again, a heading sorts the other way round. Cells without a value stay last.
function sortBy(heading) {
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const number = (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : null);
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [row.cells[column].dataset.sort ?? row.cells[column].textContent, row]);
  keyed.sort(([x], [y]) => {
    if (x === "" || y === "") return (x === "") - (y === "");
    const [m, n] = [number(x), number(y)];
    const order = m !== null && n !== null ? m - n : x.localeCompare(y, undefined, { numeric: true });
    return down ? -order : order;
  });
  body.append(...keyed.map(([, row]) => row));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("th button");
  if (button) sortBy(button.parentElement);
});

const RESULTS = [...document.querySelectorAll(".wide.results")];

// Rows that have every word of the filter.
function filtering(status) {
  const rows = RESULTS.flatMap((place) => [...place.querySelectorAll("tbody tr")]);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  return (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = 0;
    rows.forEach((row, place) => {
      row.hidden = !words.every((word) => texts[place].includes(word));
      kept += !row.hidden;
    });
    status.textContent = words.length ? `${kept} of ${rows.length} rows` : "";
    RESULTS.forEach(hintAt);
  };
}

// The headings of the metrics that the reader left in each table.
const CHOSEN = RESULTS.map(
  (place) => new Set([...place.querySelectorAll("th[data-metric]")].map((heading) => heading.textContent)),
);

function columnsOf(place, number) {
  const headings = [...place.querySelectorAll("th[data-metric]")];
  const choice = (heading) => {
    const toggle = (event) => {
      const shown = event.target.checked;
      for (const row of place.querySelector("table").rows) row.cells[heading.cellIndex].hidden = !shown;
      CHOSEN[number][shown ? "add" : "delete"](heading.textContent);
      drawPanels();
      hintAt(place);
    };
    return make("label", {}, make("input", { type: "checkbox", checked: true, onchange: toggle }), ` ${heading.textContent}`);
  };
  const caption = place.querySelector("caption").textContent;
  const legend = make("legend", {}, `metrics shown, ${caption}`);
  return make("details", { class: "columns" }, make("summary", {}, "Choose metrics"), make("fieldset", {}, legend, headings.map(choice)));
}

// Says that there is more to the right, as long as there is.
function hintAt(place) {
  const left = place.scrollWidth - place.clientWidth - place.scrollLeft;
  place.classList.toggle("more", left > 2);
  const hint = place.previousElementSibling;
  if (hint?.classList.contains("hint")) hint.hidden = place.scrollWidth <= place.clientWidth + 2;
}

function prepareTables() {
  RESULTS.forEach((place, number) => {
    place.before(columnsOf(place, number), make("p", { class: "hint" }, "More columns to the right: scroll, or choose fewer metrics."));
    place.addEventListener("scroll", () => hintAt(place), { passive: true });
    hintAt(place);
  });
  addEventListener("resize", () => RESULTS.forEach(hintAt));
  const status = make("span", { role: "status" });
  const filter = make("input", { type: "search", id: "filter", oninput: filtering(status), placeholder: "such as: L5 lstm lr=0.1" });
  document.getElementById("tools").append(make("label", {}, "Rows with these words", filter), status);
}
