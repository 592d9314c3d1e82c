/**
 * Results as one HTML page that opens from disk: no script, no network, nothing
 * beside it. And the same charts as files of their own.
 */

import type { Table } from "../../bench/question.ts";
import type { Answer, Results } from "../results.ts";
import { plainTable, tablesOf } from "../tables.ts";
import type { Chart } from "./chart.ts";
import { chartsOf } from "./charts.ts";
import { COLOURS } from "./colours.ts";
import { drawAlone, drawInPage, NARROW, WIDE } from "./draw.ts";
import { escapeXml } from "./escape.ts";

const STYLE = `${COLOURS}
*{box-sizing:border-box}
body{margin:0 auto;max-width:50rem;padding:1.5rem 1.25rem 4rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0 1rem}
h2{font-size:1.2rem;line-height:1.3;margin:3.5rem 0 .25rem;padding-top:1rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.75rem 0 .5rem}
p,dd,li{max-width:42rem}
.soft,figcaption,dt{color:var(--soft);font-size:.875rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0;font-size:.9rem}
dd{margin:0;overflow-wrap:anywhere}
nav a{margin-right:1rem}
a{color:var(--before-reuse)}
figure{margin:1rem 0 2rem}
figure svg{max-width:100%;height:auto;display:block}
svg.narrow{display:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;white-space:nowrap}
caption{text-align:left;font-weight:600;padding:.5rem 0 .25rem;white-space:normal}
th,td{padding:.2rem .75rem .2rem 0;text-align:right;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left}
thead th{color:var(--soft);font-weight:500}
tbody th{font-weight:400}
summary{cursor:pointer;color:var(--soft);margin-top:1rem}
pre{overflow-x:auto;white-space:pre-wrap}
@media(max-width:640px){body{padding:1rem .9rem 3rem}svg.wide{display:none}svg.narrow{display:block}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}}`;

const METHOD = [
  "One cycle is shorter than a clock can tell, so what is timed is a batch of hundreds.",
  "Rivals take turns in one process, round by round, in an order that turns: the machine changes from second to second, ratios within one run do not. What one process can be in only once, its peak memory or its collections, is measured in processes of their own.",
  "Figures are medians. ± is half the distance between the quartiles over the median; the thin lines and pale bands in the charts show it.",
  "Each mode runs in a copy of the library of its own, as in a program with one arena.",
];

export function renderPage(results: Results): string {
  const { machine, quick } = results;
  const sections = results.results.map(renderAnswer).join("\n");
  const links = results.results.map(({ name }) => `<a href="#${escapeXml(name)}">${escapeXml(name)}</a>`).join(" ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cleanslab bench, ${escapeXml(machine.date)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Reuse of buffers, measured against fresh allocation</h1>
${renderMachine(results)}
<p class="soft">Absolute times are this machine's; compare within one run.${
    quick
      ? " This is the quick form, with fewer cases and rounds: <code>cleanslab bench --full</code> is the other."
      : ""
  }</p>
<nav>${links}</nav>
${sections}
<h2 id="method">How it was measured</h2>
<ul>${METHOD.map((each) => `<li>${escapeXml(each)}</li>`).join("")}</ul>
</main>
</body>
</html>
`;
}

function renderMachine({ machine, quick }: Results): string {
  const { version, commit, node, v8, system, processor, cores, date } = machine;
  const facts = {
    Library: `cleanslab ${version}${commit === null ? "" : `, commit ${commit}`}`,
    Node: `${node}, V8 ${v8}`,
    Processor: `${processor}, ${cores} cores, ${system}`,
    Date: date,
    Form: quick ? "quick" : "full",
  };
  const rows = Object.entries(facts).map(([name, fact]) => `<dt>${name}</dt><dd>${escapeXml(fact)}</dd>`);
  return `<dl>${rows.join("")}</dl>`;
}

function renderAnswer(answer: Answer): string {
  const { name, question, seconds, measurements, error } = answer;
  const head = `<h2 id="${escapeXml(name)}">${escapeXml(question)}</h2>
<p class="soft"><code>cleanslab bench ${escapeXml(name)}</code>, ${seconds} s</p>`;
  if (error !== undefined)
    return `<section>${head}<p>It could not be answered:</p><pre>${escapeXml(error)}</pre></section>`;
  const charts = chartsOf(name, measurements).map(renderChart);
  const tables = tablesOf(answer);
  const plain = plainTable(measurements);
  const isShown = tables.some(({ title }) => title === plain.title);
  const all = isShown
    ? ""
    : `<details><summary>All ${measurements.length} figures, with spread and samples</summary>${renderTable(plain)}</details>`;
  return `<section>${head}${charts.join("\n")}${tables.map(renderTable).join("\n")}${all}</section>`;
}

function renderChart(chart: Chart): string {
  return `<figure><h3>${escapeXml(chart.title)}</h3>${drawInPage(chart, WIDE)}${drawInPage(chart, NARROW)}</figure>`;
}

function renderTable({ title, head, rows }: Table): string {
  const cells = (words: readonly string[], tag: (column: number) => string): string =>
    words.map((word, column) => `<${tag(column)}>${escapeXml(word)}</${tag(column).split(" ")[0]}>`).join("");
  const body = rows.map((row) => `<tr>${cells(row, (column) => (column === 0 ? 'th scope="row"' : "td"))}</tr>`);
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escapeXml(title)}"><table><caption>${escapeXml(title)}</caption>
<thead><tr>${cells(head, () => 'th scope="col"')}</tr></thead>
<tbody>${body.join("\n")}</tbody></table></div>`;
}

/** Each chart as a file: its name without the ending, and its text. */
export function renderCharts({ machine, quick, results }: Results): Map<string, string> {
  const { node, processor, date, commit } = machine;
  const made = `Node ${node}, ${processor}, ${date}${commit === null ? "" : `, ${commit}`}${quick ? ", the quick form" : ""}. Medians.`;
  const charts = results.flatMap(({ name, measurements }) => chartsOf(name, measurements));
  return new Map(charts.map((chart) => [chart.id, drawAlone(chart, made)]));
}
