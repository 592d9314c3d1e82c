/** A matrix for a person: one sign per cell, then what was seen wherever it is not what fresh shows. */

import { type Matrix, type Row, VERDICTS, type Verdict } from "./matrix.ts";

const SIGNS: Record<Verdict, string> = {
  same: "·",
  better: "+",
  differs: "~",
  worse: "✗",
  untried: "?",
  failed: "!",
};

/** Columns that everything stays within. */
const WIDTH = 110;

const LEGEND = "· same    + better    ~ something else, as harmless    ✗ worse    ? not tried    ! the probe failed";

export function printMatrix(matrix: Matrix): string {
  return [table(matrix), `beside a fresh ${matrix.beside}:\n  ${LEGEND}`, differences(matrix)].join("\n\n");
}

function table({ subjects, rows, counts }: Matrix): string {
  const heads = subjects.map((subject) => subject.split(/(?<=[ /-])|(?=U)/).map((word) => word.trim()));
  const height = Math.max(...heads.map(({ length }) => length));
  const widths = heads.map((words) => Math.max(...words.map(({ length }) => length)));
  const first = Math.max(...rows.map(({ probe }) => probe.length)) + 2;
  const line = (name: string, cells: readonly string[]): string =>
    [name.padEnd(first), ...cells.map((cell, each) => centred(cell, widths[each] ?? 0))].join("  ").trimEnd();
  const lines = Array.from({ length: height }, (_, each) =>
    line(
      each === height - 1 ? "probe" : "",
      heads.map((words) => words[each - height + words.length] ?? ""),
    ),
  );
  let theme = "";
  for (const row of rows) {
    if (row.theme !== theme) lines.push("", row.theme);
    theme = row.theme;
    lines.push(
      line(
        `  ${row.probe}`,
        subjects.map((subject) => signOf(row, subject)),
      ),
    );
  }
  lines.push("", `${rows.length} probes`);
  for (const verdict of VERDICTS) {
    const numbers = subjects.map((subject) => counts[subject]?.[verdict] ?? 0);
    if (numbers.some((number) => number > 0)) lines.push(line(`  ${SIGNS[verdict]} ${verdict}`, numbers.map(String)));
  }
  return lines.join("\n");
}

function centred(cell: string, width: number): string {
  return cell.padStart(Math.ceil((width + cell.length) / 2)).padEnd(width);
}

export function signOf({ cells }: Row, subject: string): string {
  const verdict = cells[subject]?.verdict;
  return verdict === undefined ? "" : SIGNS[verdict];
}

/** Per probe, what fresh shows and then each other thing seen, with all who showed it. */
function differences({ rows }: Matrix): string {
  return rows
    .map((row) => [row, othersOf(row)] as const)
    .filter(([, others]) => others.length > 0)
    .map(([row, others]) => [row.probe, `  · ${row.fresh} ← fresh`, ...others].join("\n"))
    .join("\n\n");
}

function othersOf({ cells }: Row): string[] {
  const bySight = new Map<string, string[]>();
  for (const [subject, { verdict, seen }] of Object.entries(cells)) {
    if (verdict === "same") continue;
    const sight = `${SIGNS[verdict]} ${seen}`;
    bySight.set(sight, [...(bySight.get(sight) ?? []), subject]);
  }
  return [...bySight].map(([sight, subjects]) => withSubjects(`  ${sight} ←`, subjects.join("; ")));
}

function withSubjects(sight: string, subjects: string): string {
  return `${sight}${sight.length + subjects.length < WIDTH ? " " : "\n      "}${subjects}`;
}
