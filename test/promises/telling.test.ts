/**
 * Nothing of the caller's runs while the arena works: events, channels and those who wait
 * come in a microtask, merged; and what they then do to the arena finds it at rest.
 */

import { createHook } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Arena, ExhaustedEvent, Lease, RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  collectGarbageUntil,
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
  expectUsable,
  isSettled,
  isZero,
  MODES,
  PAGE_BYTES,
  promptly,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";
import { answerOf } from "./helpers.ts";

describe.each(MODES)("revoke: %s, an event", (revoke: RevokeMode) => {
  test("comes in a microtask, merged with those of its kind", async () => {
    using arena = smallArena({ revoke }, 1);
    const events: ExhaustedEvent[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event));
    const held = arena.acquire(SEGMENT_BYTES);
    const { reservedBytes } = arena.stats();
    for (const byteLength of [10, 20, 30]) arena.acquire(byteLength).release();
    expect(events).toEqual([]);
    await Promise.resolve();
    expect(events).toMatchObject([{ type: "exhausted", count: 3, byteLength: 30, reservedBytes }]);
    expect(events[0]).toBeInstanceOf(Event);
    held.release();
    arena.acquire(10).release();
    await settle();
    expect(events).toHaveLength(1);
  });

  test("lets its listener acquire, release, resize, trim and dispose", async () => {
    const arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const inside: Lease[] = [];
    arena.addEventListener("exhausted", () => {
      held.release();
      inside.push(arena.acquire(PAGE_BYTES));
      inside[0]?.resize(100);
      arena.trim();
      expectSound(arena);
      arena[Symbol.dispose]();
    });
    const lease = arena.acquire(PAGE_BYTES);
    expect(lease.origin).toBe("heap");
    await settle();
    expect(inside[0]?.released).toBe(false);
    expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, reservedBytes: 0 });
  });

  test("that is pending when the arena is disposed never comes, nor does one of the collector later", async () => {
    let told = 0;
    const listen = (arena: Arena): void => {
      for (const type of ["exhausted", "leak", "dirty", "stray-write"] as const)
        arena.addEventListener(type, () => told++);
    };
    const arena = smallArena({ revoke, trace: "all" }, 1);
    listen(arena);
    (() => {
      exhaustWith(arena);
      const lease = arena.acquire(PAGE_BYTES);
      if (lease.memory !== undefined) new Uint8Array(lease.memory.buffer)[0] = 1;
      lease.release();
      for (let each = 0; each < 5; each++) arena.acquire(PAGE_BYTES);
    })();
    arena[Symbol.dispose]();
    await collectGarbageUntil(() => false, 8);
    expect(told).toBe(0);
    expect(arena.stats()).toMatchObject({ leakedLeases: 0, liveLeases: 0 });
  });
});

/** Leases of all the cap, forgotten. */
function exhaustWith(arena: Arena): void {
  while (arena.acquire(PAGE_BYTES).origin !== "heap");
}

describe("a listener that throws", () => {
  test("is reported by the platform, and stops neither the other listeners nor the other notices", async () => {
    // In a process of its own: a test runner takes the report for a failure.
    const answer = await answerOf(`
      import { Arena } from LIBRARY;
      const reported = [], heard = [];
      process.on("uncaughtException", (error) => reported.push(error.message));
      const arena = new Arena({ segmentBytes: 262144, maxBytes: 262144, trace: "all" });
      arena.addEventListener("exhausted", () => { throw new Error("from the listener"); });
      arena.addEventListener("exhausted", () => heard.push("exhausted"));
      arena.addEventListener("stray-write", () => heard.push("stray-write"));
      const held = [];
      while (held.at(-1)?.origin !== "heap") held.push(arena.acquire(60000));
      new Uint8Array(held[0].bytes.buffer)[0] = 1;
      const waiting = arena.acquireAsync(60000).then(() => heard.push("served"));
      for (const lease of held) lease.release();
      setTimeout(() => console.log(JSON.stringify({ reported, heard: heard.sort(), live: arena.stats().liveLeases })), 50);
    `);
    expect(answer).toEqual({
      reported: ["from the listener"],
      heard: ["exhausted", "served", "stray-write"],
      live: 1,
    });
  });
});

