/** Leases that are still out: in a scope, and named by `assertDrained`. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lease } from "cleanslab";
import { beforeAll, describe, expect, test } from "vitest";
import {
  expectArenaError,
  expectThrow,
  expectUnharmed,
  expectUsable,
  isAll,
  MODES,
  PAGE_BYTES,
  promptly,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
  thrownBy,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, a scope", (revoke) => {
  test("releases the rest when one of its leases was released before", () => {
    using arena = smallArena({ revoke });
    const scope = arena.scope();
    const first = scope.acquire(100);
    const second = scope.acquire(200);
    const third = scope.acquire(300);
    second.release();
    scope.release();
    expect([first, second, third].map(({ released }) => released)).toEqual([true, true, true]);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, acquired: 3, released: 3 });
    expectThrow(() => second.release(), "ERR_LEASE_RELEASED", "200 bytes");
    expectUsable(arena);
  });

  test("throws on every use after its end, but for a quiet dispose", () => {
    using arena = smallArena({ revoke });
    const scope = arena.scope();
    scope.acquire(100);
    scope[Symbol.dispose]();
    expectUnharmed(arena, () => {
      expectThrow(() => scope.acquire(100), "ERR_LEASE_RELEASED", "this scope has ended", "open a new one");
      expectThrow(() => scope.bytes(100), "ERR_LEASE_RELEASED", "this scope has ended", "open a new one");
      expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "this scope has ended", "open a new one");
      scope[Symbol.dispose]();
    });
  });

  test("keeps what it has when one more cannot be acquired", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const scope = arena.scope();
    const lease = scope.acquire(100);
    lease.bytes.fill(7);
    expectThrow(() => scope.acquire(SEGMENT_BYTES + 1), "ERR_ARENA_EXHAUSTED", "can never fit");
    expectThrow(() => scope.acquire(-1), "ERR_INVALID_ARGUMENT", "byteLength is -1");
    expect(isAll(lease.bytes, 7)).toBe(true);
    scope.release();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, acquired: 1, released: 1 });
    expectUsable(arena);
  });
});

describe.each(MODES)("revoke: %s, assertDrained", (revoke) => {
  test("throws with the number and length of the leases that are out, and says how to find them", () => {
    using arena = smallArena({ revoke });
    const leases = [arena.acquire(100), arena.acquire(200), arena.acquire(SEGMENT_BYTES + 1)];
    expectUnharmed(arena, () => {
      expectThrow(
        () => arena.assertDrained(),
        "ERR_LEASES_OUTSTANDING",
        `3 leases of ${300 + SEGMENT_BYTES + 1} bytes`,
        "trace: 'all'",
      );
    });
    leases.pop()?.release();
    expectThrow(() => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", "2 leases of 300 bytes");
    releaseAll(leases);
    arena.assertDrained();
  });

  test.each(["all", "off"] as const)("says of a released lease that it is pinned, with trace: %s", (trace) => {
    using arena = smallArena({ revoke, trace });
    const lease = arena.acquire(100);
    const pins = [lease.pin(), lease.pin()];
    lease.release();
    const pinned = ["released but still pinned: 1 lease of 100 bytes", "releaseAfter"];
    const site = trace === "all" ? ["outstanding.test", "released, but a pin"] : [];
    expectThrow(() => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", ...pinned, ...site);
    expect(String(thrownBy(() => arena.assertDrained()))).not.toContain("not released");
    const other = arena.acquire(10);
    const both = ["not released: 2 leases of 110 bytes", "1 of them released but still pinned"];
    expectThrow(() => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", ...both);
    expect(arena.stats().pinnedLeases).toBe(1);
    other.release();
    for (const pin of pins) pin.release();
    expect(arena.stats().pinnedLeases).toBe(0);
    arena.assertDrained();
  });

  test("names the caller of each lease with trace: all, and only of those still out", async () => {
    using arena = smallArena({ revoke, trace: "all" }, 8);
    function returnsIt(): void {
      arena.acquire(1).release();
    }
    function forgetsIt(): Lease {
      return arena.acquire(2);
    }
    function forgetsACopy(): Lease {
      return arena.copyOf(new Uint8Array(3));
    }
    async function forgetsAnAsyncOne(): Promise<Lease> {
      return await arena.acquireAsync(4);
    }
    returnsIt();
    const leases = [forgetsIt(), forgetsACopy(), await forgetsAnAsyncOne()];
    const error = thrownBy(() => arena.assertDrained());
    expectArenaError(error, "ERR_LEASES_OUTSTANDING", "3 leases of 9 bytes");
    const message = error instanceof Error ? error.message : "";
    for (const [byteLength, caller] of [
      [2, "forgetsIt"],
      [3, "forgetsACopy"],
      [4, "forgetsAnAsyncOne"],
    ] as const) {
      expect(firstFrame(message, byteLength)).toMatch(new RegExp(`\\b${caller} .*outstanding\\.test`));
    }
    expect(message).not.toContain("returnsIt");
    expect(message).not.toContain("set trace");
    releaseAll(leases);
    arena.assertDrained();
  });

  test("names the caller of a heap lease with trace: all", () => {
    using arena = smallArena({ revoke, trace: "all" }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    function forgetsIt(): Lease {
      return arena.acquire(PAGE_BYTES + 1);
    }
    const lease = forgetsIt();
    expect(lease.origin).toBe("heap");
    held.release();
    const error = thrownBy(() => arena.assertDrained());
    expect(firstFrame(error instanceof Error ? error.message : "", PAGE_BYTES + 1)).toContain("forgetsIt");
    lease.release();
    arena.assertDrained();
  });

  test("names the caller of acquireAsync with trace: all when it had to wait", async () => {
    using arena = smallArena({ revoke, trace: "all" }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    function asks(): Promise<Lease> {
      return arena.acquireAsync(SEGMENT_BYTES);
    }
    const promise = asks();
    held.release();
    const lease = await promptly(promise);
    function acquires(): Lease {
      return arena.acquire(PAGE_BYTES + 1);
    }
    const other = acquires();
    const error = thrownBy(() => arena.assertDrained());
    const message = error instanceof Error ? error.message : "";
    expect(firstFrame(message, SEGMENT_BYTES)).toContain("asks");
    // Only that one was acquired on another's behalf.
    expect(firstFrame(message, PAGE_BYTES + 1)).toContain("acquires");
    releaseAll([lease, other]);
    arena.assertDrained();
  });
});

/** The line under that of a site in the message of `assertDrained`. */
function firstFrame(message: string, byteLength: number): string {
  const lines = message.split("\n");
  return lines[lines.findIndex((line) => line.startsWith(`1 lease of ${byteLength} bytes, oldest`)) + 1] ?? "";
}

