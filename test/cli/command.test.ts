/**
 * The command as people and scripts meet it: what it does with its arguments, and
 * what it writes. What the matrix shows is tested elsewhere, and no test asks how
 * long anything takes.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { printTable } from "../../bench/figures.ts";
import type { Question } from "../../bench/question.ts";
import { guard } from "../../bench/questions/guard.ts";
import type { Results } from "../../cli/bench.ts";
import { Failure, UsageError } from "../../cli/failure.ts";
import { run } from "../../cli/program.ts";
import { openProgress } from "../../cli/progress.ts";
import { QUESTIONS } from "../../cli/questions.ts";
import { openWorkshop } from "./helpers.ts";

const { folder, cleanslab } = openWorkshop();

describe("arguments", () => {
  test.concurrent("--version is the package's", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await cleanslab(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });

  test.concurrent("--help names the commands, their options and the questions", async () => {
    const { code, stdout } = await cleanslab(["--help"]);
    expect(code).toBe(0);
    for (const name of ["observe", "bench", "watch", ...QUESTIONS.map((each) => each.name)])
      expect(stdout).toContain(name);
    for (const option of ["--full", "--quick", "--out", "--json", "--only"]) expect(stdout).toContain(option);
    for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  test.for([
    [["obsreve"], 'no command called "obsreve"'],
    [[], "say bench, observe or watch"],
    [["observe", "--onyl", "stale"], "--onyl"],
    [["observe", "--only", "no such probe"], "no such probe"],
    [["observe", "stale"], "--only chooses probes"],
    [["observe", "--full"], "observe has no --full"],
    [["bench", "no-such-question"], "one-lease"],
    [["bench", "--only", "one-lease"], "bench has no --only"],
    [["bench", "--out"], "--out"],
  ] as const)("%j is a mistake, and the error says which", async ([args, words]) => {
    const error: unknown = await run(args, QUESTIONS).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).toContain(words);
  });

  test.concurrent.for([[[]], [["bench", "no-such-question"]], [["observe", "--onyl", "stale"]]] as const)(
    "a mistake ends with exit code 2, nothing on standard output and no stack: %j",
    async ([args]) => {
      const { code, stdout, stderr } = await cleanslab(args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain("help");
      expect(stderr).not.toMatch(/^\s+at /m);
    },
  );
});

describe("observe", () => {
  test.concurrent("prints the matrix of the probes that --only names", async () => {
    const { code, stdout, stderr } = await cleanslab(["observe", "--only", "bytes at hand-out"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^\d+ probes\.$/m);
    expect(stdout).toMatch(/before-\s/);
    expect(stdout).toContain("✗ worse");
  });

  test.concurrent("--json writes all that was seen for machines", async () => {
    const { code, stdout } = await cleanslab(["observe", "--only", "bytes at hand-out", "--json"]);
    expect(code).toBe(0);
    const { machine, subjects, rows, counts, threads } = JSON.parse(stdout);
    expect(machine.node).toBe(process.version);
    for (const { probe, cells } of rows) {
      expect(probe).toContain("bytes at hand-out");
      expect([cells["array pool"].verdict, cells["before-reuse"].verdict]).toEqual(["worse", "same"]);
    }
    expect(rows.length).toBeGreaterThan(0);
    expect(Object.keys(counts)).toEqual(subjects);
    const verdicts = threads.rows.map(({ cells }: (typeof threads.rows)[0]) => cells["SharedArena"].verdict);
    expect(verdicts).toEqual(["same"]);
  });
});

/** A question that is answered at once, or not. */
function instant(run: () => number): Question {
  return {
    name: "instant",
    question: "How long is nothing?",
    rounds: { quick: 1, full: 1 },
    cases: () => [],
    run,
    measurements: () => [{ rival: "nothing", at: {}, metric: "time", unit: "ns", value: run() }],
    tables: ([figure]) => [{ title: "Nothing", head: ["", "ns"], rows: [["nothing", String(figure?.value)]] }],
  };
}

