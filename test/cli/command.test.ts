/**
 * The command as people and scripts meet it: what it does with its arguments, and
 * what it writes. What the matrix shows is observe.test.ts; how long anything takes
 * is nobody's business here.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CommanderError } from "commander";
import { describe, expect, test } from "vitest";
import { QUESTIONS } from "../../bench/questions.ts";
import { UsageError } from "../../cli/failure.ts";
import { createProgram } from "../../cli/program.ts";
import { parseResults } from "../../cli/results.ts";
import { exampleResults, openWorkshop } from "./helpers.ts";

const { folder, cleanslab, file } = openWorkshop();

describe("arguments", () => {
  test.concurrent("--version is the package's", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await cleanslab(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });

  test.concurrent("--help names the commands, and each command's its options", async () => {
    const { code, stdout } = await cleanslab(["--help"]);
    expect(code).toBe(0);
    for (const name of ["observe", "bench", "advise"]) expect(stdout).toContain(name);
    const bench = await cleanslab(["bench", "--help"]);
    expect(bench.code).toBe(0);
    for (const { name } of QUESTIONS) expect(bench.stdout).toContain(name);
    for (const option of ["--full", "--out", "--json", "--from", "--svg"]) expect(bench.stdout).toContain(option);
  });

  test.for([
    [["obsreve"], "Did you mean observe"],
    [["observe", "--onyl", "stale"], "--onyl"],
    [["observe", "--only", "no such probe"], "no such probe"],
    [["bench", "no-such-question"], "lease-cycle"],
    [["bench", "--json", "lease-cycle"], "put --json after"],
    [["bench", "--from", "none.json"], "cannot read none.json: there is no such file"],
    [["advise", "none.json"], "cannot read none.json: there is no such file"],
    [["advise", "--segment-bytes", "1000"], "a power of two"],
    [["advise", "one.json", "two.json"], "too many arguments"],
  ] as const)("%j is a mistake, and the error says which", async ([args, word]) => {
    const complaints: string[] = [];
    const program = createProgram(
      () => {},
      (text) => complaints.push(text),
    );
    const error: unknown = await program.parseAsync(args, { from: "user" }).catch((thrown) => thrown);
    expect([error instanceof UsageError, error instanceof CommanderError]).toContain(true);
    expect(`${error}${complaints.join("")}`).toContain(word);
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

  test.concurrent("what cannot be written is a failure, exit code 1, without a stack", async () => {
    const blocked = file("blocked", "");
    const results = file("for-blocked.json", JSON.stringify(exampleResults()));
    const { code, stderr } = await cleanslab(["bench", "--from", results, "--out", join(blocked, "out")]);
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot write ${blocked}`);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe("observe", () => {
  test.concurrent("prints the matrix of the probes that --only names, and writes it for machines", async () => {
    const path = join(folder, "matrix.json");
    const { code, stdout } = await cleanslab(["observe", "--only", "bytes at hand-out", "--json", path]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/before-\s/);
    expect(stdout).toContain("✗ worse");
    const { machine, subjects, rows, counts } = JSON.parse(readFileSync(path, "utf8"));
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
  test("measures, prints tables, and leaves JSON, a page and charts behind", async () => {
    const out = join(folder, "out");
    const { code, stdout, stderr } = await cleanslab(["bench", "lease-cycle", "--out", out, "--svg", join(out, "svg")]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "lease-cycle …\n" });
    expect(stdout).toContain("before-reuse, acquire");
    const path = join(out, "results.json");
    const { machine, quick, results } = parseResults(JSON.parse(readFileSync(path, "utf8")), path);
    expect({ quick, node: machine.node }).toEqual({ quick: true, node: process.version });
    expect(results.map(({ name }) => name)).toEqual(["lease-cycle"]);
    for (const { value, unit } of results[0]?.measurements ?? []) {
      expect(unit).toBe("ns");
      expect(value).toBeGreaterThan(0);
    }
    const page = readFileSync(join(out, "index.html"), "utf8");
    expect(page.match(/<svg /g)).toHaveLength(4); // two charts, for a wide screen and for a phone
    expect(readdirSync(join(out, "svg")).sort()).toEqual(["lease-cycle-bars.svg", "lease-cycle-curve.svg"]);
  }, 60_000);

  test.concurrent("--from shows an earlier run and writes over nothing; --json leaves standard output to machines", async () => {
    const out = join(folder, "again");
    const results = exampleResults();
    const path = file("earlier.json", JSON.stringify(results));
    const { code, stdout } = await cleanslab(["bench", "--from", path, "--out", out, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(results);
    expect(existsSync(join(out, "results.json"))).toBe(false);
    expect(readFileSync(join(out, "index.html"), "utf8")).toContain("Example 9000");
  });
});
