"use strict";
// The page is complete without this: it adds sorting and a filter to the table of samples.
(() => {
  const table = document.querySelector(".samples"), body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells], rows = [...body.rows];
  const order = new Intl.Collator(undefined, { numeric: true }).compare;
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  const value = (row, k) => {
    const cell = row.cells[k];
    if ("sort" in cell.dataset) return Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    if (text === "–") return null;
    return cell.className === "n" ? Number(text.replace(/[,%]/g, "")) : text;
  };
  const sort = (k, sign) => {
    const keys = new Map(rows.map((row) => [row, value(row, k)]));
    const compare = (a, b) => (typeof a === "number" ? a - b : order(a, b));
    body.append(...[...rows].sort((one, other) => {
      const a = keys.get(one), b = keys.get(other);
      if (a === null || b === null) return (a === null) - (b === null); // last in both directions
      return sign * compare(a, b);
    }));
    headers.forEach((header, i) => {
      if (header.hasAttribute("aria-sort")) header.setAttribute("aria-sort", i !== k ? "none" : sign > 0 ? "ascending" : "descending");
    });
  };
  headers.forEach((header, k) => {
    if (!header.hasAttribute("aria-sort")) return;
    const button = document.createElement("button");
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(k, header.getAttribute("aria-sort") === "ascending" ? -1 : 1));
    header.append(button);
  });

  const tools = document.querySelector(".filter");
  const field = tools.querySelector("input"), said = tools.querySelector("output");
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      n += !row.hidden;
    }
    said.textContent = words.length ? `${n} of ${rows.length}` : "";
  };
  field.addEventListener("input", filter);
  tools.hidden = false;
})();
