"use strict";

// Language: all texts are in the page, and the style sheet shows those of the one that <html lang> names.
const KEY = "regbench-language";
const page = document.documentElement;
const language = document.getElementById("language");

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // no storage for this page, as some browsers have it for file://
  }
}

function remember(chosen) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // then the next visit begins in English
  }
}

function show(chosen) {
  page.lang = language.value = chosen;
}

show([...language.options].map((option) => option.value).includes(remembered()) ? remembered() : "en");
language.addEventListener("change", () => {
  show(language.value);
  remember(language.value);
});

// Menu: on a narrow screen the list of studies opens and closes; a link in it closes it.
const menu = document.getElementById("menu");
const contents = document.getElementById("contents");
menu.addEventListener("click", () => menu.setAttribute("aria-expanded", String(menu.ariaExpanded !== "true")));
contents.addEventListener("click", (event) => event.target.closest("a") && menu.setAttribute("aria-expanded", "false"));

// Paper shows all but how the rows were made.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details.printed:not([open])")];
  folded.forEach((part) => { part.open = true; });
});
window.addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));

// Tables: a heading sorts upwards, then downwards, then restores the order; what has no value comes last.
function ordered(rows, column, direction) {
  const value = new Map(rows.map((row) => [row, row.cells[column].querySelector("data").value]));
  const known = rows.filter((row) => value.get(row) !== "");
  const numeric = known.every((row) => Number.isFinite(Number(value.get(row))));
  const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
  known.sort((a, b) => direction * compare(value.get(a), value.get(b)));
  return [...known, ...rows.filter((row) => value.get(row) === "")];
}

for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.querySelectorAll("th")];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[heading.getAttribute("aria-sort")];
      const direction = next === undefined ? "ascending" : next;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      if (direction) heading.setAttribute("aria-sort", direction);
      body.append(...(direction ? ordered(rows, column, direction === "ascending" ? 1 : -1) : rows));
    });
  });
}

// Whatever is wider than its frame says that it scrolls.
const watch = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    target.classList.toggle("overflowing", target.scrollWidth > target.clientWidth + 1);
  }
});
for (const frame of document.querySelectorAll(".scroll")) watch.observe(frame);
