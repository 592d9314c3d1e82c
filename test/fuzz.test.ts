/**
 * The fuzzer itself: it finds what is broken, shrinks it to what matters, and says
 * it as a program that runs. That it finds nothing in the arena is
 * test/model-arena.test.ts's business.
 */

import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Arena, type Lease, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Found, fuzz, shrink } from "../fuzz/campaign.js";
import { MODES, type Program, programs, REACTIONS, STEP_NAMES, STEPS, type Step } from "../fuzz/program.js";
import { emptyTally, runProgram, type Tally } from "../fuzz/steps.js";
import { Transcript } from "../fuzz/transcript.js";
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

  test("finds a release that does nothing, and shrinks to a few calls", async () => {
    const found = await find(mode, (options) => new ForgetfulArena(options));
    // What shows it is the seed's business: a count, a second release that passes, a writer that goes on.
    if (found === null) throw new Error(`nothing found with CLEANSLAB_SEED=${seed}`);
    // That it is the forgotten release which shows: an arena that forgets none passes.
    await runProgram(found.program, { checkEvery: 1 }, emptyTally());
    const { steps } = found.program;
    const calls = steps.reduce((sum, { times }) => sum + times, 0);
    expect(calls, `CLEANSLAB_SEED=${seed}: ${found.source}`).toBeLessThanOrEqual(5);
  });
});

/** Runs `source` in a process of its own, on the arena that `declaration` makes of the library's, as `Sound`; what it says when it fails. */
async function failureOf(source: string, declaration?: string): Promise<string> {
  // Within the package, so that its name leads to it.
  const folder = mkdtempSync(join("build", "printed-"));
  try {
    const file = join(folder, "program.mjs");
    const imported = 'import { Arena } from "cleanslab";';
    expect(source).toContain(imported);
    const broken = `import { Arena as Sound } from "cleanslab";\n${declaration}`;
    writeFileSync(file, declaration === undefined ? source : source.replace(imported, broken));
    await promisify(execFile)(process.execPath, [file]);
    return "";
  } catch (error) {
    return `${(error as Error).message}\n\n${source}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("what the fuzzer prints", () => {
  const dirty = `class Arena extends Sound {
    acquire(byteLength) {
      const lease = super.acquire(byteLength);
      if (byteLength > 1000) lease.bytes[5] = 1;
      return lease;
    }
  }`;

  test.each(["acquire", "use"] as const)(
    "fails on the broken arena, and runs through on a sound one: %s",
    async (name) => {
      let source = "";
      for (let from = 1; !source.includes(`arena.${name}(1001`); from++) {
        source = (await find("before-reuse", (options) => new DirtyArena(options), from))?.source ?? "";
      }
      expect(await failureOf(source, dirty)).toContain("AssertionError");
      expect(await failureOf(source)).toBe("");
    },
  );

  const step = (name: Step["do"], way = 0, byteLength = 0, times = 1): Step => {
    return { do: name, way, byteLength, pick: way === 0 ? 0 : 3, times };
  };
  /** Every kind of step in every way, on short leases and on longer ones. */
  const everyStep = STEP_NAMES.flatMap((name) =>
    STEPS[name].flatMap((_, way) => [100, 5000].map((byteLength) => step(name, way, byteLength, 2))),
  );
  /** Somebody waits, and gives up. */
  const waiting = [step("acquire", 0, 250_000, 30), step("acquireAsync", 1, 250_000, 2), step("abort")];
  const PROGRAMS = 8;

  /** Steps of random programs and all others, as printed; answers which kinds were done. */
  async function run(mode: RevokeMode, change: (program: Program) => Program): Promise<Tally> {
    const random = fc.sample(programs(mode, { reactions: REACTIONS, maxSteps: 40, hostile: true }), {
      seed,
      numRuns: PROGRAMS,
    });
    const tally = emptyTally();
    for (const [at, sampled] of random.entries()) {
      // Each starts at another of the steps, and goes through all of them.
      const start = Math.floor((at / PROGRAMS) * everyStep.length);
      const steps = [...sampled.steps, ...waiting, ...everyStep.slice(start), ...everyStep.slice(0, start)];
      const program = change({ ...sampled, reaction: REACTIONS[at % REACTIONS.length] ?? "nothing", steps });
      const transcript = new Transcript();
      await runProgram(program, { checkEvery: 50, transcript }, tally);
      const source = transcript.source(program, "no finding");
      expect(await failureOf(source), `CLEANSLAB_SEED=${seed}, ${mode}, program ${at}`).toBe("");
    }
    return tally;
  }

  test.each(MODES)("runs as it is, with every kind of step, in %s mode", { timeout: 600_000 }, async (mode) => {
    // What a listener throws ends a test run. When the collector finds a leak is not for a program to say.
    const inTurn = await run(mode, (program) => ({
      ...program,
      reaction: program.reaction === "throw" ? "nothing" : program.reaction,
      steps: program.steps.filter((each) => each.do !== "leak"),
    }));
    // With leaks there is room for all, and nobody reacts.
    const leaking = await run(mode, ({ options, ...program }) => ({
      ...program,
      reaction: "nothing",
      options: { ...options, maxBytes: 256 * 1024 * 1024 },
    }));
    // Of stale views only the default mode lets anyone write through.
    const impossible = mode === "before-reuse" ? [] : ["staleWrite", "bufferWrite"];
    const undone = STEP_NAMES.filter((name) => inTurn[name] + leaking[name] === 0);
    expect(undone.filter((name) => !impossible.includes(name))).toEqual([]);
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
    const rare = new Set(["collect", "dispose", "abort", "setTrace", "damage"]);
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
