/**
 * Traced leases: where they were acquired, who had a byte last, and which were collected. What
 * `assertDrained` says of them is misuse/outstanding.test.ts's, what is said of leaks, stray
 * writes and dirty blocks promises/'s.
 */

import { describe, expect, test, vi } from "vitest";
import { frameOf, takeStack, textOf } from "../../../src/watch/stack.ts";
import { stacksOf, Tracer } from "../../../src/watch/trace.ts";
import { collectGarbageUntil, releaseAll, smallArena, thrownBy } from "../../helpers.ts";
import { FakeOwner, Stopped, stop } from "../helpers.ts";

const open = (level: "off" | "sampled" | "all", registers = false) => {
  const tracer = new Tracer(level, 4096, registers, () => {});
  const watch = (owner: FakeOwner, byteLength: number, ptr = 0, weight = 1) => {
    const lease = owner.lease(byteLength, ptr);
    tracer.watch(lease, weight);
    return lease;
  };
  const lastAt = ({ account }: FakeOwner, at: number) => stacksOf(tracer.lastAt(account, at));
  return { tracer, watch, lastAt };
};

/** Runs `fn` while `hook` is `Error.prepareStackTrace`. */
function withHook<T>(hook: unknown, fn: () => T): T {
  const { prepareStackTrace } = Error as { prepareStackTrace?: unknown };
  Reflect.set(Error, "prepareStackTrace", hook);
  try {
    return fn();
  } finally {
    Reflect.set(Error, "prepareStackTrace", prepareStackTrace);
  }
}

