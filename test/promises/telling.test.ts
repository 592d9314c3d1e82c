/**
 * Nothing of the caller's runs while the arena works: events, channels and those who wait
 * come in a microtask, and what they then do to the arena finds it at rest. Single notices
 * are test/unit/watch's, those who wait test/misuse/waiting.test.ts's.
 */

import { createHook } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Lease, RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import {
  collectGarbageUntil,
  expectSound,
  LiveLeases,
  MODES,
  memoryNow,
  PAGE_BYTES,
  releaseAll,
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, an event", (revoke: RevokeMode) => {
  test("that is pending when the arena is disposed never comes, nor does one of the collector later", async () => {
    let told = 0;
    const arena = smallArena({ revoke, trace: "all" }, 1);
    const types = ["exhausted", "leak", "dirty", "stray-write"] as const;
    for (const type of types) arena.addEventListener(type, () => told++);
    (() => {
      const stray = arena.acquire(PAGE_BYTES);
      memoryNow(stray)[0] = 1;
      stray.release();
      while (arena.acquire(PAGE_BYTES).origin !== "heap");
    })();
    arena[Symbol.dispose]();
    await collectGarbageUntil(() => false, 8);
    expect(told).toBe(0);
    expect(arena.stats()).toMatchObject({ leakedLeases: 0, liveLeases: 0, reservedBytes: 0 });
  });
});

// Once subscribers ran inside acquire and release, and what they threw or leased confused them.
test("listeners and subscribers that throw, or use the arena, are the platform's to report, and harm nobody", async () => {
  // In a process of its own: a test runner takes the report for a failure.
  const answer = await inChild(`
    import { channel } from "node:diagnostics_channel";
    import { Arena } from "cleanslab";
    const reported = new Set(), heard = [];
    process.on("uncaughtException", (error) => reported.add(error.message));
    const arena = new Arena({ segmentBytes: 262144, maxBytes: 262144, trace: "all" });
    let counted = 0, messages = 0, depth = 0;
    for (const name of ["acquire", "release", "revoke", "exhausted"]) {
      channel("cleanslab:" + name).subscribe(() => { throw new Error("subscriber"); });
      if (name !== "acquire" && name !== "release") continue;
      channel("cleanslab:" + name).subscribe(({ count }) => { messages++; counted += count; if (depth++ < 3) arena.acquire(10).release(); });
    }
    arena.addEventListener("exhausted", () => { throw new Error("listener"); });
    arena.addEventListener("exhausted", () => heard.push("exhausted"));
    arena.addEventListener("stray-write", () => heard.push("stray-write"));
    const held = [];
    while (held.at(-1)?.origin !== "heap") held.push(arena.acquire(60000));
    new Uint8Array(held[0].bytes.buffer)[0] = 1;
    arena.acquireAsync(60000).then((lease) => { heard.push("served"); lease.release(); });
    for (const lease of held) lease.release();
    for (let i = 0; i < 120; i++) arena.acquire(1000).release();
    const inside = messages;
    setTimeout(() => {
      arena.assertDrained();
      console.log(JSON.stringify({ reported: [...reported].sort(), heard: heard.sort(), inside, merged: messages < 20, all: counted >= 240, problems: arena.audit().problems }));
    }, 50);
  `);
  expect(answer).toEqual({
    reported: ["listener", "subscriber"],
    heard: ["exhausted", "served", "stray-write"],
    inside: 0,
    merged: true,
    all: true,
    problems: [],
  });
});

describe.each(MODES)("revoke: %s", (revoke: RevokeMode) => {
  test("built-ins replaced after the import run nowhere in acquire, release and recycling", () => {
    const calls: string[] = [];
    const spy = (name: string) => (): never => {
      calls.push(name);
      throw new Error(`replaced: ${name}`);
    };
    const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
    const places: [object, string][] = [
      ...["fill", "set", "subarray"].map((name): [object, string] => [typedArray, name]),
      [ArrayBuffer.prototype, "transfer"],
      [WebAssembly.Memory.prototype, "grow"],
      [Promise.prototype, "then"],
      [Function.prototype, "call"],
      [globalThis, "Uint8Array"],
    ];
    using arena = smallArena({ revoke, wipeOnRelease: true, onExhausted: "throw" }, 2);
    const originals = places.map(([place, name]) => Object.getOwnPropertyDescriptor(place, name));
    const leases: Lease[] = [];
    let failure: unknown;
    for (const [place, name] of places) {
      Object.defineProperty(place, name, { value: wrong(spy(name)), configurable: true, writable: true });
    }
    try {
      for (let each = 0; each < 300; each++) {
        const lease = arena.acquire([64, 4096, 60_000, 100_000][each % 4] as number);
        Object.defineProperty(lease.memory, "grow", { value: spy("grow of its own"), configurable: true });
        lease.resize(lease.byteLength + 10);
        leases.push(lease);
        if (leases.length > 1) leases.shift()?.release();
      }
      arena.copyOf(leases[0]?.bytes as Uint8Array).release();
      arena.trim();
    } catch (error) {
      failure = error;
    } finally {
      places.forEach(([place, name], each) => {
        const descriptor = originals[each];
        if (descriptor === undefined) Reflect.deleteProperty(place, name);
        else Object.defineProperty(place, name, descriptor);
      });
    }
    expect([failure, calls]).toEqual([undefined, []]);
    releaseAll(leases);
    expectSound(arena);
  });

  test("a hook of async_hooks that uses the arena whenever a promise is made finds it at rest", async () => {
    using arena = smallArena({ revoke, trace: "all" }, 2);
    let isInside = false;
    const problems: unknown[] = [];
    const use = (): void => {
      const live = new LiveLeases();
      live.add(arena.acquire(1000));
      live.releaseAll();
      problems.push(...arena.audit().problems);
    };
    const hook = createHook({
      init() {
        if (isInside) return;
        isInside = true;
        try {
          use();
        } catch (error) {
          problems.push(error);
        }
        isInside = false;
      },
    }).enable();
    const listener = (): void => {};
    subscribe("cleanslab:revoke", listener);
    try {
      for (let round = 0; round < 40; round++) {
        const live = new LiveLeases();
        live.add(...[64, 4096, 70_000, 200_000].map((byteLength) => arena.acquire(byteLength)));
        live.releaseAll();
        await settle();
      }
    } finally {
      unsubscribe("cleanslab:revoke", listener);
      hook.disable();
    }
    expect(problems).toEqual([]);
    arena.assertDrained();
    expectSound(arena);
  });
});
