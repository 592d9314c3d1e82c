/**
 * The command as people and scripts meet it: what it does with its arguments, and
 * what it writes. What the matrix shows is tested elsewhere, and no test asks how
 * long anything takes.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Measurement } from "../../bench/question.ts";
import { QUESTIONS } from "../../bench/questions/index.ts";
import { UsageError } from "../../cli/failure.ts";
import { run } from "../../cli/program.ts";
import { openProgress } from "../../cli/progress.ts";
import { parseResults } from "../../cli/results.ts";
import { printTable } from "../../cli/tables.ts";
import { answer, exampleResults, leases, openWorkshop } from "./helpers.ts";

const { folder, cleanslab, file } = openWorkshop();

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
    for (const option of ["--full", "--quick", "--out", "--json", "--from", "--only"]) expect(stdout).toContain(option);
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
    [["bench", "--from", "none.json"], "cannot read none.json: there is no such file"],
  ] as const)("%j is a mistake, and the error says which", async ([args, words]) => {
    const error: unknown = await run(args).catch((thrown: unknown) => thrown);
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

  test.concurrent("a file that cannot be written is a failure, exit code 1, without a stack", async () => {
    const blocked = file("blocked", "");
    const results = file("for-blocked.json", JSON.stringify(exampleResults()));
    const { code, stderr } = await cleanslab(["bench", "--from", results, "--out", join(blocked, "results.json")]);
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot write ${blocked}`);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe("observe", () => {
  test.concurrent("prints the matrix of the probes that --only names", async () => {
    const { code, stdout } = await cleanslab(["observe", "--only", "bytes at hand-out"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/before-\s/);
    expect(stdout).toContain("✗ worse");
  });

  test.concurrent("--json writes all that was seen for machines", async () => {
    const { code, stdout } = await cleanslab(["observe", "--only", "bytes at hand-out", "--json"]);
    expect(code).toBe(0);
    const { machine, subjects, rows, counts } = JSON.parse(stdout);
    expect(machine.node).toBe(process.version);
    for (const { probe, cells } of rows) {
      expect(probe).toContain("bytes at hand-out");
      expect([cells["array pool"].verdict, cells["before-reuse"].verdict]).toEqual(["worse", "same"]);
    }
    expect(rows.length).toBeGreaterThan(0);
    expect(Object.keys(counts)).toEqual(subjects);
  });
});

describe("bench", () => {
  test("measures, prints tables, and writes the figures that --from shows again", async () => {
    const path = join(folder, "out", "results.json");
    const { code, stdout, stderr } = await cleanslab(["bench", "aliasing", "--out", path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "aliasing …\n" });
    expect(stdout).toContain("from lease to lease");
    const { machine, quick, results } = parseResults(JSON.parse(readFileSync(path, "utf8")), path);
    expect({ quick, node: machine.node }).toEqual({ quick: true, node: process.version });
    expect(results.map(({ name }) => name)).toEqual(["aliasing"]);
    for (const { value, unit } of results[0]?.measurements ?? []) if (unit === "ns") expect(value).toBeGreaterThan(0);
    const again = await cleanslab(["bench", "--from", path]);
    expect(again.stdout.trim()).toBe(stdout.trim());
  });

  test.concurrent("--json leaves standard output to machines, and nothing is written that was not asked for", async () => {
    const results = exampleResults();
    const path = file("earlier.json", JSON.stringify(results));
    const { code, stdout } = await cleanslab(["bench", "--from", path, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(results);
    expect(existsSync(join(folder, "results.json"))).toBe(false);
  });

  test.concurrent("figures of a question that this version does not ask have a plain table", async () => {
    const path = file("tomorrow.json", JSON.stringify(exampleResults(answer("of-tomorrow", leases()))));
    const { code, stdout } = await cleanslab(["bench", "--from", path]);
    expect(code).toBe(0);
    expect(stdout).toContain("What of of-tomorrow?");
    expect(stdout).toMatch(/before-reuse, acquire\s+1 KiB, alive 1\s+time\s+32\.0 ns/);
  });

  test.concurrent("a question that could not be answered says why, and the command fails", async () => {
    const failed = { ...answer("one-lease", []), error: "Error: no memory" };
    const path = file("failed.json", JSON.stringify(exampleResults(failed)));
    const { code, stderr } = await cleanslab(["bench", "--from", path]);
    expect(code).toBe(1);
    expect(stderr).toContain("one-lease could not be answered: Error: no memory");
  });
});

test.for([
  [{}, '"machine" does not say'],
  [[], "no object"],
  [{ ...exampleResults(), quick: 1 }, '"quick" is neither'],
  [{ ...exampleResults(), results: [{ name: "x" }] }, '"results[0]" has no'],
  [{ ...exampleResults(), results: [answer("x", [{ rival: "y" } as Measurement])] }, 'measurement 0 of "x"'],
] as const)("a file of results that is not one is refused by what is wrong with it: %#", ([value, words]) => {
  expect(() => parseResults(value, "r.json")).toThrow(UsageError);
  expect(() => parseResults(value, "r.json")).toThrow(words);
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
