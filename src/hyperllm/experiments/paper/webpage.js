// Sorts the rows of a table by the column whose button is pressed: best first, worst first, then as printed.
// Rows without a value in that column stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const printed = [...body.rows];
  const heads = [...table.querySelectorAll("th[aria-sort]")];
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const first = head.dataset.first;
      const turned = first === "ascending" ? "descending" : "ascending";
      const next = { none: first, [first]: turned, [turned]: "none" }[head.getAttribute("aria-sort")];
      for (const each of heads) each.setAttribute("aria-sort", each === head ? next : "none");
      table.classList.toggle("sorted", next !== "none");
      body.append(...sorted(printed, Number(head.dataset.column), next));
    });
  }
}

function sorted(rows, column, direction) {
  if (direction === "none") return rows;
  const value = (row) => row.cells[column].dataset.value;
  const known = rows.filter((row) => value(row) !== undefined);
  const isNumber = known.every((row) => Number.isFinite(Number(value(row))));
  const order = isNumber ? (a, b) => value(a) - value(b) : (a, b) => value(a).localeCompare(value(b));
  known.sort((a, b) => (direction === "ascending" ? order(a, b) : order(b, a)));
  return [...known, ...rows.filter((row) => value(row) === undefined)];
}
