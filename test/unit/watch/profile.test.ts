/** Leases as a sampling heap profile, in V8's own format. test/browser opens one in speedscope. */

import { Session } from "node:inspector/promises";
import type { HeapProfileNode } from "cleanslab";
import { describe, expect, test } from "vitest";
import { heapProfile } from "../../../src/watch/profile.ts";
import { collectGarbageUntil, expectThrow, releaseAll, smallArena } from "../../helpers.ts";

const at = (name: string, line = 1) => `    at ${name} (/app/${name}.js:${line}:5)`;
const stack = (...frames: string[]) => frames.join("\n");

/** Every node as its path from the root and its bytes. */
function paths({ callFrame, selfSize, children }: HeapProfileNode, above = ""): string[] {
  const path = `${above}/${callFrame.functionName}:${callFrame.lineNumber}`;
  return [`${path} ${selfSize}`, ...children.flatMap((child) => paths(child, path))];
}

function totalOf({ selfSize, children }: HeapProfileNode): number {
  return children.reduce((sum, child) => sum + totalOf(child), selfSize);
}

describe("a profile", () => {
  test("is a tree of callers, with the bytes of each site below it, and all calls of a caller in one node", () => {
    const sites = [
      { stack: stack(at("acquires"), at("handles", 7), at("serves")), byteLength: 10, summary: "ten" },
      { stack: stack(at("acquires", 2), at("handles", 9), at("serves")), byteLength: 20.4 },
      { stack: at("serves"), byteLength: 3 },
    ];
    const { head, samples } = heapProfile(sites, [], 5);
    expect(paths(head)).toEqual([
      "/(root):-1 0",
      "/(root):-1/serves:0 3",
      "/(root):-1/serves:0/handles:6 0",
      "/(root):-1/serves:0/handles:6/acquires:0 0",
      "/(root):-1/serves:0/handles:6/acquires:0/ten:0 10",
      "/(root):-1/serves:0/handles:6/acquires:1 20",
      "/(root):-1/(leases that are not traced):-1 5",
    ]);
    expect(head.children[0]?.callFrame).toMatchObject({ url: "file:///app/serves.js", lineNumber: 0, columnNumber: 4 });
    expect(samples.map(({ size }) => size)).toEqual([10, 20, 3, 5]);
  });

  test("keeps leaks apart, and has a place for a stack that is none", () => {
    const { head } = heapProfile(
      [{ stack: "", byteLength: 1 }],
      [{ stack: at("leaks"), byteLength: 2, summary: "lost" }],
      0,
    );
    expect(paths(head)).toEqual([
      "/(root):-1 0",
      "/(root):-1/(no stack):-1 1",
      "/(root):-1/(leaked: collected, never released):-1 0",
      "/(root):-1/(leaked: collected, never released):-1/leaks:0 0",
      "/(root):-1/(leaked: collected, never released):-1/leaks:0/lost:0 2",
    ]);
  });

  test("has the form of V8's own", async () => {
    const session = new Session();
    session.connect();
    await session.post("HeapProfiler.startSampling", { samplingInterval: 64 });
    const kept = Array.from({ length: 10_000 }, () => ({}));
    const { profile } = await session.post("HeapProfiler.stopSampling");
    session.disconnect();
    expect(kept).toHaveLength(10_000);
    const { head, samples } = heapProfile([{ stack: at("acquires"), byteLength: 1 }], [], 0);
    const types = (value: object) =>
      Object.fromEntries(
        Object.entries(value)
          .map(([key, each]) => [key, typeof each] as const)
          .sort(),
      );
    expect(types(head)).toEqual(types(profile.head));
    expect(types(head.callFrame)).toEqual(types(profile.head.callFrame));
    expect(head.callFrame).toEqual(profile.head.callFrame);
    const [sample] = (profile as { samples?: object[] }).samples ?? [];
    expect(types(samples[0] ?? {})).toEqual(types(sample ?? {}));
    const ids = new Set<number>();
    const collect = (node: HeapProfileNode): void => {
      ids.add(node.id);
      node.children.forEach(collect);
    };
    collect(head);
    expect(samples.every(({ nodeId }) => ids.has(nodeId))).toBe(true);
  });
});

describe("arena.profile", () => {
  test("has every lease that is out, by who acquired it, and those that are not traced in one heap", () => {
    using arena = smallArena();
    const untraced = arena.acquire(100);
    arena.trace = "all";
    function holds() {
      return arena.acquire(1000);
    }
    const held = Array.from({ length: 3 }, holds);
    held.pop()?.release();
    const leases = [untraced, ...held, arena.copyOf(new Uint8Array(300))];
    const { head } = arena.profile();
    expect(totalOf(head)).toBe(2400);
    expect(paths(head)).toContain("/(root):-1/(leases that are not traced):-1 100");
    expect(paths(head).join("\n")).toMatch(/\/holds:\d+\/2 leases of 2000 bytes, .*1 other was released.* 2000$/m);
    releaseAll(leases);
    expect(totalOf(arena.profile().head)).toBe(0);
  });

  test("since a mark has what was acquired, released or not, for each mark", () => {
    using arena = smallArena({ trace: "all" });
    const first = arena.mark();
    arena.acquire(10).release();
    const second = arena.mark();
    for (let each = 0; each < 1500; each++) arena.acquire(100).release();
    expect(totalOf(arena.profile(first).head)).toBe(150_010);
    expect(totalOf(arena.profile(second).head)).toBe(150_000);
    expect(paths(arena.profile(second).head).join()).not.toContain("not traced");
  });

  test("refuses another arena's mark, and a disposed arena", () => {
    const arena = smallArena({ trace: "all" });
    using other = smallArena();
    expectThrow(() => arena.profile(other.mark()), "ERR_INVALID_ARGUMENT", "mark() of this arena");
    arena[Symbol.dispose]();
    expectThrow(() => arena.profile(), "ERR_ARENA_DISPOSED");
    expectThrow(() => arena.mark(), "ERR_ARENA_DISPOSED");
  });
});

test("a mark that nobody holds is no longer counted for, and keeps no lease", async () => {
  using arena = smallArena({ trace: "all" });
  let collected = 0;
  const registry = new FinalizationRegistry<void>(() => void collected++);
  class Caller {
    acquires() {
      arena.acquire(10).release();
    }
  }
  const mark = arena.mark();
  (() => {
    const caller = new Caller();
    registry.register(caller);
    registry.register(arena.mark());
    caller.acquires();
  })();
  await collectGarbageUntil(() => collected === 2);
  expect(collected).toBe(2);
  expect(totalOf(arena.profile(mark).head)).toBe(10);
});