describe("the stacks of assertDrained in plain Node, where no test runner rewrites them", () => {
  let sites: Record<string, string>;

  beforeAll(() => {
    const program = `
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
    `;
    sites = JSON.parse(
      execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
        cwd: fileURLToPath(new URL("../..", import.meta.url)),
        encoding: "utf8",
      }),
    );
  });

  test.each([
    "acquire",
    "pool",
    "scope.acquire",
    "scope.bytes",
    "use",
    "copyOf",
    "acquireFilled",
    "filler",
    "acquireAsync",
  ])("start with the caller of %s", (door) => {
    expect(sites[door]?.split("\n")[0]).toMatch(/\[eval/);
  });

  test.each(["acquire", "pool", "scope.acquire", "use", "copyOf", "acquireFilled", "filler", "acquireAsync"])(
    "reach the caller of %s",
    (door) => {
      expect(sites[door]).toMatch(/forgets.*\[eval/);
    },
  );

  test.each(["with (parentheses)", "(group)"])("start with a caller in a folder named %s", (folder) => {
    const root = mkdtempSync(join(tmpdir(), "cleanslab-"));
    try {
      mkdirSync(join(root, folder));
      const file = join(root, folder, "caller.mjs");
      writeFileSync(
        file,
        `
          import { Arena } from ${JSON.stringify(new URL("../../dist/index.js", import.meta.url).href)};
          const arena = new Arena({ trace: "all" });
          function forgets() { return arena.acquire(64); }
          forgets();
          try { arena.assertDrained(); } catch (error) { console.log(error.message); }
        `,
      );
      const message = execFileSync(process.execPath, [file], { encoding: "utf8" });
      expect(firstFrame(message, 64)).toMatch(/\bforgets .*caller\.mjs/);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