const fails = instant(() => {
  throw new Error("no memory");
});

describe("bench", () => {
  test.for([
    [
      [instant(() => 7)],
      [],
      0,
      /^cleanslab .*Node v.*\n.*\n\nHow long is nothing\?.*\n\nNothing\n\n\s+ns\n.*\nnothing\s+7\n$/s,
    ],
    [[instant(() => 7)], ["--json"], 0, /^{\n.*"value": 7\n.*}\n$/s],
    [[fails, instant(() => 7)], [], 1, /Error: no memory.*nothing\s+7\n$/s],
    [[fails], ["--json"], 1, /"error": "Error: no memory/],
  ] as const)("what it says, and its exit code: %#", async ([questions, args, code, words]) => {
    let said = "";
    const write = (text: unknown): boolean => {
      said += text;
      return true;
    };
    const spies = [
      vi.spyOn(process.stdout, "write").mockImplementation(write),
      vi.spyOn(process.stderr, "write").mockImplementation(() => true),
      vi.spyOn(console, "log").mockImplementation((text) => write(`${text}\n`)),
      vi.spyOn(console, "error").mockImplementation((text) => write(`${text}\n`)),
    ];
    const ended = await run(["bench", ...args], questions).finally(() => {
      for (const spy of spies) spy.mockRestore();
    });
    expect(ended).toBe(code);
    expect(said).toMatch(words);
  });

  test("--out writes the figures, and makes the folders on the way", async () => {
    const path = join(folder, "out", "results.json");
    vi.spyOn(process.stdout, "write").mockReturnValueOnce(true);
    expect(await run(["bench", "--json", "--out", path], [instant(() => 7)])).toBe(0);
    const { machine, quick, results } = JSON.parse(readFileSync(path, "utf8")) as Results;
    expect({ quick, node: machine.node }).toEqual({ quick: true, node: process.version });
    expect(results.map(({ measurements }) => measurements[0]?.value)).toEqual([7]);
  });

  test("a file that cannot be written is a failure", async () => {
    const blocked = join(folder, "blocked");
    writeFileSync(blocked, "");
    const error = await run(["bench", "--json", "--out", join(blocked, "r.json")], [instant(() => 7)]).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(Failure);
    expect(String(error)).toContain(`cannot write ${blocked}`);
  });
});

test.each([
  [101, 101.5, "under 2 %"],
  [101, 103, "not under 2 %"],
  [103, 101, "too noisy here"],
])("the guards' verdict with a control of %s and a guard of %s: %s", (control, guarded, verdict) => {
  const ns = { "nothing watched": 100, "nothing watched, again": control, "guardEvery: 1000": guarded };
  const figures = Object.entries(ns).map(([rival, value]) => ({
    rival,
    at: {},
    metric: "time",
    value,
    unit: "ns" as const,
  }));
  const verdicts = guard.tables(figures)[0]?.rows.map((row) => row.at(-1));
  expect(verdicts).toEqual(["", control === 103 ? "too noisy: ±3 %" : "", verdict]);
});

test("a table has its words to the left and its figures to the right", () => {
  const table = {
    title: "Lengths",
    head: ["", "ns", "± %"],
    rows: [
      ["short", "1.5", "20"],
      ["very long", "1200", "3"],
    ],
  };
  expect(printTable(table).split("\n")).toEqual([
    "Lengths",
    "",
    "             ns  ± %",
    "─────────  ────  ───",
    "short       1.5   20",
    "very long  1200    3",
  ]);
});

test("progress is one line on a terminal, and a line a step elsewhere", () => {
  const written: string[] = [];
  const output = (isTTY: boolean) =>
    ({ isTTY, columns: 80, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream;
  for (const isTTY of [true, false]) {
    const progress = openProgress(output(isTTY));
    progress.step("churn", 0.5);
    progress.update(0.504);
    progress.update(0.51);
    progress.clear();
  }
  expect(written).toEqual(["\r\x1b[K50 %  churn", "\r\x1b[K51 %  churn", "\r\x1b[K", "churn …\n"]);
});
