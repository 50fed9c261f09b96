// Two models beside each other: the rows of the table follow the two choices.
const known = JSON.parse(document.getElementById("scores").textContent);
const [one, other] = [document.getElementById("one"), document.getElementById("other")];
const two = (value) => (Math.abs(value) < 0.005 ? 0 : value).toFixed(2);
const told = (mean) => (mean ? `${two(mean[0])} (${two(mean[1])} to ${two(mean[2])})` : "no value");
function compare() {
  const [left, right] = [known[one.value], known[other.value]];
  for (const row of document.querySelectorAll("#pair tbody tr")) {
    const [a, b] = [left[row.dataset.key], right[row.dataset.key]];
    const apart = a && b && (a[1] > b[2] || b[1] > a[2]);
    const texts = [told(a), told(b), a && b ? two(a[0] - b[0]) : "", a && b ? (apart ? "apart" : "overlap") : ""];
    texts.forEach((text, place) => (row.cells[place + 1].textContent = text));
  }
  document.getElementById("left").textContent = one.selectedOptions[0].text;
  document.getElementById("right").textContent = other.selectedOptions[0].text;
  document.getElementById("said").textContent =
    `${one.selectedOptions[0].text} beside ${other.selectedOptions[0].text}`;
}
one.addEventListener("change", compare);
other.addEventListener("change", compare);
compare();