describe.each(MODES)("revoke: %s, who waits", (revoke: RevokeMode) => {
  test("is served in a microtask, when the release that made room is over", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, PAGE_BYTES);
    let isServed = false;
    const waiting = arena.acquireAsync(PAGE_BYTES).then((lease) => {
      isServed = true;
      return lease;
    });
    releaseAll(held);
    expect(isServed).toBe(false);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 1 });
    const lease = await promptly(waiting);
    expect(isZero(lease.bytes)).toBe(true);
    lease.release();
  });

  test("runs a thenable of its own, in a signal or not, only then", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, PAGE_BYTES);
    const steps: string[] = [];
    const signal = {
      aborted: false,
      addEventListener: () => steps.push("added"),
      removeEventListener: () => {
        steps.push("removed");
        for (const lease of held) if (!lease.released) expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
      },
    };
    const waiting = [arena.acquireAsync(PAGE_BYTES, { signal: wrong(signal) }), arena.acquireAsync(100)];
    releaseAll(held);
    expect(steps).toEqual(["added"]);
    const leases = await promptly(Promise.all(waiting));
    expect(steps).toEqual(["added", "removed"]);
    leases[0]?.bytes.fill(5);
    expect(isZero((leases[1] as Lease).bytes)).toBe(true);
    releaseAll(leases);
    arena.assertDrained();
    expectSound(arena);
  });

  test("comes first, comes first served: the head blocks, acquireAsync queues, a plain acquire may overtake", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, 60_000);
    const long = arena.acquireAsync(SEGMENT_BYTES);
    const short = arena.acquireAsync(10);
    held.pop()?.release();
    await settle();
    expect(arena.stats().waiting).toBe(2);
    if (revoke !== "before-reuse") arena.acquire(10).release();
    expect(await isSettled(short)).toBe(false);
    releaseAll(held);
    const first = await promptly(long);
    expect(await isSettled(short)).toBe(false);
    first.release();
    (await promptly(short)).release();
    expectUsable(arena);
  });

  test("for several lengths uses up no room while they do not fit together", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const held = exhaust(arena, 150_000);
    const waiting = arena.acquireAsync([40_000, SEGMENT_BYTES, 40_000]);
    const { acquired, revocations } = arena.stats();
    // Each release tries to serve.
    const spare = held.pop();
    spare?.release();
    for (let each = 0; each < 30; each++) {
      arena.acquire(100_000).release();
      await settle();
    }
    // Where free blocks lie anywhere, only trying tells: what is tried is counted, and given back.
    expect(arena.stats().waiting).toBe(1);
    if (revoke !== "never") expect(arena.stats().acquired).toBe(acquired + 30);
    if (revoke !== "never") expect(arena.stats().revocations - revocations).toBeLessThanOrEqual(31);
    releaseAll(held);
    const leases = await promptly(waiting);
    expect(leases.map(({ byteLength }) => byteLength)).toEqual([40_000, SEGMENT_BYTES, 40_000]);
    releaseAll(leases);
    arena.assertDrained();
    expectSound(arena);
  });

  test("for what cannot fit though no lease is out is told so", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const wanted = [SEGMENT_BYTES - PAGE_BYTES - 10_000, PAGE_BYTES, 5000, 5000];
    const error = await rejectionOf(promptly(arena.acquireAsync(wanted)));
    expectArenaError(error, "ERR_ARENA_EXHAUSTED", "no lease is out");
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0 });
    expectUsable(arena);
  });

  test("is rejected when the arena is disposed, and told so", async () => {
    const arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    exhaust(arena, PAGE_BYTES);
    const waiting = [arena.acquireAsync(PAGE_BYTES), arena.acquireAsync([10, 20])].map(rejectionOf);
    const drained = arena.drained();
    arena[Symbol.dispose]();
    for (const each of waiting) expectArenaError(await promptly(each), "ERR_ARENA_DISPOSED");
    await promptly(drained);
    expect(arena.stats().waiting).toBe(0);
  });
});

