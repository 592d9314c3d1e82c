/** What `assertDrained` says of leases that are still out: who acquired them, and whether only a pin holds them. */

import type { Arena, Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import {
  expectArenaError,
  expectThrow,
  MODES,
  PAGE_BYTES,
  promptly,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
  thrownBy,
} from "../helpers.ts";

/** The message of `assertDrained`. */
function messageOf(arena: Arena): string {
  const error = thrownBy(() => arena.assertDrained());
  expectArenaError(error, "ERR_LEASES_OUTSTANDING");
  return error instanceof Error ? error.message : "";
}

describe.each(MODES)("revoke: %s, assertDrained", (revoke) => {
  test.each(["all", "off"] as const)("says of a released lease that it is pinned, with trace: %s", (trace) => {
    using arena = smallArena({ revoke, trace });
    const lease = arena.acquire(100);
    const pins = [lease.pin(), lease.pin()];
    lease.release();
    const pinned = ["released but still pinned: 1 lease of 100 bytes", "releaseAfter"];
    const site = trace === "all" ? ["outstanding.test", "released, but a pin"] : [];
    expectThrow(() => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", ...pinned, ...site);
    expect(messageOf(arena)).not.toContain("not released");
    const other = arena.acquire(10);
    const both = ["not released: 2 leases of 110 bytes", "1 of them released but still pinned"];
    expectThrow(() => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", ...both);
    for (const each of [other, ...pins]) each.release();
    arena.assertDrained();
  });

  test("names with trace: all the caller of a lease that waited, or is on the heap, and of no other", async () => {
    using arena = smallArena({ revoke, trace: "all" }, 1);
    function returnsIt(): void {
      arena.acquire(1).release();
    }
    function waitsForIt(): Promise<Lease> {
      return arena.acquireAsync(SEGMENT_BYTES);
    }
    function overflowsWithIt(): Lease {
      return arena.acquire(PAGE_BYTES + 1);
    }
    returnsIt();
    const held = arena.acquire(SEGMENT_BYTES);
    const waiting = waitsForIt();
    held.release();
    const leases = [await promptly(waiting), overflowsWithIt()];
    expect(leases[1]?.origin).toBe("heap");
    const message = messageOf(arena);
    expect(message).toContain(`2 leases of ${SEGMENT_BYTES + PAGE_BYTES + 1} bytes`);
    expect(message).toMatch(/1 lease of 262144 bytes, oldest.*\n.*\bwaitsForIt .*outstanding\.test/);
    expect(message).toMatch(/1 lease of 65537 bytes, oldest.*\n.*\boverflowsWithIt .*outstanding\.test/);
    for (const no of ["returnsIt", "set trace"]) expect(message).not.toContain(no);
    releaseAll(leases);
    arena.assertDrained();
  });
});

test("the stacks of assertDrained in plain Node, where no test runner rewrites them, start with the caller", async () => {
  const sites = await inChild<Record<string, string>>(`
      import { Arena } from "cleanslab";
      const arena = new Arena({ trace: "all" });
      const doors = {
        acquire: () => arena.acquire(64),
        pool: () => arena.pool(64).acquire(),
        "scope.acquire": () => arena.scope().acquire(64),
        "scope.bytes": () => arena.scope().bytes(64),
        use: () => void arena.use(64, () => new Promise(() => {})),
        copyOf: () => arena.copyOf(new Uint8Array(64)),
        acquireFilled: () => arena.acquireFilled(64, () => 64),
        filler: () => arena.filler(64),
        acquireAsync: () => void arena.acquireAsync(64),
      };
      const sites = {};
      for (const [name, door] of Object.entries(doors)) {
        const forgetful = { forgets: () => door() };
        const lease = forgetful.forgets();
        try { arena.assertDrained(); } catch (error) { sites[name] = error.message.split(/\\n1 lease of 64 bytes, oldest.*\\n/).at(-1); }
      }
      console.log(JSON.stringify(sites));
    `);
  expect(Object.keys(sites)).toHaveLength(9);
  for (const [door, stack] of Object.entries(sites)) {
    expect(stack.split("\n")[0], door).toMatch(/\[eval/);
    expect(stack, door).toMatch(/forgets.*\[eval/);
  }
});

test("in plain Node the error's own stack starts with the caller of assertDrained, or of a released lease's member", async () => {
  const stacks = await inChild<Record<string, string>>(`
    import { Arena } from "cleanslab";
    const arena = new Arena({ trace: "all" });
    const held = arena.acquire(1);
    const lease = arena.acquire(1);
    lease.release();
    const uses = {
      assertDrained: () => arena.assertDrained(),
      bytes: () => lease.bytes,
      tag: () => lease.tag,
      release: () => lease.release(),
      resize: () => lease.resize(1),
      releaseAfter: () => lease.releaseAfter(Promise.resolve()),
    };
    const stacks = {};
    for (const [name, use] of Object.entries(uses)) {
      const caller = { calls: () => void use() };
      try { caller.calls(); } catch (error) { stacks[name] = error.stack.slice(error.stack.indexOf(error.message) + error.message.length + 1); }
    }
    console.log(JSON.stringify(stacks));
  `);
  expect(Object.keys(stacks)).toHaveLength(6);
  for (const [use, stack] of Object.entries(stacks)) expect(stack, use).toMatch(/^ +at .*\[eval.*\n.*calls/);
});
