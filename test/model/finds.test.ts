/**
 * That these tests can fail: an arena that is broken on purpose is found, the program that
 * shows it is short, runs as printed, and comes again with what it prints. One breakage at
 * least for each promise that the model follows.
 */

import assert from "node:assert/strict";
import { Arena, type Lease, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { Lease as LeaseClass } from "../../src/lease/lease.ts";
import { Pin } from "../../src/lease/pin.ts";
import { Lender } from "../../src/lender.ts";
import { AccountTable } from "../../src/memory/account.ts";
import { ArenaMemory, nextStagger } from "../../src/memory/arena-memory.ts";
import { Budget } from "../../src/memory/budget.ts";
import { IdleStack } from "../../src/memory/idle.ts";
import { Segment } from "../../src/memory/segment.ts";
import { ReusingStore } from "../../src/stores/reusing.ts";
import { Notices } from "../../src/watch/notices.ts";
import { seed } from "../seeded.js";
import { Finding } from "./checks.js";
import { anyCommands, type Failure, runRound, transcriptOf } from "./program.js";
import { SEGMENT_BYTES, settings } from "./settings.js";
import type { CreateArena } from "./world.js";

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
  // Which attempt is guarded depends on when the collector lets those who wait try again.
  const unguarded = settings(mode).map((options) => ({ ...options, guardEvery: 0 }));
  const programs = fc.tuple(unguarded, anyCommands({ maxCommands: 60 }));
  for (const [options, commands] of fc.sample(programs, { numRuns: 30, seed })) {
    const stagger = nextStagger();
    const source = await transcriptOf(options, commands);
    // Where blocks begin decides what fits, and so who waits: both runs begin alike.
    while (nextStagger() !== stagger);
    await runPrinted(source).catch((error: unknown) =>
      expect.fail(`${String(error)}, CLEANSLAB_SEED=${seed}\n${source}`),
    );
  }
});

/** Puts another method in the place of one, until the test has ended. */
function replace<T extends object, K extends keyof T>(prototype: T, name: K, make: (original: T[K]) => T[K]): void {
  const original = prototype[name];
  prototype[name] = make(original);
  onTestFinished(() => {
    prototype[name] = original;
  });
}

/** One thing that the library must do, left out or done wrongly. */
interface Breakage {
  readonly name: string;
  readonly modes: readonly RevokeMode[];
  /** What one of its findings says. */
  readonly says: RegExp;
  readonly breakIt?: () => void;
  readonly create?: CreateArena;
}

/** Hands out a lease that is still held. */
class TwiceArena extends Arena {
  #last: Lease | undefined;

  override acquire(byteLength: number): Lease {
    const last = this.#last;
    if (byteLength > 0 && last?.released === false && last.byteLength === byteLength) {
      last.bytes.fill(0);
      return last;
    }
    this.#last = super.acquire(byteLength);
    return this.#last;
  }
}

