/** What `advise` says: for a machine, for the `stats()` of a program, and for arenas that really had the load. */

import { Arena, type ArenaStats, type Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import type { Cycle, Figures } from "../../cli/advice/figures.ts";
import { adviseForMachine, crossover } from "../../cli/advice/machine-rules.ts";
import { parseStats } from "../../cli/advice/stats.ts";
import { type Advice, adviseForStats, inferSegmentBytes, nsAt } from "../../cli/advice/stats-rules.ts";
import { UsageError } from "../../cli/failure.ts";
import { openWorkshop } from "./helpers.ts";

const MiB = 2 ** 20;
const { cleanslab } = openWorkshop();

/** Leases pay from 1 KiB on, where they are four times as fast. */
const figures: Figures = {
  cycles: [
    { byteLength: 64, fresh: 25, arrayPool: 30, beforeReuse: 80, never: 90, neverPool: 50 },
    { byteLength: 256, fresh: 90, arrayPool: 30, beforeReuse: 100, never: 95, neverPool: 50 },
    { byteLength: 1024, fresh: 500, arrayPool: 40, beforeReuse: 125, never: 100, neverPool: 60 },
    { byteLength: 16_384, fresh: 2000, arrayPool: 200, beforeReuse: 500, never: 250, neverPool: 200 },
  ],
  touches: [
    { byteLength: 4096, fresh: 500, beforeReuse: 200, beforeReuseWritten: 100, neverWritten: 60 },
    { byteLength: 65_536, fresh: 1000, beforeReuse: 2000, beforeReuseWritten: 1500, neverWritten: 60 },
  ],
};

describe("advice for a machine", () => {
  test("answers in the terms of tiny, big, used a lot and barely touched", () => {
    const verdicts = adviseForMachine(figures).map(({ what, verdict }) => [what, verdict]);
    expect(verdicts).toEqual([
      ["tiny: up to 64 B", "do not pool"],
      ["from there to 4 KiB", "either"],
      ["big: 4 KiB and more", "pool"],
      ["used a lot", "pool"],
      ["barely touched: 16 B of 4 KiB", "pool"],
      ["barely touched: 16 B of 64 KiB", "do not pool"],
    ]);
  });

  test("says from how many a second on a lease saves a hundredth of a core", () => {
    const { why } = adviseForMachine(figures).find(({ what }) => what === "used a lot") ?? { why: "" };
    expect(why).toContain("1 KiB: a lease saves 375 ns, 27,000 of them a second save 1 % of a core");
    expect(why).not.toContain("256 B:");
  });

  test("where fresh is faster at every length nothing is worth pooling", () => {
    const slow = figures.cycles.map((cycle): Cycle => ({ ...cycle, beforeReuse: cycle.fresh * 2 }));
    expect(crossover(slow)).toBeNull();
    const verdicts = adviseForMachine({ cycles: slow, touches: [] }).map(({ verdict }) => verdict);
    expect(new Set(verdicts)).toEqual(new Set(["do not pool"]));
  });

  test("the crossover is the length from which on a lease pays at every longer one", () => {
    expect(crossover(figures.cycles)).toBe(1024);
    const dip: Cycle = { byteLength: 65_536, fresh: 1, arrayPool: 1, beforeReuse: 1, never: 1, neverPool: 1 };
    expect(crossover([...figures.cycles, dip])).toBeNull();
  });

  test("lengths just above V8's limit are taken for the next measured one, not for the tiny", () => {
    expect(nsAt(figures.cycles, 64, "fresh")).toBe(25);
    expect(nsAt(figures.cycles, 96, "fresh")).toBe(90);
    expect(nsAt(figures.cycles, 640, "fresh")).toBe(295);
    expect(nsAt(figures.cycles, 1e6, "fresh")).toBe(2000);
  });
});

/** A program that is well served. */
function stats(changes: Partial<ArenaStats> = {}): ArenaStats {
  return {
    liveLeases: 10,
    liveBytes: 40_960,
    peakLiveBytes: 20 * MiB,
    reservedBytes: 30 * MiB,
    peakReservedBytes: 40 * MiB,
    maxBytes: 64 * MiB,
    acquired: 100_000,
    released: 99_990,
    overflowed: 0,
    revocations: 400,
    leakedLeases: 0,
    dirtyBlocks: 0,
    corruptSegments: 0,
    missedGuards: 0,
    waiting: 0,
    segments: {
      active: 1,
      retired: 1,
      drained: 2,
      corrupt: 0,
      retiredBytes: 1.0625 * MiB,
      retiredLiveBytes: 0.5 * MiB,
    },
    dedicated: { leased: 0, idle: 0 },
    sizeClasses: [{ blockBytes: 4096, acquired: 100_000, liveBlocks: 10 }],
    requestedLengths: [{ maxByteLength: 4096, count: 100_000 }],
    ...changes,
  };
}

function about(topic: Advice["about"], of: ArenaStats, cycles = figures.cycles): Advice[] {
  return adviseForStats(of, { cycles }).filter((each) => each.about === topic);
}

const MIXED: ArenaStats["segments"] = {
  ...stats().segments,
  retired: 12,
  retiredBytes: 12 * 1.0625 * MiB,
  retiredLiveBytes: 0.2 * MiB,
};

describe("advice for a program", () => {
  test("a program that is well served is told to leave its options alone", () => {
    const advice = adviseForStats(stats(), { cycles: figures.cycles });
    expect(advice.map(({ about: topic, advice: words }) => `${topic}: ${words.split(" ")[0]}`)).toEqual([
      "maxBytes: Leave",
      "segmentBytes: Leave",
      "pool(): pool(4096),",
    ]);
  });

  test("every piece of advice names the numbers that it rests on", () => {
    const all = adviseForStats(stats({ leakedLeases: 3, dirtyBlocks: 2, overflowed: 5, segments: MIXED }));
    for (const { why } of all) expect(why).toMatch(/\d/);
  });

  test("leases that found no room: raise maxBytes, to twice what was live or the cap", () => {
    expect(about("maxBytes", stats({ overflowed: 50 }))[0]?.set).toEqual({ maxBytes: 128 * MiB });
    expect(about("maxBytes", stats({ overflowed: 50, peakLiveBytes: 100 * MiB }))[0]?.set).toEqual({
      maxBytes: 256 * MiB,
    });
    expect(about("maxBytes", stats({ waiting: 1 }))[0]?.set).toEqual({ maxBytes: 128 * MiB });
  });

  test("a cap far above the peak may be lowered, and a cap that is reached may not", () => {
    expect(about("maxBytes", stats({ peakReservedBytes: 3 * MiB }))[0]?.set).toEqual({ maxBytes: 8 * MiB });
    expect(about("maxBytes", stats({ peakReservedBytes: 64 * MiB }))[0]?.set).toBeUndefined();
  });

  test("few live bytes in many retired segments: an arena of their own, before a higher cap", () => {
    const mixed = stats({ segments: MIXED, overflowed: 50 });
    expect(about("lifetimes", mixed)[0]?.why).toContain("retiredLiveBytes is 204.8 KiB, 1.6 %");
    expect(about("maxBytes", mixed)[0]?.set).toBeUndefined();
    expect(about("segmentBytes", mixed)[0]?.set).toEqual({ segmentBytes: MiB / 4 });
  });

  test("one retired segment, or well filled ones, are no mixed lifetimes", () => {
    expect(about("lifetimes", stats())).toEqual([]);
    expect(about("lifetimes", stats({ segments: { ...MIXED, retiredLiveBytes: 9 * MiB } }))).toEqual([]);
  });

  test("buffers that are kept are not worth pooling", () => {
    expect(about("lifetimes", stats({ liveLeases: 90_000 }))[0]?.advice).toContain("Do not pool what is kept");
  });

  test("lengths near or above a segment ask for longer segments", () => {
    const long = (maxByteLength: number): ArenaStats =>
      stats({ sizeClasses: [], requestedLengths: [{ maxByteLength, count: 100_000 }] });
    expect(about("segmentBytes", long(512 * 1024))[0]?.set).toEqual({ segmentBytes: 4 * MiB });
    expect(about("segmentBytes", long(2 ** 22 - 1))[0]?.set).toEqual({ segmentBytes: 16 * MiB });
    expect(about("segmentBytes", long(4096))[0]?.set).toBeUndefined();
  });

  test("a rare long lease does not ask for longer segments", () => {
    const requestedLengths = [
      { maxByteLength: 4096, count: 99_999 },
      { maxByteLength: 2 ** 22 - 1, count: 1 },
    ];
    expect(about("segmentBytes", stats({ requestedLengths }))[0]?.set).toBeUndefined();
    expect(about("not worth pooling", stats({ requestedLengths }))[0]?.why).toContain("1 up to 4 MiB");
  });

  test("frequent lengths that pay are worth a pool, rare and tiny ones are not", () => {
    const sizeClasses = [
      { blockBytes: 64, acquired: 40_000, liveBlocks: 0 },
      { blockBytes: 1024, acquired: 40_000, liveBlocks: 0 },
      { blockBytes: 2048, acquired: 15_000, liveBlocks: 0 },
      { blockBytes: 16_384, acquired: 5_000, liveBlocks: 0 },
    ];
    expect(about("pool()", stats({ sizeClasses })).map(({ set }) => set)).toEqual([{ pool: 1024 }]);
  });

  test("names the lengths that cost less fresh, by this machine or else by V8's limit", () => {
    const requestedLengths = [
      { maxByteLength: 64, count: 30_000 },
      { maxByteLength: 256, count: 10_000 },
      { maxByteLength: 1024, count: 60_000 },
    ];
    const measured = about("not worth pooling", stats({ requestedLengths }))[0];
    expect(measured?.advice).toContain("up to 256 B");
    expect(measured?.why).toContain("40000 of 100000 leases (40 %)");
    const unmeasured = about("not worth pooling", stats({ requestedLengths }), [])[0];
    expect(unmeasured?.advice).toContain("up to 64 B");
  });

  test("leaks, writes after release and damage come first", () => {
    const topics = adviseForStats(stats({ leakedLeases: 1, dirtyBlocks: 1, corruptSegments: 1 })).map(
      (each) => each.about,
    );
    expect(topics.slice(0, 3)).toEqual(["health", "health", "health"]);
  });

  test("of an arena that nobody used nothing is said", () => {
    const arena = new Arena();
    expect(adviseForStats(arena.stats()).map(({ advice }) => advice)).toEqual(["Nothing can be said."]);
  });
});

describe("advice for real arenas", () => {
  /** Holds the last 64 of many leases of 64 KiB. */
  function queue(maxBytes: number): ArenaStats {
    const arena = new Arena({ maxBytes });
    const held = Array.from({ length: 64 }, () => arena.acquire(65_536));
    for (let each = 0; each < 2000; each++) {
      held.push(arena.acquire(65_536));
      held.shift()?.release();
    }
    const found = arena.stats();
    for (const lease of held) lease.release();
    return found;
  }

  test("the maxBytes that is advised gives every lease of the same load room", () => {
    const tight = queue(2 * MiB);
    expect(tight.overflowed).toBeGreaterThan(0);
    const { set } = about("maxBytes", tight)[0] ?? {};
    if (set === undefined || !("maxBytes" in set)) throw new Error("no maxBytes was advised");
    expect(queue(set.maxBytes).overflowed).toBe(0);
  });

  /** One lease in a thousand is kept, in `kept`. */
  function mix(arena: Arena, kept: Arena): () => void {
    const held: Lease[] = [];
    for (let each = 0; each < 20_000; each++) {
      if (each % 1000 === 0) held.push(kept.acquire(16_384));
      else arena.acquire(16_384).release();
    }
    return () => {
      for (const lease of held) lease.release();
    };
  }

  test("a second arena is advised where lifetimes are mixed, and no longer once there is one", () => {
    const one = new Arena({ maxBytes: 32 * MiB });
    const endOne = mix(one, one);
    expect(about("lifetimes", one.stats())[0]?.advice).toContain("an arena of their own");
    expect(inferSegmentBytes(one.stats())).toBe(MiB);
    const short = new Arena({ maxBytes: 32 * MiB });
    const endTwo = mix(short, new Arena());
    expect(about("lifetimes", short.stats())).toEqual([]);
    endOne();
    endTwo();
  });

  test("stats() as JSON is accepted as it comes, and gives the same advice", () => {
    const found = queue(8 * MiB);
    const read = parseStats(JSON.parse(JSON.stringify(found)), "stats.json");
    expect(read).toEqual(found);
    expect(adviseForStats(read)).toEqual(adviseForStats(found));
  });

  test.concurrent("the command reads stats from standard input and measures the machine", async () => {
    const { code, stdout } = await cleanslab(["advise", "-", "--json"], JSON.stringify(queue(2 * MiB)));
    expect(code).toBe(0);
    const { machine, advice, figures: measured } = JSON.parse(stdout);
    expect(machine.node).toBe(process.version);
    expect(advice.map((each: Advice) => each.about)).toContain("maxBytes");
    expect(measured.cycles.length).toBeGreaterThan(2);
    for (const cycle of measured.cycles) expect(cycle.fresh).toBeGreaterThan(0);
  }, 60_000);
});

describe("stats that are none", () => {
  test.for([
    [null, "it is null, not an object"],
    [[], "it is [], not an object"],
    [{ ...stats(), acquired: undefined }, "acquired is missing"],
    [{ ...stats(), acquired: "many" }, 'acquired is "many", not a whole number'],
    [{ ...stats(), liveBytes: -1 }, "liveBytes is -1, not a whole number"],
    [{ ...stats(), segments: 3 }, "segments is 3, not an object"],
    [{ ...stats(), segments: { ...stats().segments, retired: 0.5 } }, "segments.retired is 0.5"],
    [{ ...stats(), sizeClasses: {} }, "sizeClasses is {}, not an array"],
    [{ ...stats(), requestedLengths: [{ maxByteLength: 1 }] }, "requestedLengths[0].count is missing"],
  ] as const)("are refused by the member that is wrong: %#", ([value, word]) => {
    expect(() => parseStats(value, "s.json")).toThrow(UsageError);
    expect(() => parseStats(value, "s.json")).toThrow(`s.json is not the stats() of an arena: ${word}`);
    expect(() => parseStats(value, "s.json")).toThrow("JSON.stringify(arena.stats())");
  });

  test.concurrent.for([
    ["", "standard input is not JSON: it is empty"],
    ["{}", "liveLeases is missing"],
  ] as const)("end the command with exit code 2 before anything is measured: %j", async ([input, word]) => {
    const { code, stdout, stderr } = await cleanslab(["advise", "-"], input);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(word);
    expect(stderr).not.toContain("measuring");
  });
});
