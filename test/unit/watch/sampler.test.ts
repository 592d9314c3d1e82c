/** Which leases are guarded or traced: by number, and by bytes. */

import { describe, expect, test } from "vitest";
import { seededRandom } from "../../../bench/statistics.ts";
import { type Due, Sampler } from "../../../src/watch/sampler.ts";

const NOTHING = { traceEvery: 0, sampleBytes: 0 };
const by = (traceEvery: number) => ({ traceEvery, sampleBytes: 0 });

/** What is due for a lease, as the arena counts it down; on its slow path straight away, or after the fast one. */
function due(sampler: Sampler, byteLength: number, isSlow = false): Due | undefined {
  if (--sampler.left > 0 && !isSlow && sampler.passes(byteLength)) return undefined;
  return sampler.due(byteLength);
}

function dues(sampler: Sampler, count: number): string[] {
  return Array.from({ length: count }, () => {
    const { guard, weight } = due(sampler, 1) ?? { guard: false, weight: 0 };
    return `${guard ? "g" : ""}${weight > 0 ? "t" : ""}` || "-";
  });
}

describe("a sampler of leases by number", () => {
  test.each([
    [0, by(1), "t t t t"],
    [3, NOTHING, "- - g - - g -"],
    // Apart, and together where they meet.
    [2, by(3), "- g t g - gt - g t g - gt"],
    [Number.MAX_SAFE_INTEGER, by(2), "- t - t"],
  ])("with a guard for one in %i and traces for %j comes to the Nth of each", (guardEvery, rates, wanted) => {
    const expected = wanted.split(" ");
    expect(dues(new Sampler(guardEvery, rates), expected.length)).toEqual(expected);
  });

  test("has each of them stand for itself", () => {
    expect(due(new Sampler(0, by(1)), 100)).toEqual({ guard: false, weight: 1 });
  });

  test("comes to nothing when nothing is asked for", () => {
    const sampler = new Sampler(0, NOTHING);
    const none = new Array<string>(1000).fill("-");
    expect(dues(sampler, 1000)).toEqual(none);
    // Even where it runs out, after a thousand million leases, or bytes.
    sampler.left = 1;
    sampler.bytesLeft = 1;
    expect(dues(sampler, 1000)).toEqual(none);
    expect(sampler.bytesLeft).toBeGreaterThan(2 ** 29);
  });

  test("traces from the lease at hand on when it is told to, and leaves guards where they were to come", () => {
    const sampler = new Sampler(4, NOTHING);
    expect(dues(sampler, 1)).toEqual(["-"]);
    sampler.set(by(1));
    expect(dues(sampler, 4)).toEqual(["t", "t", "gt", "t"]);
    sampler.set(NOTHING);
    expect(dues(sampler, 4)).toEqual(["-", "-", "g", "-"]);
  });
});

describe("a sampler of leases by bytes", () => {
  const LENGTHS = [1, 100, 4096, 65536, 5_000_000];

  /** Leases and bytes as the samples tell them, beside what there was, by length. */
  function estimate(sampler: Sampler, leases: number) {
    const random = seededRandom(7);
    const told = new Map(LENGTHS.map((byteLength) => [byteLength, { leases: 0, samples: 0, estimate: 0 }]));
    for (let each = 0; each < leases; each++) {
      const byteLength = LENGTHS[Math.floor(random() * LENGTHS.length)] as number;
      const row = told.get(byteLength) as { leases: number; samples: number; estimate: number };
      row.leases++;
      // Some leases are on the slow path for reasons of their own.
      const { weight } = due(sampler, byteLength, random() < 0.3) ?? { weight: 0 };
      if (weight > 0) row.samples++;
      row.estimate += weight;
    }
    return told;
  }

  /** A clock that goes on by `ms` at each sample. */
  const clock = (ms: number) => {
    let samples = 0;
    return () => ms * ++samples;
  };

  test.each([100_000, 524_288, 2 ** 31])(
    "of %i bytes samples each lease with the chance of its bytes",
    (sampleBytes) => {
      const told = estimate(new Sampler(0, { traceEvery: 0, sampleBytes }, seededRandom(3), clock(2)), 300_000);
      for (const [byteLength, { leases, samples }] of told) {
        const chance = -Math.expm1(-byteLength / sampleBytes);
        const sigma = Math.sqrt(leases * chance * (1 - chance));
        expect(Math.abs(samples - leases * chance), `${samples} of ${byteLength} bytes`).toBeLessThan(5 * sigma + 1);
      }
    },
  );

  test.each([
    ["no more than 1000 a second are wanted", clock(2)],
    ["they would be 20,000 a second", clock(0.05)],
    ["the clock stands still", () => 0],
  ])("is unbiased where %s", (_, now) => {
    const rates = { traceEvery: 0, sampleBytes: 65_536 };
    const told = estimate(new Sampler(0, rates, seededRandom(11), now), 400_000);
    const total = [...told.values()].reduce((sum, { samples }) => sum + samples, 0);
    const longest = told.get(5_000_000) ?? { leases: 0, estimate: 0 };
    expect(total).toBeGreaterThan(50);
    // Few samples: within what chance makes of them.
    const tolerance = total > 20_000 ? 0.02 : 0.5;
    expect(Math.abs(longest.estimate / longest.leases - 1)).toBeLessThan(tolerance);
  });

  test("is asked for less often where it comes more often than a thousand times a second, and as before after that", () => {
    let now = 0;
    let bytesPerMs = 100_000_000;
    const sampler = new Sampler(0, { traceEvery: 0, sampleBytes: 524_288 }, seededRandom(5), () => now);
    const samplesIn = (ms: number): number => {
      let samples = 0;
      for (const end = now + ms; now < end; now += 4096 / bytesPerMs) {
        if ((due(sampler, 4096)?.weight ?? 0) > 0) samples++;
      }
      return samples;
    };
    samplesIn(50);
    const busy = samplesIn(200);
    expect(busy).toBeGreaterThan(100);
    expect(busy).toBeLessThan(400);
    bytesPerMs = 100_000;
    samplesIn(2000);
    // 0.19 a millisecond: one for each 512 KiB.
    const idle = samplesIn(5000);
    expect(idle).toBeGreaterThan(750);
    expect(idle).toBeLessThan(1150);
  });

  test("takes up and gives up sampling when it is told to, and passes over leases without bytes", () => {
    const sampler = new Sampler(0, NOTHING, seededRandom(1));
    expect(due(sampler, 2 ** 29)).toBeUndefined();
    sampler.set({ traceEvery: 0, sampleBytes: 1 });
    for (let each = 0; each < 1000; each++) expect(due(sampler, 0)).toBeUndefined();
    expect(due(sampler, 1000)).toEqual({ guard: false, weight: 1 });
    sampler.set(NOTHING);
    expect(due(sampler, 2 ** 31)?.weight ?? 0).toBe(0);
  });
});