describe.each(MODES)("revoke: %s, built-ins replaced after the import", (revoke: RevokeMode) => {
  test("run nowhere in acquire, release and recycling", () => {
    const calls: string[] = [];
    const spy =
      (name: string, original: unknown) =>
      (...args: unknown[]): never => {
        calls.push(`${name} ${args.length} ${typeof original}`);
        throw new Error(`replaced: ${name}`);
      };
    const prototype = Object.getPrototypeOf(Uint8Array.prototype) as object;
    const places: [object, string][] = [
      [prototype, "fill"],
      [prototype, "set"],
      [prototype, "subarray"],
      [ArrayBuffer.prototype, "transfer"],
      [WebAssembly.Memory.prototype, "grow"],
      [Promise.prototype, "then"],
      [Function.prototype, "call"],
    ];
    using arena = smallArena({ revoke, wipeOnRelease: true, onExhausted: "throw" }, 2);
    const originals = places.map(([place, name]) => Object.getOwnPropertyDescriptor(place, name));
    const leases: Lease[] = [];
    const { Uint8Array: Original } = globalThis;
    for (const [place, name] of places) {
      Object.defineProperty(place, name, {
        value: spy(name, Reflect.get(place, name)),
        configurable: true,
        writable: true,
      });
    }
    globalThis.Uint8Array = wrong(spy("Uint8Array", Original));
    let failure: unknown;
    try {
      for (let each = 0; each < 300; each++) {
        const lease = arena.acquire([64, 4096, 60_000, 100_000][each % 4] as number);
        lease.resize(lease.byteLength + 10);
        leases.push(lease);
        if (leases.length > 1) leases.shift()?.release();
      }
      arena.copyOf(leases[0]?.bytes as Uint8Array).release();
      arena.trim();
    } catch (error) {
      failure = error;
    } finally {
      globalThis.Uint8Array = Original;
      places.forEach(([place, name], each) => {
        const descriptor = originals[each];
        if (descriptor === undefined) Reflect.deleteProperty(place, name);
        else Object.defineProperty(place, name, descriptor);
      });
    }
    expect(failure).toBeUndefined();
    expect(calls).toEqual([]);
    releaseAll(leases);
    expectSound(arena);
  });
});

describe.each(MODES)("revoke: %s, a hook of async_hooks", (revoke: RevokeMode) => {
  test("that uses the arena whenever a promise is made finds it at rest", async () => {
    using arena = smallArena({ revoke, trace: "all" }, 2);
    let isInside = false;
    const found: string[] = [];
    const hook = createHook({
      init() {
        if (isInside) return;
        isInside = true;
        const lease = arena.acquire(1000);
        if (!isZero(lease.bytes)) found.push("not zero");
        lease.bytes.fill(7);
        lease.release();
        found.push(...arena.audit().problems);
        isInside = false;
      },
    }).enable();
    const listener = (): void => {};
    subscribe("cleanslab:revoke", listener);
    try {
      for (let round = 0; round < 40; round++) {
        const leases = [64, 4096, 70_000, 200_000].map((byteLength) => arena.acquire(byteLength));
        for (const { bytes } of leases) {
          if (!isZero(bytes)) found.push("not zero outside");
          bytes.fill(9);
        }
        if (leases.some(({ bytes }) => bytes[0] !== 9)) found.push("written by another");
        releaseAll(leases);
        await settle();
      }
    } finally {
      unsubscribe("cleanslab:revoke", listener);
      hook.disable();
    }
    expect(found).toEqual([]);
    arena.assertDrained();
    expectSound(arena);
  });
});