const breakages: readonly Breakage[] = [
  {
    name: "nothing is revoked",
    modes: ["before-reuse", "on-release"],
    says: /stale|alive|is \d+, not/,
    breakIt: () => replace(ArenaMemory.prototype, "revoke", () => () => true),
  },
  {
    name: "two leases share their bytes",
    modes: MODES,
    says: /share bytes/,
    create: (options) => new TwiceArena(options),
  },
  {
    name: "a block goes back twice",
    modes: ["never"],
    says: /share bytes|is \d+, not/,
    breakIt: () =>
      replace(ReusingStore.prototype, "takeBack", (takeBack) => {
        return function (this: ReusingStore, block) {
          takeBack.call(this, block);
          block.stack.blocks.push(block);
        };
      }),
  },
  {
    name: "a lease is lost",
    modes: MODES,
    says: /stats\(\)\.live/,
    breakIt: () =>
      replace(Lender.prototype, "acquireUnzeroed", (acquireUnzeroed) => {
        return function (this: Lender, byteLength) {
          acquireUnzeroed.call(this, byteLength);
          return acquireUnzeroed.call(this, byteLength);
        };
      }),
  },
  {
    name: "an idle memory is lost",
    modes: MODES,
    says: /reserved/,
    breakIt: () => replace(IdleStack.prototype, "push", () => () => {}),
  },
  {
    name: "the cap is not asked",
    modes: MODES,
    says: /under a cap/,
    breakIt: () => replace(Budget.prototype, "makeRoom", () => () => true),
  },
  {
    name: "the cap is another",
    modes: MODES,
    says: /cap/,
    create: (options) => new Arena({ ...options, maxBytes: options.maxBytes + SEGMENT_BYTES }),
  },
  {
    name: "room is never given back",
    modes: MODES,
    says: /reserved/,
    breakIt: () =>
      replace(AccountTable.prototype, "drop", (drop) => {
        return function (this: AccountTable, account) {
          const { reservedBytes } = this.budget;
          drop.call(this, account);
          this.budget.reservedBytes = reservedBytes;
        };
      }),
  },
  {
    name: "an error leaves a lease out",
    modes: MODES,
    says: /stats\(\)\.live/,
    breakIt: () => replace(LeaseClass.prototype, Symbol.dispose, () => () => {}),
  },
  {
    name: "nobody who waits is served",
    modes: MODES,
    says: /waits|waiting|is pending/,
    breakIt: () => replace(Notices.prototype, "wake", () => () => {}),
  },
  {
    name: "a newcomer overtakes",
    modes: MODES,
    says: /was served before/,
    breakIt: () =>
      replace(Lender.prototype, "acquireAll", (acquireAll) => {
        return async function (this: Lender, wanted, signal) {
          const [byteLength = 0] = wanted.byteLengths;
          if (wanted.byteLengths.length === 1 && this.stats().waiting > 0) {
            const lease = this.acquire(byteLength);
            if (lease.origin !== "heap") return [lease];
            lease.release();
          }
          return acquireAll.call(this, wanted, signal);
        };
      }),
  },
  {
    name: "resize shows a byte",
    modes: MODES,
    says: /is 7, not 0/,
    breakIt: () =>
      replace(LeaseClass.prototype, "resize", (resize) => {
        return function (this: Lease, byteLength) {
          const before = this.byteLength;
          resize.call(this, byteLength);
          if (byteLength > before) this.bytes[byteLength - 1] = 7;
        };
      }),
  },
  {
    name: "resize loses a byte",
    modes: MODES,
    says: /is 0, not/,
    breakIt: () =>
      replace(LeaseClass.prototype, "resize", (resize) => {
        return function (this: Lease, byteLength) {
          resize.call(this, byteLength);
          if (byteLength > 0) this.bytes[0] = 0;
        };
      }),
  },
  {
    name: "a pin holds nothing",
    modes: MODES,
    says: /live|alive/,
    breakIt: () =>
      replace(LeaseClass.prototype, "pin", (pin) => {
        return function (this: Lease) {
          pin.call(this).release();
          return new Pin(() => {});
        };
      }),
  },
  {
    name: "wipeOnRelease does not wipe",
    modes: ["before-reuse", "never"],
    says: /after release|where releases wipe|is \d+, not 0/,
    create: (options) => new Arena({ ...options, wipeOnRelease: false, trace: "off" }),
  },
  {
    name: "nothing is zeroed",
    modes: ["before-reuse", "on-release"],
    says: /after release|where releases wipe|is \d+, not/,
    breakIt: () => replace(ArenaMemory.prototype, "zero", () => () => {}),
  },
  {
    name: "a write in front of every lease is not reported",
    modes: ["before-reuse", "never"],
    says: /was not noticed/,
    breakIt: () => replace(Segment.prototype, "takeStrayWrite", () => () => -1),
  },
];

/** Runs programs until one fails as `says` has it. Shrinks nothing: that takes most of the time. */
async function findFault(mode: RevokeMode, says: RegExp, create?: CreateArena): Promise<void> {
  const programs = fc.tuple(settings(mode), anyCommands({ maxCommands: 200 }));
  for (let round = 0; ; round++) {
    for (const [options, commands] of fc.sample(programs, { numRuns: 10, seed: seed + round })) {
      try {
        await transcriptOf(options, commands, create);
      } catch (fault) {
        if (!(fault instanceof Finding)) throw fault;
        if (says.test(fault.message)) return;
      }
    }
  }
}

describe.each(breakages)("$name", ({ modes, says, breakIt, create }) => {
  test.each(modes)("is found in %s", async (mode) => {
    breakIt?.();
    await findFault(mode, says, create);
  });
});
