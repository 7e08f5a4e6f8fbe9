"use strict";

// Language: both texts are in the page, and the style sheet shows the one that <html lang> names.
const LANGUAGE = "regbench-language";
const page = document.documentElement;

function remembered() {
  try {
    return localStorage.getItem(LANGUAGE);
  } catch {
    return null; // no storage for this page, as some browsers have it for file://
  }
}

function remember(language) {
  try {
    localStorage.setItem(LANGUAGE, language);
  } catch {
    // then the next visit begins in English
  }
}

if (remembered() === "zh-Hant") page.lang = "zh-Hant";
document.getElementById("language").addEventListener("click", () => {
  page.lang = page.lang === "en" ? "zh-Hant" : "en";
  remember(page.lang);
});

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