describe("a tracer", () => {
  test("watches one lease in so many, or in so many bytes, by its level; and rarely where single leases are looked for", () => {
    const ratesOf = (registers: boolean) =>
      (["off", "sampled", "all"] as const).map((level) => {
        const { traceEvery, sampleBytes } = open(level, registers).tracer.rates;
        return [traceEvery, sampleBytes];
      });
    const [sampled, all] = [
      [0, 4096],
      [1, 0],
    ];
    expect(ratesOf(false)).toEqual([[0, 0], sampled, all]);
    expect(ratesOf(true)).toEqual([[1024, 0], sampled, all]);
    expect(open("off").tracer.callSite()).toBeUndefined();
  });

  test("knows a lease by its length and place after a resize, in its block and to another", () => {
    const { tracer, watch, lastAt } = open("all");
    const owner = new FakeOwner();
    const target = new FakeOwner();
    const lease = watch(owner, 10);
    lease.resize(1000);
    expect(tracer.sites).toMatchObject([{ leases: 1, byteLength: 1000 }]);
    owner.target = target;
    lease.resize(2000);
    expect(tracer.sites).toMatchObject([{ leases: 1, byteLength: 2000 }]);
    expect([owner, target].map(({ account }) => tracer.tracesIn(account).length)).toEqual([0, 1]);
    lease.release();
    expect(tracer.sites).toEqual([]);
    // Of a byte behind the lease's first length.
    expect(lastAt(target, 2048 + 1500).acquired).toContain("trace.test");
  });

  test("groups leases by where they were acquired, most bytes first, and says what is usually behind it", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    for (const byteLength of [10, 10, 10]) watch(owner, byteLength);
    for (const releases of [true, true, true, false, false]) {
      const lease = watch(owner, 55);
      if (releases) lease.release();
    }
    expect(tracer.overdueSites).toMatchObject([
      { leases: 2, byteLength: 110 },
      { leases: 3, byteLength: 30 },
    ]);
    const [some, none] = tracer.overdueSites.map(({ summary }) => summary);
    expect(some).toMatch(
      /^2 leases of 110 bytes, oldest \d+ ms: 3 others were released: a return.*; acquired at .*trace\.test.*$/,
    );
    expect(none).toMatch(/^3 leases of 30 bytes, oldest \d+ ms: none was ever released: release\(\).*$/);
  });

  test("says of leases that are out what causes a leak only when one has been out for ten seconds", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    for (const releases of [true, false]) {
      const lease = watch(owner, 55);
      if (releases) lease.release();
    }
    watch(owner, 10);
    const summaries = () => tracer.sites.map(({ summary }) => summary.replace(/; acquired at .*/, ""));
    const now = performance.now();
    const clock = vi.spyOn(performance, "now");
    try {
      clock.mockReturnValue(now + 9000);
      expect(summaries()).toEqual([
        "1 lease of 55 bytes, oldest 9.0 s: 1 other was released",
        "1 lease of 10 bytes, oldest 9.0 s: none was released yet",
      ]);
      clock.mockReturnValue(now + 10_100);
      expect(summaries()).toEqual([
        "1 lease of 55 bytes, oldest 10.1 s: 1 other was released: a return, a throw or a wait skips release()",
        "1 lease of 10 bytes, oldest 10.1 s: none was ever released: release(), using or arena.use() is missing",
      ]);
    } finally {
      clock.mockRestore();
    }
  });

  test("tells a released lease's history, and looks at the trap of a traced one", () => {
    const { watch } = open("all");
    const owner = new FakeOwner();
    const lease = watch(owner, 10);
    lease.release();
    expect(String(thrownBy(() => lease.bytes))).toMatch(
      /\nacquired at:\n.*trace\.test[\s\S]*\nreleased at:\n.*trace\.test[\s\S]*\nthrown at:$/,
    );
    expect(owner.trapLooks).toBe(1);
  });

  test("knows who had a byte last, and nobody where nobody had it", () => {
    const { watch, lastAt } = open("all");
    const owner = new FakeOwner();
    for (const ptr of [64, 128]) watch(owner, 16, ptr).release();
    for (const at of [64, 79, 128, 143]) expect(lastAt(owner, at).released).toContain("trace.test");
    for (const at of [0, 63, 80, 127, 144]) {
      expect(lastAt(owner, at)).toEqual({ acquired: undefined, released: undefined });
    }
  });

  test("finds the leases of one memory, those that ended last included, and writes off those that are out", () => {
    const { tracer, watch } = open("all");
    const [owner, other] = [new FakeOwner(), new FakeOwner()];
    const { account: place } = owner;
    for (const ptr of [64, 64]) watch(owner, 16, ptr).release();
    watch(owner, 100, 128);
    watch(other, 1000, 64).release();
    watch(other, 2);
    expect(tracer.tracesIn(place).map(({ byteLength }) => byteLength)).toEqual([100, 16]);
    expect([1, 2].map(() => tracer.writeOff(place).length)).toEqual([1, 0]);
    expect(tracer.sites.map(({ byteLength }) => byteLength)).toEqual([2]);
  });

  test("keeps no lease, owner or caller from being collected, though V8's stacks hold callers until they are read", async () => {
    const { tracer, watch } = open("all");
    let collected = 0;
    const registry = new FinalizationRegistry<void>(() => void collected++);
    class Connection {
      readonly #owner = new FakeOwner();
      readonly #leaked = this.#acquire(10);
      constructor() {
        for (const each of [this, this.#owner, this.#leaked]) registry.register(each);
        this.#acquire(20).release();
      }
      #acquire(byteLength: number) {
        return watch(this.#owner, byteLength);
      }
    }
    (() => void new Connection())();
    await collectGarbageUntil(() => collected === 3);
    expect(collected).toBe(3);
    expect(tracer.sites).toHaveLength(1);
    expect(tracer.sites[0]?.stack).toMatch(/Connection.*trace\.test/);
  });

  test("runs none of the caller's code until it is asked", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    let calls = 0;
    withHook(
      () => {
        calls++;
        return "Error\n    at hooked (file:///hooked.js:1:2)";
      },
      () => {
        const kept = watch(owner, 10);
        watch(owner, 20).release();
        kept.pin().release();
        expect(calls).toBe(0);
        expect(tracer.sites).toMatchObject([{ stack: "    at hooked (file:///hooked.js:1:2)" }]);
        expect(calls).toBeGreaterThan(0);
      },
    );
  });

  test("is not led round in circles by code that acquires while a stack is read", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    watch(owner, 10);
    withHook(
      () => {
        watch(owner, 20);
        return "";
      },
      () => expect(tracer.sites.length).toBeGreaterThan(0),
    );
  });

  test("forgets the stacks of a lease that ended 4096 leases ago, if nobody read them", () => {
    const { watch, lastAt } = open("all");
    const owner = new FakeOwner();
    const [read, unread] = [watch(owner, 16, 64), watch(owner, 16, 128)];
    read.release();
    unread.release();
    expect(lastAt(owner, 64).acquired).toContain("trace.test");
    for (let each = 0; each < 4095; each++) watch(new FakeOwner(), 1).release();
    expect(lastAt(owner, 64).acquired).toBeUndefined();
    expect(String(thrownBy(() => read.bytes))).toContain("\nacquired at:\n");
    watch(new FakeOwner(), 1).release();
    expect(String(thrownBy(() => unread.bytes))).not.toContain("\nacquired at:\n");
  });

  test("counts a sampled lease for all that it stands for, and says that this is an estimate", () => {
    const { tracer, watch } = open("sampled");
    for (let each = 0; each < 2; each++) watch(new FakeOwner(), 100, 0, 12.3);
    expect(tracer.sites).toMatchObject([{ leases: 25, byteLength: 2460 }]);
    expect(tracer.sites[0]?.summary).toMatch(/^about 25 leases of 2460 bytes/);
  });

  test("takes a lease for a waiter's only until that was acquired, or was not", () => {
    const { tracer, watch } = open("all");
    expect(() => tracer.onBehalfOf({ stack: "at the waiter" }, stop)).toThrow(Stopped);
    watch(new FakeOwner(), 20);
    expect(tracer.sites[0]?.stack).toContain("trace.test");
  });
});

