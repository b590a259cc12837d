"use strict";

/* Tables: sorted by a click on a heading, filtered by words. */

function sortValue(text) {
  const clock = text.match(/^(\d+):(\d\d):(\d\d)/);
  if (clock) return clock[1] * 3600 + clock[2] * 60 + Number(clock[3]);
  const number = text.match(/^[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?(?=$|[\s/])/i);
  return number ? Number(number[0].replaceAll(",", "")) : text.toLowerCase();
}

function compare(a, b) {
  const empty = [a, b].map((value) => value === "" || value === "-");
  if (empty[0] || empty[1]) return empty[0] - empty[1];
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-sort]");
  if (!button) return;
  const heading = button.closest("th");
  const body = heading.closest("table").tBodies[0];
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentNode.children) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const column = heading.cellIndex;
  const keyed = [...body.rows].map((row) => [sortValue((row.cells[column]?.textContent ?? "").trim()), row]);
  const missing = (value) => value === "" || value === "-";
  keyed.sort(([a], [b]) => (descending && !missing(a) && !missing(b) ? -compare(a, b) : compare(a, b)));
  body.append(...keyed.map(([, row]) => row));
});

document.addEventListener("input", (event) => {
  const id = event.target.dataset?.filter;
  if (!id) return;
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  const table = document.getElementById(id);
  let shown = 0;
  for (const row of table.querySelector("tbody").rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  table.querySelector(".none").hidden = shown > 0;
});

/* Plots: unpacked when the first comes into view, each drawn when it does. */

const plots = JSON.parse(document.getElementById("plots-data")?.textContent ?? "{}");
const drawings = [...document.querySelectorAll("[data-plot]")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const PAPER = 690; // pixels across A4 or Letter between margins
let library = null;

async function unpack() {
  const packed = document.getElementById("plotly-packed").textContent;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function themed(layout, printed) {
  const style = getComputedStyle(document.documentElement);
  const [text, line] = printed ? ["#000", "#ccc"] : ["--text", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axes = Object.fromEntries(
    ["xaxis", "yaxis"].map((name) => [name, { automargin: true, gridcolor: line, zerolinecolor: line, linecolor: line, ...layout[name] }]),
  );
  return {
    ...layout,
    ...axes,
    font: { family: "system-ui, sans-serif", size: 12, color: text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 48, r: 16, t: 24, b: 40 },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", itemwidth: 30, traceorder: "normal" },
    hoverlabel: { align: "left" },
    hovermode: "closest",
    showlegend: layout.showlegend ?? false,
  };
}

async function draw(element, printed = false) {
  library ??= unpack();
  try {
    await library;
  } catch (error) {
    element.textContent = `Plots need a browser of 2023 or later (${error}).`;
    return;
  }
  const id = element.dataset.plot;
  const chosen = document.querySelector(`[data-variants="${id}"]`)?.value ?? 0;
  const { data, layout } = plots[id][chosen];
  const options = { responsive: true, displaylogo: false, typesetMath: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const size = printed ? { width: element.closest(".wide") ? PAPER : PAPER / 2 - 16, height: 300 } : { autosize: true };
  await Plotly.react(element, structuredClone(data), { ...themed(layout, printed), ...size }, options);
  if (element.dataset.drawn) return;
  element.dataset.drawn = "yes";
  element.on("plotly_click", ({ points }) => {
    const target = points[0].customdata;
    if (typeof target === "string") location.hash = target;
  });
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "300px" },
);
drawings.forEach((element) => watcher.observe(element));

document.addEventListener("change", (event) => {
  const id = event.target.dataset?.variants;
  if (id) draw(document.querySelector(`[data-plot="${id}"]`));
});
const redraw = (printed) => drawings.filter((element) => printed || element.dataset.drawn).forEach((element) => draw(element, printed));
dark.addEventListener("change", () => redraw(false));
addEventListener("beforeprint", () => redraw(true));
addEventListener("afterprint", () => redraw(false));
