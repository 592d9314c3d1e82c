/** Traced leases: where they were acquired, who had a byte last, and which were collected. */

import { describe, expect, test } from "vitest";
import { frameOf, takeStack, textOf } from "../../../src/watch/stack.ts";
import { stacksOf, type Trace, Tracer } from "../../../src/watch/trace.ts";
import { collectGarbageUntil, MODES, releaseAll, smallArena, thrownBy } from "../../helpers.ts";
import { FakeOwner, stop } from "../helpers.ts";

const open = (level: "off" | "sampled" | "all", registers = false) => {
  const lost: Trace[] = [];
  const tracer = new Tracer(level, 4096, registers, (trace) => lost.push(trace));
  const watch = (owner: FakeOwner, byteLength: number, ptr = 0, weight = 1) => {
    const lease = owner.lease(byteLength, ptr);
    tracer.watch(lease, weight);
    return lease;
  };
  const sitesIn = ({ account }: FakeOwner) => tracer.group(tracer.tracesIn(account));
  const lastAt = ({ account }: FakeOwner, at: number) => stacksOf(tracer.lastAt(account, at));
  return { tracer, lost, watch, sitesIn, lastAt };
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
  test.each([
    ["off", false, 0, 0],
    ["sampled", false, 0, 4096],
    ["all", false, 1, 0],
    ["off", true, 1024, 0],
    ["sampled", true, 0, 4096],
    ["all", true, 1, 0],
  ] as const)(
    "of level %s, where single leases are looked for: %s, watches one lease in %i, or in %i bytes",
    (level, registers, traceEvery, sampleBytes) => {
      expect(open(level, registers).tracer.rates).toEqual({ traceEvery, sampleBytes });
    },
  );

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
    const { tracer, watch, sitesIn, lastAt } = open("all");
    const owner = new FakeOwner();
    const target = new FakeOwner();
    const lease = watch(owner, 10);
    lease.resize(1000);
    expect(tracer.sites).toMatchObject([{ leases: 1, byteLength: 1000 }]);
    owner.target = target;
    lease.resize(2000);
    expect(tracer.sites).toMatchObject([{ leases: 1, byteLength: 2000 }]);
    expect(sitesIn(owner)).toEqual([]);
    expect(sitesIn(target)).toMatchObject([{ leases: 1, byteLength: 2000 }]);
    lease.release();
    expect(tracer.sites).toEqual([]);
    // Of a byte behind the lease's first length.
    expect(lastAt(target, 2048 + 1500).acquired).toContain("trace.test");
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

  test("names the leases of one memory, those that are out and those that ended last", () => {
    const { watch, sitesIn } = open("all");
    const owner = new FakeOwner();
    watch(owner, 16, 64).release();
    watch(owner, 16, 64).release();
    watch(owner, 100, 128);
    watch(new FakeOwner(), 1000);
    const sites = sitesIn(owner);
    expect(sites.map(({ byteLength }) => byteLength)).toEqual([100, 16]);
  });

  test("writes off the leases of one memory, and only those", () => {
    const { tracer, watch } = open("all");
    const [lost, kept] = [new FakeOwner(), new FakeOwner()];
    watch(lost, 1);
    watch(kept, 2);
    watch(lost, 3);
    expect(tracer.writeOff(lost.account).reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(4);
    expect(tracer.sites.map(({ byteLength }) => byteLength)).toEqual([2]);
    expect(tracer.writeOff(lost.account)).toEqual([]);
    tracer.close();
    expect(tracer.sites).toEqual([]);
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
    expect(lastAt(owner, 128).acquired).toContain("trace.test");
    watch(new FakeOwner(), 1).release();
    watch(new FakeOwner(), 1).release();
    expect(lastAt(owner, 128).acquired).toBeUndefined();
  });

  test.each([
    ["one that is only pinned", "released, but a pin"],
    ["one of a site whose others were released", "3 others were released"],
    ["one of a site that releases none", "none was ever released"],
  ])("says what is usually behind %s", (which, cause) => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    const branches = which.includes("others") ? [true, true, true, false] : [false];
    for (const releases of branches) {
      const lease = watch(owner, 100);
      if (which.includes("pinned")) {
        lease.pin();
        lease.release();
      } else if (releases) lease.release();
    }
    expect(tracer.sites).toHaveLength(1);
    const [site] = tracer.sites;
    expect(site?.summary).toMatch(/^1 lease of 100 bytes, oldest \d+ ms: .*; acquired at .*trace\.test/);
    expect(site?.summary).toContain(cause);
    expect(site?.summary).not.toContain("\n");
  });

  test("counts a sampled lease for all that it stands for, and says that this is an estimate", () => {
    const { tracer, watch } = open("sampled");
    for (let each = 0; each < 2; each++) watch(new FakeOwner(), 100, 0, 12.3);
    expect(tracer.sites).toMatchObject([{ leases: 25, byteLength: 2460 }]);
    expect(tracer.sites[0]?.summary).toMatch(/^about 25 leases of 2460 bytes/);
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
    expect(lost).toMatchObject([{ place: owner.account, byteLength: 10 }]);
    expect(tracer.sites).toEqual([]);
  });

  test("says for a lease that was waited for where the waiter asked", () => {
    const { tracer, watch } = open("all");
    const owner = new FakeOwner();
    tracer.onBehalfOf({ stack: "at the waiter" }, () => watch(owner, 10));
    expect(tracer.sites).toMatchObject([{ stack: "at the waiter" }]);
    const mine = new Error("mine");
    const throws = (): never => {
      throw mine;
    };
    expect(thrownBy(() => tracer.onBehalfOf({ stack: "at another" }, throws))).toBe(mine);
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
    expect(message).toMatch(/\n\s*at acquires .*trace\.test/);
    expect(message).not.toContain("/src/");
  });

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

describe.each(MODES)("revoke: %s, trace: sampled", (revoke) => {
  test("names leases by their bytes, and says that the figures are estimates", () => {
    using arena = smallArena({ revoke, trace: "sampled", sampleBytes: 1000, maxBytes: 2100 * 65536 });
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
});