describe("a stack", () => {
  test.each([
    ["throws", stop],
    ["answers no string", () => [1, 2]],
  ])("is empty where the caller's hook %s", (_, hook) => {
    const taken = takeStack();
    expect(withHook(hook, () => textOf(taken))).toBe("");
  });

  test.each([
    ["    at acquires (file:///a/b.js:10:20)", "acquires", "file:///a/b.js"],
    ["    at file:///a/@b/c.js:10:20", "", "file:///a/@b/c.js"],
    ["    at async handle (/a/@scope/b.js:10:20)", "handle", "/a/@scope/b.js"],
    ["    at async file:///a.js:10:20", "", "file:///a.js"],
    ["    at new Foo (/with (parentheses)/b.js:10:20)", "new Foo", "/with (parentheses)/b.js"],
    ["    at Object.<anonymous> [as x] (C:\\a\\b.js:10:20)", "Object.<anonymous> [as x]", "C:\\a\\b.js"],
    ["    at [eval]:10:20", "", "[eval]"],
    ["acquires@http://localhost/a@2/b.js:10:20", "acquires", "http://localhost/a@2/b.js"],
    ["@file:///a.js:10:20", "", "file:///a.js"],
  ])("has frames of every engine: %s", (line, name, url) => {
    expect(frameOf(line)).toEqual({ name, url, line: 10, column: 20 });
  });

  test.each(["Error: at home", "    at <anonymous>", "    at native code", ""])("has no frame in %j", (line) => {
    expect(frameOf(line)).toBeUndefined();
  });

  test("leaves the limit of frames as it was", () => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 3;
    try {
      takeStack();
      expect(Error.stackTraceLimit).toBe(3);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  });
});

test("with trace: sampled long leases are named one by one, others by an estimate that says so", () => {
  using arena = smallArena({ trace: "sampled", sampleBytes: 1000, maxBytes: 2100 * 65536 });
  function acquiresLong() {
    return arena.acquire(60_000);
  }
  const leases = [acquiresLong()];
  for (let each = 0; each < 2000; each++) leases.push(arena.acquire(100));
  const message = String(thrownBy(() => arena.assertDrained()));
  expect(message).toMatch(/\n1 lease of 60000 bytes, .*acquiresLong/);
  expect(message).toMatch(/\nabout [1-9]\d+ leases of \d+ bytes/);
  expect(message).toContain("trace: 'all'");
  releaseAll(leases);
  arena.assertDrained();
});
