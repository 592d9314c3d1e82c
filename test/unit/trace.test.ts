/** Which leases are watched or guarded. The stacks themselves are test/misuse/outstanding.test.ts's. */

import { describe, expect, test } from "vitest";
import { Countdown } from "../../src/countdown.ts";
import { Tracer } from "../../src/trace.ts";
import { FakeOwner, MODES, releaseAll, smallArena, thrownBy } from "../helpers.ts";

/** What is due for each of `count` leases, as the arena counts them down. */
function dues(countdown: Countdown, count: number): string[] {
  return Array.from({ length: count }, () => {
    if (--countdown.left !== 0) return "";
    const { guard, trace } = countdown.next();
    return `${guard ? "g" : ""}${trace ? "t" : ""}`;
  });
}

describe("a countdown", () => {
  test("comes to every lease when every one is traced", () => {
    expect(dues(new Countdown(0, 1), 4)).toEqual(["t", "t", "t", "t"]);
  });

  test("comes to one lease in N, the Nth first", () => {
    expect(dues(new Countdown(3, 0), 7)).toEqual(["", "", "g", "", "", "g", ""]);
  });

  test("keeps guards and traces apart, and together where they meet", () => {
    const due = dues(new Countdown(2, 3), 12);
    expect(due).toEqual(["", "g", "t", "g", "", "gt", "", "g", "t", "g", "", "gt"]);
  });

  test("comes to nothing when nothing is asked for", () => {
    const countdown = new Countdown(0, 0);
    expect(dues(countdown, 1000).join("")).toBe("");
    // Even where it runs out, after a thousand million leases.
    countdown.left = 1;
    expect(dues(countdown, 1000).join("")).toBe("");
  });

  test("takes the largest N there is", () => {
    expect(dues(new Countdown(Number.MAX_SAFE_INTEGER, 2), 4)).toEqual(["", "t", "", "t"]);
  });

  test("comes to every lease while they are announced, and no more of them than before once they are not", () => {
    const countdown = new Countdown(4, 0);
    expect(dues(countdown, 1)).toEqual([""]);
    countdown.announce(true);
    const { left } = countdown;
    expect([left, ...dues(countdown, 1)]).toEqual([1, ""]);
    expect(countdown.left).toBe(1);
    countdown.announce(false);
    expect(countdown.left).toBe(2);
    expect(dues(countdown, 6)).toEqual(["", "g", "", "", "", "g"]);
  });

  test("comes to the very next lease once stopped", () => {
    const countdown = new Countdown(0, 0);
    countdown.stop();
    countdown.left--;
    expect(countdown.left).toBe(0);
  });
});

describe("a tracer", () => {
  test.each([
    ["off", 0],
    ["sampled", 128],
    ["all", 1],
  ] as const)("of level %s watches one lease in %i", (level, every) => {
    expect(new Tracer(level).every).toBe(every);
  });

  test("knows a watched lease until it is released, with its length and a stack", () => {
    const tracer = new Tracer("all");
    const owner = new FakeOwner();
    const leases = [tracer.watch(owner.lease(10)), tracer.watch(owner.lease(20))];
    expect(tracer.sites.map(({ byteLength }) => byteLength)).toEqual([20, 10]);
    expect(tracer.sites[0]?.stack).toContain("trace.test");
    leases[0]?.release();
    expect(tracer.sites.map(({ byteLength }) => byteLength)).toEqual([20]);
    expect(owner.releases).toHaveLength(1);
    leases[1]?.release();
    expect(tracer.sites).toEqual([]);
  });

  test("knows a lease for longer when its owner would not take it back", () => {
    const tracer = new Tracer("all");
    const owner = new FakeOwner();
    const lease = tracer.watch(owner.lease(10));
    owner.error = new Error("not now");
    expect(thrownBy(() => lease.release())).toBe(owner.error);
    expect(tracer.sites).toHaveLength(1);
    owner.error = undefined;
    lease.release();
    expect(tracer.sites).toEqual([]);
  });

  test("knows who had a byte last, and nobody where nobody had it", () => {
    const tracer = new Tracer("all");
    const owner = new FakeOwner();
    for (const ptr of [64, 128]) tracer.watch(owner.lease(16, ptr)).release();
    for (const at of [64, 79, 128, 143]) expect(tracer.lastAt(owner.tally, at).released).toContain("trace.test");
    for (const at of [0, 63, 80, 127, 144]) {
      expect(tracer.lastAt(owner.tally, at)).toEqual({ acquired: undefined, released: undefined });
    }
  });

  test("writes off the leases of one memory, and only those", () => {
    const tracer = new Tracer("all");
    const lost = new FakeOwner();
    const kept = new FakeOwner();
    tracer.watch(lost.lease(1));
    tracer.watch(kept.lease(2));
    tracer.watch(lost.lease(3));
    expect(tracer.writeOff(lost.tally).map(({ byteLength }) => byteLength)).toEqual([3, 1]);
    expect(tracer.sites.map(({ byteLength }) => byteLength)).toEqual([2]);
    expect(tracer.writeOff(lost.tally)).toEqual([]);
    tracer.clear();
    expect(tracer.sites).toEqual([]);
  });

  test("leaves a lease what it was", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(10, 64);
    const { bytes } = lease;
    expect(new Tracer("all").watch(lease)).toBe(lease);
    expect(lease.bytes).toBe(bytes);
    expect([lease.byteOffset, lease.byteLength, lease.origin, lease.memory]).toEqual([64, 10, "arena", undefined]);
  });
});

describe.each(MODES)("revoke: %s, trace: sampled", (revoke) => {
  test("names one lease in 128 of those that are out", () => {
    using arena = smallArena({ revoke, trace: "sampled", maxBytes: 300 * 65536 });
    const leases = Array.from({ length: 127 }, () => arena.acquire(100));
    const sites = (): number => String(thrownBy(() => arena.assertDrained())).split("bytes, acquired\n").length - 1;
    expect(sites()).toBe(0);
    expect(String(thrownBy(() => arena.assertDrained()))).toContain("trace: 'all'");
    leases.push(arena.acquire(100));
    expect(sites()).toBe(1);
    for (let each = 0; each < 127; each++) leases.push(arena.acquire(100));
    expect(sites()).toBe(1);
    leases.push(arena.acquire(100));
    expect(sites()).toBe(2);
    releaseAll(leases);
    arena.assertDrained();
  });
});
