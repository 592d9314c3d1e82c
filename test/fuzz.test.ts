/**
 * The fuzzer itself: it finds what is broken, shrinks it to what matters, and says
 * it as a program that runs. That it finds nothing in the arena is
 * test/model-arena.test.ts's business.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Arena, type Lease } from "cleanslab";
import { transformSync } from "esbuild";
import { describe, expect, test } from "vitest";
import { type Found, fuzz, shrink } from "../fuzz/campaign.js";
import { MODES, type Program, STEP_NAMES, type Step } from "../fuzz/program.js";
import { emptyTally } from "../fuzz/steps.js";
import { seed } from "./seeded.js";

/** Hands out leases of more than 1000 bytes with a byte that is not zero. */
class DirtyArena extends Arena {
  override acquire(byteLength: number): Lease {
    const lease = super.acquire(byteLength);
    if (byteLength > 1000) lease.bytes[5] = 1;
    return lease;
  }
}

/** Forgets to release the third lease that is out. */
class ForgetfulArena extends Arena {
  #out = 0;

  override acquire(byteLength: number): Lease {
    const lease = super.acquire(byteLength);
    const release = lease.release.bind(lease);
    this.#out++;
    lease.release = (options) => {
      if (this.#out-- !== 3) release(options);
    };
    return lease;
  }
}

function find(
  mode: Program["options"]["revoke"],
  create: (options: Program["options"]) => Arena,
  fromSeed = seed,
): Promise<Found | null> {
  return fuzz({
    mode: mode ?? "before-reuse",
    seed: fromSeed,
    runs: 20,
    maxSteps: 300,
    reactions: ["nothing"],
    hostile: false,
    tally: emptyTally(),
    world: { checkEvery: 50, create },
  });
}

describe.each(MODES)("in %s mode the fuzzer", (mode) => {
  test("finds dirty bytes, and shrinks to the one call and the shortest length that shows them", async () => {
    const found = await find(mode, (options) => new DirtyArena(options));
    expect(found?.finding.message, `CLEANSLAB_SEED=${seed}`).toBe(
      "a lease of 1001 bytes is handed out with byte 5 = 1",
    );
    expect(found?.program.steps, `CLEANSLAB_SEED=${seed}`).toHaveLength(1);
  });

  test("finds a release that does nothing, and shrinks to three leases and one release", async () => {
    const found = await find(mode, (options) => new ForgetfulArena(options));
    expect(found?.finding.message, `CLEANSLAB_SEED=${seed}`).toMatch(/not 0|not 7|says it is not|after release/);
    const steps = found?.program.steps ?? [];
    const calls = steps.reduce((sum, { times }) => sum + times, 0);
    expect(calls, `CLEANSLAB_SEED=${seed}: ${found?.source}`).toBeLessThanOrEqual(5);
  });
});

describe("what the fuzzer prints", () => {
  /** Runs `source` on the arena that `declaration` makes of the library's, as `Sound`; what it says when it fails. */
  function failureOf(source: string, declaration: string): string {
    const folder = mkdtempSync(join(tmpdir(), "cleanslab-fuzz-"));
    try {
      const library = pathToFileURL("dist/index.js").href;
      const program = source.replace(
        'import { Arena } from "cleanslab";',
        `import { Arena as Sound } from "${library}";\n${declaration}`,
      );
      const file = join(folder, "program.mjs");
      writeFileSync(file, transformSync(program, { loader: "ts", format: "esm" }).code);
      execFileSync(process.execPath, [file], { stdio: "pipe" });
      return "";
    } catch (error) {
      return String((error as { stderr?: unknown }).stderr);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  test("fails on the broken arena, and runs through on a sound one", async () => {
    // Found by a plain acquire: what use() and its callback did is printed for people only.
    let source = "";
    for (let from = 1; !source.includes("arena.acquire(1001)"); from++) {
      source = (await find("before-reuse", (options) => new DirtyArena(options), from))?.source ?? "";
    }
    const broken = `class Arena extends Sound {
      acquire(byteLength) {
        const lease = super.acquire(byteLength);
        if (byteLength > 1000) lease.bytes[5] = 1;
        return lease;
      }
    }`;
    expect(failureOf(source, broken)).toContain("AssertionError");
    expect(failureOf(source, "const Arena = Sound;")).toBe("");
  });
});

describe("shrinking", () => {
  const step = (name: Step["do"], byteLength = 500): Step => ({ do: name, way: 1, byteLength, pick: 77, times: 9 });

  test("leaves the steps that matter, in their order, with the least numbers that fail", async () => {
    const steps = Array.from({ length: 200 }, (_, at) => step(at % 2 === 0 ? "acquire" : "release"));
    steps[61] = step("leak");
    steps[150] = step("trim");
    const program: Program = {
      options: { segmentBytes: 262144, maxBytes: 327680, trace: "all", guardEvery: 7 },
      reaction: "trim",
      steps,
    };
    let tried = 0;
    const fails = async ({ steps: candidate }: Program): Promise<boolean> => {
      tried++;
      const leak = candidate.findIndex((each) => each.do === "leak" && each.byteLength >= 10);
      return leak >= 0 && candidate.slice(leak).some((each) => each.do === "trim");
    };
    const least = { way: 0, pick: 0, times: 1 };
    expect(await shrink(program, fails)).toEqual({
      options: { segmentBytes: 262144, maxBytes: 327680, trace: "off", guardEvery: 0 },
      reaction: "nothing",
      steps: [
        { do: "leak", byteLength: 10, ...least },
        { do: "trim", byteLength: 0, ...least },
      ],
    });
    expect(tried).toBeLessThan(500);
  });
});

describe("npm run fuzz", () => {
  const run = (...args: string[]): string =>
    execFileSync(process.execPath, ["--expose-gc", "--import", "tsx", "fuzz/main.ts", ...args], {
      stdio: "pipe",
    }).toString();

  test("reports what it did in each mode, by kind, and exits with 0 when it found nothing", () => {
    const report = run("--operations", "10000", "--seed", String(seed));
    for (const mode of MODES) expect(report).toContain(mode);
    const rare = new Set(["collect", "dispose", "abort"]);
    for (const name of STEP_NAMES) {
      if (!rare.has(name)) expect(report, name).toMatch(new RegExp(`^${name} +[1-9]`, "m"));
    }
    expect(report).toContain(`seed ${seed}: no finding`);
  });

  test.each([
    ["--minutes", "soon"],
    ["--mode", "always"],
    ["--seed", "-1"],
  ])("refuses %s %s", (option, value) => {
    expect(() => run(`${option}=${value}`)).toThrow(value);
  });
});
