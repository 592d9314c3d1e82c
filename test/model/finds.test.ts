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
import { NeverStore } from "../../src/stores/never.ts";
import { Notices } from "../../src/watch/notices.ts";
import { MODES, REVOKING_MODES, SEGMENT_MODES } from "../helpers.js";
import { seed } from "../seeded.js";
import { Finding } from "./checks.js";
import { anyCommands, type Failure, runRound, transcriptOf } from "./program.js";
import { SEGMENT_BYTES, settings } from "./settings.js";
import type { CreateArena } from "./world.js";

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

async function findDirt(from = seed, path?: string): Promise<Failure> {
  const create: CreateArena = (options) => new DirtyArena(options);
  for (let round = 0; ; round++) {
    const failure = await runRound({ mode: "before-reuse", seed: from + round, path, tally: {}, create });
    if (failure !== undefined) return failure;
  }
}

test("a byte that is not zero is found, by a short program that fails as printed, and comes again as printed", async () => {
  const { message, source, commands, replay } = await findDirt();
  expect(message).toMatch(/\[7\] is 9, not 0/);
  expect(commands).toBeLessThanOrEqual(3);
  await expect(runPrinted(source, DirtyArena)).rejects.toThrow(assert.AssertionError);
  await runPrinted(source.replace(/^assert\.equal.*$/m, ""));
  const [replaySeed, path] = replay.split(";");
  const again = await findDirt(Number(replaySeed), path);
  expect([again.message, again.source]).toEqual([message, source]);
});

test.each(MODES)("%s: programs run as printed", async (mode) => {
  // Which attempt is guarded depends on when the collector lets those who wait try again.
  const unguarded = settings(mode).map((options) => ({ ...options, guardEvery: 0 }));
  const programs = fc.tuple(unguarded, anyCommands(60));
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
function replacing<T extends object, K extends keyof T>(prototype: T, name: K, make: (original: T[K]) => T[K]) {
  return (): void => {
    const original = prototype[name];
    prototype[name] = make(original);
    onTestFinished(() => {
      prototype[name] = original;
    });
  };
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

/** One thing that the library must do, left out or done wrongly; and what one of the findings says. */
type Breakage = [name: string, modes: readonly RevokeMode[], says: RegExp, breakIt: () => void, create?: CreateArena];

const nothing = (): void => {};
const breakages: readonly Breakage[] = [
  [
    "nothing is revoked",
    REVOKING_MODES,
    /stale|alive|is \d+, not/,
    replacing(ArenaMemory.prototype, "revoke", () => () => true),
  ],
  ["two leases share their bytes", MODES, /share bytes/, nothing, (options) => new TwiceArena(options)],
  [
    "a block goes back twice",
    ["never"],
    /share bytes|is \d+, not/,
    replacing(NeverStore.prototype, "takeBack", (takeBack) => {
      return function (this: NeverStore, block) {
        takeBack.call(this, block);
        block.stack.blocks.push(block);
      };
    }),
  ],
  [
    "a lease is lost",
    MODES,
    /stats\(\)\.live/,
    replacing(Lender.prototype, "acquireUnzeroed", (acquireUnzeroed) => {
      return function (this: Lender, byteLength) {
        acquireUnzeroed.call(this, byteLength);
        return acquireUnzeroed.call(this, byteLength);
      };
    }),
  ],
  ["an idle memory is lost", MODES, /reserved/, replacing(IdleStack.prototype, "push", () => nothing)],
  ["the cap is not asked", MODES, /under a cap/, replacing(Budget.prototype, "makeRoom", () => () => true)],
  [
    "the cap is another",
    MODES,
    /cap/,
    nothing,
    (options) => new Arena({ ...options, maxBytes: options.maxBytes + SEGMENT_BYTES }),
  ],
  [
    "room is never given back",
    MODES,
    /reserved/,
    replacing(AccountTable.prototype, "drop", (drop) => {
      return function (this: AccountTable, account) {
        const { reservedBytes } = this.budget;
        drop.call(this, account);
        this.budget.reservedBytes = reservedBytes;
      };
    }),
  ],
  [
    "an error leaves a lease out",
    MODES,
    /stats\(\)\.live/,
    replacing(LeaseClass.prototype, Symbol.dispose, () => nothing),
  ],
  [
    "nobody who waits is served",
    MODES,
    /waits|waiting|is pending/,
    replacing(Notices.prototype, "wake", () => nothing),
  ],
  [
    "a newcomer overtakes",
    MODES,
    /was served before/,
    replacing(Lender.prototype, "acquireAll", (acquireAll) => {
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
  ],
  [
    "resize shows a byte",
    MODES,
    /is 7, not 0/,
    replacing(LeaseClass.prototype, "resize", (resize) => {
      return function (this: Lease, byteLength) {
        const before = this.byteLength;
        resize.call(this, byteLength);
        if (byteLength > before) this.bytes[byteLength - 1] = 7;
      };
    }),
  ],
  [
    "resize loses a byte",
    MODES,
    /is 0, not/,
    replacing(LeaseClass.prototype, "resize", (resize) => {
      return function (this: Lease, byteLength) {
        resize.call(this, byteLength);
        if (byteLength > 0) this.bytes[0] = 0;
      };
    }),
  ],
  [
    "a pin holds nothing",
    MODES,
    /live|alive/,
    replacing(LeaseClass.prototype, "pin", (pin) => {
      return function (this: Lease) {
        pin.call(this).release();
        return new Pin(nothing);
      };
    }),
  ],
  [
    "wipeOnRelease does not wipe",
    SEGMENT_MODES,
    /after release|where releases wipe|is \d+, not 0/,
    nothing,
    (options) => new Arena({ ...options, wipeOnRelease: false, trace: "off" }),
  ],
  [
    "nothing is zeroed",
    REVOKING_MODES,
    /after release|where releases wipe|is \d+, not/,
    replacing(ArenaMemory.prototype, "zero", () => nothing),
  ],
  [
    "a write in front of every lease is not reported",
    SEGMENT_MODES,
    /was not noticed/,
    replacing(Segment.prototype, "takeStrayWrite", () => () => -1),
  ],
];

/** Runs programs until one fails as `says` has it. Shortens nothing: that takes most of the time. */
async function findFault(mode: RevokeMode, says: RegExp, create?: CreateArena): Promise<void> {
  const programs = fc.tuple(settings(mode), anyCommands(200));
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

describe.each(breakages)("%s", (_name, modes, says, breakIt, create) => {
  test.each(modes)("is found in %s", async (mode) => {
    breakIt();
    await findFault(mode, says, create);
  });
});
