/** Traced leases: where they were acquired, who had a byte last, and which were collected. */

import { describe, expect, test } from "vitest";
import type { TraceSite } from "../../../src/watch/sites.ts";
import { callerFrames } from "../../../src/watch/stack.ts";
import { Tracer } from "../../../src/watch/trace.ts";
import { collectGarbageUntil, MODES, releaseAll, smallArena, thrownBy } from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

const open = (level: "off" | "sampled" | "all", registers = false) => {
  const lost: { place: object; byteLength: number; sites: readonly TraceSite[] }[] = [];
  const tracer = new Tracer(level, registers, (place, byteLength, sites) => lost.push({ place, byteLength, sites }));
  const watch = (owner: FakeOwner, byteLength: number, ptr = 0) => {
    const lease = owner.lease(byteLength, ptr);
    tracer.watch(lease);
    return lease;
  };
  return { tracer, lost, watch };
};

describe("a tracer", () => {
  test.each([
    ["off", false, 0],
    ["sampled", false, 128],
    ["all", false, 1],
    ["off", true, 1024],
    ["sampled", true, 128],
    ["all", true, 1],
  ] as const)("of level %s, where single leases are looked for: %s, watches one lease in %i", (level, registers, n) => {
    expect(open(level, registers).tracer.every).toBe(n);
  });

  test("knows a watched lease until it is released, with its length and a stack", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    const leases = [watch(owner, 10), watch(owner, 20)] as const;
    expect(tracer.sites.map(({ byteLength }) => byteLength)).toEqual([20, 10]);
    expect(tracer.sites[0]?.stack).toContain("trace.test");
    leases[0].release();
    expect(tracer.sites).toMatchObject([{ leases: 1, byteLength: 20 }]);
    leases[1].release();
    expect(tracer.sites).toEqual([]);
  });

  test("knows a lease by its length and place after a resize, in its block and to another", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    const target = new FakeOwner();
    const lease = watch(owner, 10);
    lease.resize(1000);
    expect(tracer.sites).toMatchObject([{ leases: 1, byteLength: 1000 }]);
    owner.target = target;
    lease.resize(2000);
    expect(tracer.sites).toMatchObject([{ leases: 1, byteLength: 2000 }]);
    expect(tracer.sitesIn(owner.place)).toEqual([]);
    expect(tracer.sitesIn(target.place)).toMatchObject([{ leases: 1, byteLength: 2000 }]);
    lease.release();
    expect(tracer.sites).toEqual([]);
    // Of a byte behind the lease's first length.
    expect(tracer.lastAt(target.place, 2048 + 1500).acquired).toContain("trace.test");
  });

  test("groups leases by where they were acquired, most bytes first", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    for (const byteLength of [10, 10, 10]) watch(owner, byteLength);
    for (const byteLength of [50, 60]) watch(owner, byteLength);
    expect(tracer.sites).toMatchObject([
      { leases: 2, byteLength: 110 },
      { leases: 3, byteLength: 30 },
    ]);
  });

  test("tells a released lease's history, and looks at the trap of a traced one", () => {
    const { watch } = open("all");
    const owner = new FakeOwner();
    const lease = watch(owner, 10);
    lease.release();
    expect(String(thrownBy(() => lease.bytes))).toMatch(/\nacquired\n.*trace\.test[\s\S]*\nreleased\n.*trace\.test/);
    expect(owner.trapLooks).toBe(1);
  });

  test("knows who had a byte last, and nobody where nobody had it", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    for (const ptr of [64, 128]) watch(owner, 16, ptr).release();
    for (const at of [64, 79, 128, 143]) expect(tracer.lastAt(owner.place, at).released).toContain("trace.test");
    for (const at of [0, 63, 80, 127, 144]) {
      expect(tracer.lastAt(owner.place, at)).toEqual({ acquired: undefined, released: undefined });
    }
  });

  test("names the leases of one memory, those that are out and those that ended last", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    watch(owner, 16, 64).release();
    watch(owner, 16, 64).release();
    watch(owner, 100, 128);
    watch(new FakeOwner(), 1000);
    const sites = tracer.sitesIn(owner.place);
    expect(sites.map(({ byteLength }) => byteLength)).toEqual([100, 16]);
  });

  test("writes off the leases of one memory, and only those", () => {
    const { tracer, watch } = open("all");
    const [lost, kept] = [new FakeOwner(), new FakeOwner()];
    watch(lost, 1);
    watch(kept, 2);
    watch(lost, 3);
    expect(tracer.writeOff(lost.place).reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(4);
    expect(tracer.sites.map(({ byteLength }) => byteLength)).toEqual([2]);
    expect(tracer.writeOff(lost.place)).toEqual([]);
    tracer.close();
    expect(tracer.sites).toEqual([]);
  });

  test("does not keep a watched lease, its owner or its bytes from being collected", async () => {
    const { tracer, watch } = open("all");
    let collected = 0;
    const registry = new FinalizationRegistry<void>(() => void collected++);
    (() => {
      const owner = new FakeOwner();
      registry.register(owner);
      registry.register(watch(owner, 10));
    })();
    await collectGarbageUntil(() => collected === 2);
    expect(collected).toBe(2);
    expect(tracer.sites).toHaveLength(1);
  });

  test("hears of a single lease that was collected, where it looks for those, and not of one that was released", async () => {
    const { tracer, lost, watch } = open("all", true);
    const owner = new FakeOwner();
    (() => {
      watch(owner, 10);
      watch(owner, 20).release();
    })();
    await collectGarbageUntil(() => lost.length > 0);
    await collectGarbageUntil(() => lost.length > 1, 5);
    expect(lost).toMatchObject([{ place: owner.place, byteLength: 10, sites: [{ leases: 1, byteLength: 10 }] }]);
    expect(tracer.sites).toEqual([]);
  });

  test("says for a lease that was waited for where the waiter asked", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    tracer.onBehalfOf("at the waiter", () => watch(owner, 10));
    expect(tracer.sites).toMatchObject([{ stack: "at the waiter" }]);
    const mine = new Error("mine");
    const throws = (): never => {
      throw mine;
    };
    expect(thrownBy(() => tracer.onBehalfOf("at another", throws))).toBe(mine);
    watch(owner, 20);
    expect(tracer.sites[0]?.stack).toContain("trace.test");
  });

  test("has no stacks with tracing off", () => {
    expect(open("off").tracer.callSite()).toBeUndefined();
  });
});

describe("a stack", () => {
  test("begins with the caller's frame: the library's own are left out", () => {
    using arena = smallArena({ trace: "all" });
    function acquires() {
      return arena.acquire(10);
    }
    acquires();
    const message = String(thrownBy(() => arena.assertDrained()));
    expect(message).toMatch(/acquired\n\s*at acquires .*trace\.test/);
    expect(message).not.toContain("/src/");
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("hook");
      },
    ],
    ["answers no string", () => [1, 2]],
  ])("is empty where the caller's hook %s", (_, hook) => {
    const { prepareStackTrace } = Error as { prepareStackTrace?: unknown };
    Reflect.set(Error, "prepareStackTrace", hook);
    try {
      expect(callerFrames()).toBe("");
    } finally {
      Reflect.set(Error, "prepareStackTrace", prepareStackTrace);
    }
  });

  test("leaves the limit of frames as it was", () => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 3;
    try {
      callerFrames();
      expect(Error.stackTraceLimit).toBe(3);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
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
