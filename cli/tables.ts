/** Tables for a terminal, and a plain one for figures whose question is not known here. */

import type { Measurement, Table } from "../bench/question.ts";
import { QUESTIONS } from "../bench/questions/index.ts";
import { formatLength, formatNs } from "../bench/tables.ts";
import type { Answer } from "./results.ts";

/** As the question lays them out. */
export function tablesOf({ name, measurements }: Answer): Table[] {
  if (measurements.length === 0) return [];
  const question = QUESTIONS.find((each) => each.name === name);
  return question?.tables(measurements) ?? [plainTable(measurements)];
}

/** Every figure a line, with all that is known of it. */
export function plainTable(measurements: readonly Measurement[]): Table {
  return {
    title: "All figures",
    head: ["", "where", "what", "figure", "± %", "samples"],
    rows: measurements.map(({ rival, at, metric, unit, value, spread, samples }) => [
      rival,
      Object.entries(at).map(formatCircumstance).join(", "),
      metric,
      formatFigure(value, unit),
      spread === undefined || !Number.isFinite(spread) ? "" : (spread * 100).toFixed(0),
      samples === undefined ? "" : String(samples),
    ]),
  };
}

function formatCircumstance([name, value]: [string, number | string]): string {
  if (typeof value === "number" && /bytes?(length)?$/i.test(name)) return formatLength(value);
  return `${name} ${typeof value === "number" ? value.toLocaleString("en") : value}`;
}

export function formatFigure(value: number, unit: Measurement["unit"]): string {
  if (!Number.isFinite(value)) return "–";
  if (unit === "bytes") return formatLength(value);
  if (unit === "ns") return `${formatNs(value)} ns`;
  const digits = unit === "count" || unit === "per second" || Math.abs(value) >= 100 ? 0 : 2;
  const figure = value.toLocaleString("en", { maximumFractionDigits: digits });
  return unit === "×" ? `${figure}×` : unit === "count" ? figure : `${figure} ${unit}`;
}

/** Columns under their heads, words to the left and figures to the right. */
export function printTable({ title, head, rows }: Table): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [title, "", line(head), rule, ...rows.map(line)].join("\n");
}
