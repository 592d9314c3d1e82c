/**
 * That these tests can fail: an arena that is broken on purpose is found, the program that
 * shows it is short, runs as printed, and comes again with what it prints.
 */

import assert from "node:assert/strict";
import { Arena, type Lease, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { expect, test } from "vitest";
import { seed } from "../seeded.js";
import { anyCommands, type Failure, runRound, transcriptOf } from "./program.js";
import { settings } from "./settings.js";

const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];

/** Hands out a byte that is not zero. */
class DirtyArena extends Arena {
  override acquire(byteLength: number): Lease {
    const lease = super.acquire(byteLength);
    if (byteLength === 1000 && this.stats().liveLeases > 1) lease.bytes[7] = 9;
    return lease;
  }
}

/** Runs a printed program, with another `Arena` if one is given. */
async function runPrinted(source: string, ArenaToUse = Arena): Promise<void> {
  const body = source.replace(/^import .*$/gm, "");
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  await new AsyncFunction("assert", "Arena", body)(assert, ArenaToUse);
}

async function findDirt(replay?: { path: string; replayPath: string; seed: number }): Promise<Failure> {
  for (let round = 0; ; round++) {
    const failure = await runRound({
      mode: "before-reuse",
      seed: seed + round,
      programs: 20,
      maxCommands: 100,
      tally: {},
      create: (options) => new DirtyArena(options),
      ...replay,
    });
    if (failure !== undefined) return failure;
  }
}

test("a byte that is not zero is found, and the shrunk program fails as printed", async () => {
  const { message, source, commands } = await findDirt();
  expect(message).toMatch(/\[7\] is 9, not 0/);
  expect(commands).toBeLessThanOrEqual(3);
  await expect(runPrinted(source, DirtyArena)).rejects.toThrow(assert.AssertionError);
  await runPrinted(source.replace(/^assert\.equal.*$/m, ""));
});

test("what is printed for a replay finds the same again", async () => {
  const found = await findDirt();
  const [replaySeed, path = "", replayPath = ""] = found.replay.split(";");
  const again = await findDirt({ seed: Number(replaySeed), path, replayPath });
  expect(again.message).toBe(found.message);
  expect(again.source).toBe(found.source);
});

test.each(MODES)("%s: programs run as printed", async (mode) => {
  const programs = fc.tuple(settings(mode), anyCommands({ maxCommands: 60 }));
  for (const [options, commands] of fc.sample(programs, { numRuns: 30, seed })) {
    const source = await transcriptOf(options, commands);
    await runPrinted(source).catch((error: unknown) =>
      expect.fail(`${String(error)}, CLEANSLAB_SEED=${seed}\n${source}`),
    );
  }
});
