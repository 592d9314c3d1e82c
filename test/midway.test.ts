/**
 * Whoever acts, ends or fails in the middle of something else: subscribers and
 * listeners in an acquire or a release, segments that go while a pool keeps
 * their blocks, an engine that refuses. Nothing is handed out twice or lost, and
 * nobody waits for what cannot come.
 */

import { spawnSync } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Arena, type Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  collectGarbageUntil,
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
  expectUsable,
  MODES,
  promptly,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  settle,
  smallArena,
  wrong,
} from "./helpers.ts";

/** Calls `listener` for every message on `channel` while `body` runs. */
async function listening(channel: string, listener: (message: unknown) => void, body: () => unknown): Promise<void> {
  subscribe(channel, listener);
  try {
    await body();
  } finally {
    unsubscribe(channel, listener);
  }
}

/** No `WebAssembly[name]` can be made while `body` runs. */
function refusing<T>(name: "Memory" | "Instance", body: () => T): T {
  const original = WebAssembly[name];
  const spare = smallArena();
  spare.acquire(10).release();
  const refuse = function refuse(): never {
    throw new RangeError(`WebAssembly.${name}(): out of memory`);
  };
  Reflect.set(WebAssembly, name, refuse);
  try {
    return body();
  } finally {
    Reflect.set(WebAssembly, name, original);
    // The engine is asked again as soon as a memory is let go of.
    spare[Symbol.dispose]();
  }
}

/** Overwrites the bookkeeping of the segment that `lease` lies in. */
function damageUnder(lease: Lease): void {
  if (lease.memory === undefined) throw new Error("a heap lease has no memory");
  new Uint8Array(lease.memory.buffer, 0, 65536).fill(0xee);
}

describe.each(MODES)("revoke: %s, who waits", (revoke) => {
  test("is announced when the release that served it is over, so that a subscriber finds the lease ended", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, 4096);
    const last = held.pop() as Lease;
    const waiting = arena.acquireAsync(4096);
    const found: boolean[] = [];
    await listening(
      "cleanslab:acquire",
      () => {
        found.push(last.released);
        if (!last.released) last.release();
      },
      async () => {
        if (revoke === "before-reuse") releaseAll(held.splice(0));
        last.release();
        const served = await promptly(waiting);
        expect(served.bytes.length).toBe(4096);
        expect(found).toEqual([true]);
        expect(arena.stats()).toMatchObject({ corruptSegments: 0, liveLeases: held.length + 1 });
        served.release();
      },
    );
    releaseAll(held);
    expect(arena.stats().liveLeases).toBe(0);
    expectSound(arena);
  });

  test("keeps the lease it got, though a subscriber then aborts its signal", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, 4096);
    const controller = new AbortController();
    const waiting = arena.acquireAsync(4096, { signal: controller.signal });
    await listening(
      "cleanslab:acquire",
      () => controller.abort(),
      async () => {
        releaseAll(held);
        (await promptly(waiting)).release();
      },
    );
    arena.assertDrained();
    expectSound(arena);
  });

  test("is refused a signal that is none, before it waits", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, 4096);
    for (const signal of [{}, 5, { aborted: false }]) {
      const error = await rejectionOf(arena.acquireAsync(4096, { signal: wrong(signal) }));
      expectArenaError(error, "ERR_INVALID_ARGUMENT", "signal is ", "pass an AbortSignal");
    }
    expect(arena.stats().waiting).toBe(0);
    releaseAll(held);
    expectSound(arena);
  });

  test("is told when the engine refuses and no lease is out to wait for", async () => {
    using arena = smallArena({ revoke });
    const error = await rejectionOf(promptly(refusing("Memory", () => arena.acquireAsync(10))));
    expectArenaError(error, "ERR_ARENA_EXHAUSTED", "no room for 10 bytes", "no lease is out");
    expect(arena.stats()).toMatchObject({ waiting: 0, reservedBytes: 0, peakReservedBytes: 0 });
    expectUsable(arena);
  });

  test("is told when the last lease it could have waited for was on the heap", async () => {
    using arena = smallArena({ revoke });
    const heap = refusing("Memory", () => arena.acquire(10));
    expect(heap.origin).toBe("heap");
    const waiting = rejectionOf(refusing("Memory", () => arena.acquireAsync(10)));
    await settle();
    expect(arena.stats().waiting).toBe(1);
    refusing("Memory", () => heap.release());
    expectArenaError(await promptly(waiting), "ERR_ARENA_EXHAUSTED", "no lease is out");
    expectUsable(arena);
  });
});

test("who waits is told when the last lease it could have waited for was leaked, and its block is nobody's", async () => {
  using arena = smallArena({ revoke: "never", trace: "all", onExhausted: "throw" }, 1);
  exhaust(arena, 65536);
  let error: unknown;
  arena.acquireAsync(65536).catch((reason: unknown) => {
    error = reason;
  });
  await collectGarbageUntil(() => error !== undefined);
  expectArenaError(error, "ERR_ARENA_EXHAUSTED", "leaked leases hold it");
  expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
});

describe.each(["before-reuse", "never"] as const)("revoke: %s, a release that serves", (revoke) => {
  test("is over and done, though the waiter's lease cannot be made: that error is the waiter's", async () => {
    using arena = new Arena({ revoke, segmentBytes: SEGMENT_BYTES, maxBytes: 1024 * 1024, onExhausted: "throw" });
    const long = arena.acquire(600 * 1024);
    const held = exhaust(arena, 4096);
    const refused = rejectionOf(arena.acquireAsync(4096));
    await settle();
    refusing("Instance", () => long.release());
    expect(long.released).toBe(true);
    expect(String(await promptly(refused))).toContain("WebAssembly");
    expectThrow(() => long.release(), "ERR_LEASE_RELEASED");
    expect(arena.stats()).toMatchObject({ liveLeases: held.length, waiting: 0 });
    releaseAll(held);
    expectSound(arena);
  });
});

test("a memory that cannot be revoked makes room for who waits as it is dropped", async () => {
  using arena = smallArena({ revoke: "on-release", onExhausted: "throw" }, 1);
  const held = exhaust(arena, 10);
  const waiting = arena.acquireAsync(10);
  const last = held.pop() as Lease;
  Reflect.set(last.memory as object, "grow", () => 0);
  last.release();
  (await promptly(waiting)).release();
  releaseAll(held);
  expectSound(arena);
});

describe.each(MODES)("revoke: %s, a release that is released in its middle", (revoke) => {
  test("by a getter of its options ends once: the block is not its next holder's twice", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(1000);
    let next: Lease | undefined;
    const options = {
      get written() {
        lease.release();
        next = arena.acquire(1000);
        return 1000;
      },
    };
    expectThrow(() => lease.release(options), "ERR_LEASE_RELEASED", "cannot release");
    next?.bytes.fill(7);
    using other = arena.acquire(1000);
    other.bytes.fill(9);
    expect(next?.bytes.every((byte) => byte === 7)).toBe(true);
    next?.release();
    expectSound(arena);
  });

  test("by a signal of whom it serves ends once: two who wait get two blocks", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const leases = exhaust(arena, 65_536);
    let released: Lease | undefined;
    let calls = 0;
    const signal = {
      aborted: false,
      reason: undefined,
      addEventListener: () => {},
      removeEventListener: () => {
        calls++;
        expectThrow(() => released?.release(), "ERR_LEASE_RELEASED", "cannot release");
      },
    };
    const first = arena.acquireAsync(65_536, { signal });
    const second = arena.acquireAsync(65_536);
    for (const lease of leases) {
      released = lease;
      lease.release();
    }
    const [one, two] = await promptly(Promise.all([first, second]));
    expect(calls).toBe(1);
    one?.bytes.fill(5);
    expect(two?.bytes.every((byte) => byte === 0)).toBe(true);
    releaseAll([one, two] as Lease[]);
    arena.assertDrained();
    expectSound(arena);
  });
});

test("who waits with a signal that ends the arena is told so, and does not wait for good", async () => {
  const arena = smallArena({ onExhausted: "throw" });
  exhaust(arena, 65_536);
  const signal = {
    aborted: false,
    reason: undefined,
    addEventListener: () => arena[Symbol.dispose](),
    removeEventListener: () => {},
  };
  const error = await promptly(rejectionOf(arena.acquireAsync(65_536, { signal })));
  expectArenaError(error, "ERR_ARENA_DISPOSED", "disposed");
  expect(arena.stats().waiting).toBe(0);
});

describe("a pool that keeps blocks", () => {
  test("shows nothing of the arena behind it", () => {
    using arena = smallArena({ revoke: "never" });
    expect(Object.keys(arena.pool(64))).toEqual(["byteLength"]);
  });

  test("hands out none of a segment that is out of use", () => {
    using arena = smallArena({ revoke: "never", onExhausted: "throw" }, 1);
    const pool = arena.pool(4096);
    const kept = [pool.acquire(), pool.acquire()];
    const { memory } = kept[0] as Lease;
    releaseAll(kept);
    const victim = arena.acquire(100);
    damageUnder(victim);
    expect(victim.memory).toBe(memory);
    expectThrow(() => victim.release(), "ERR_ARENA_CORRUPT");
    expect(arena.stats()).toMatchObject({ reservedBytes: 0, corruptSegments: 1 });
    const next = pool.acquire();
    expect(next.memory).not.toBe(memory);
    expect(arena.stats().reservedBytes).toBe(SEGMENT_BYTES + 65536);
    next.release();
    expectUsable(arena, 4096);
  });

  test("does not hold the memory of an arena that was disposed", async () => {
    const arena = smallArena({ revoke: "never" });
    const pool = arena.pool(4096);
    let collected = false;
    const registry = new FinalizationRegistry(() => {
      collected = true;
    });
    (() => {
      const lease = pool.acquire();
      registry.register(lease.memory as object, undefined);
      lease.release();
    })();
    arena[Symbol.dispose]();
    await collectGarbageUntil(() => collected);
    expect(collected).toBe(true);
    expectThrow(() => pool.acquire(), "ERR_ARENA_DISPOSED");
  });

  test("is flushed for a lease that finds no other room, and that lease is announced", async () => {
    using arena = smallArena({ revoke: "never", onExhausted: "throw" }, 1);
    const pool = arena.pool(4096);
    releaseAll(Array.from({ length: 64 }, () => pool.acquire()));
    const lengths: unknown[] = [];
    await listening(
      "cleanslab:acquire",
      (message) => lengths.push((message as { byteLength: number }).byteLength),
      () => arena.acquire(2000).release(),
    );
    expect(lengths).toEqual([2000]);
  });
});

/** A program that sees what a module keeps, where the view of a block cannot be made. */
const VIEW_REFUSED = `
  let refuse = false;
  const Plain = Uint8Array;
  globalThis.Uint8Array = new Proxy(Plain, {
    construct(target, args, newTarget) {
      if (refuse && args.length === 3) throw new RangeError("Array buffer allocation failed");
      return Reflect.construct(target, args, newTarget === globalThis.Uint8Array ? target : newTarget);
    },
  });
  const { Arena } = await import("cleanslab");
  const arena = new Arena({ revoke: "never", trace: "off" });
  const pool = arena.pool(4096);
  refuse = true;
  let message = "none";
  try { pool.acquire(); } catch (error) { message = error.message; }
  refuse = false;
  const { problems } = arena.audit();
  arena.trim();
  console.log(JSON.stringify({ message, problems, reservedBytes: arena.stats().reservedBytes }));
`;

test("a pool loses no block whose view the engine refuses", () => {
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", VIEW_REFUSED], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({ message: "Array buffer allocation failed", problems: [], reservedBytes: 0 });
});

describe("bytes that acquiring a lease for them revoked", () => {
  /** Fills the one active segment so that the next lease renews the drained one, which `stale` is a view of. */
  function aboutToRevoke(arena: Arena): Uint8Array<ArrayBuffer> {
    const first = Array.from({ length: 64 }, () => arena.acquire(4096));
    const stale = (first[0] as Lease).bytes;
    arena.acquire(4096);
    releaseAll(first);
    for (let each = 1; each < 64; each++) arena.acquire(4096);
    return stale;
  }

  test("are refused by copyOf, and its lease is released", () => {
    using arena = smallArena();
    const stale = aboutToRevoke(arena);
    const { liveLeases } = arena.stats();
    expect(stale.length).toBe(4096);
    expectThrow(() => arena.copyOf(stale), "ERR_INVALID_ARGUMENT", "still attached");
    expect(arena.stats().liveLeases).toBe(liveLeases);
    expectSound(arena);
  });

  test("are refused by a writer, which goes on with what it had", () => {
    using arena = smallArena();
    const writer = arena.writer(64);
    const first = Array.from({ length: 63 }, () => arena.acquire(4096));
    const stale = (first[5] as Lease).bytes;
    arena.acquire(4096);
    writer.release();
    releaseAll(first);
    const second = arena.writer(64);
    second.writeUint8(7);
    for (let each = 0; each < 62; each++) arena.acquire(4096);
    const { liveLeases } = arena.stats();
    expectThrow(() => second.writeBytes(stale), "ERR_INVALID_ARGUMENT", "still attached");
    expect(arena.stats().liveLeases).toBe(liveLeases);
    expect([...second.bytes]).toEqual([7]);
  });
});

describe('what an "exhausted" listener ends in the middle of its acquire', () => {
  /** An arena whose next lease of 100000 bytes overflows. */
  function full(): Arena {
    const arena = smallArena({}, 1);
    while (arena.acquire(16384).origin !== "heap");
    return arena;
  }

  test("is a scope: the lease is released and the scope says that it has ended", () => {
    using arena = full();
    const scope = arena.scope();
    const { liveLeases } = arena.stats();
    arena.addEventListener("exhausted", () => scope[Symbol.dispose]());
    expectThrow(() => scope.acquire(100000), "ERR_LEASE_RELEASED", "scope has ended");
    expect(arena.stats().liveLeases).toBe(liveLeases);
  });

  test("is a writer: the longer block is released and the writer says that it has ended", () => {
    using arena = full();
    const { liveLeases } = arena.stats();
    const writer = arena.writer(64);
    writer.writeUint8(1);
    arena.addEventListener("exhausted", () => writer[Symbol.dispose]());
    expectThrow(() => writer.writeBytes(new Uint8Array(100000)), "ERR_LEASE_RELEASED", "writer has ended");
    expect(writer.released).toBe(true);
    expect(arena.stats().liveLeases).toBe(liveLeases);
  });

  test("is a write: the writer it wrote with keeps what the listener wrote, and says so", () => {
    using arena = full();
    const writer = arena.writer(64);
    writer.writeBytes(new Uint8Array(60).fill(1));
    arena.addEventListener("exhausted", () => writer.writeUint32(0x02020202));
    expectThrow(() => writer.writeBytes(new Uint8Array(100000).fill(3)), "ERR_LEASE_RELEASED", "used this writer");
    expect([...writer.bytes.subarray(56)]).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    writer.release();
    expectSound(arena);
  });

  test("is the arena: a writer half-way through a text says so", () => {
    const arena = full();
    const writer = arena.writer(64);
    arena.addEventListener("exhausted", () => arena[Symbol.dispose]());
    expectThrow(() => writer.writeString("x".repeat(100000)), "ERR_ARENA_DISPOSED", "the arena was disposed");
    writer[Symbol.dispose]();
    expect(writer.released).toBe(true);
  });
});

describe("a writer in a damaged segment", () => {
  test.each(["release", Symbol.dispose] as const)("ends with %s, which says so", (end) => {
    using arena = smallArena();
    const other = arena.acquire(100);
    const writer = arena.writer(64);
    writer.writeUint8(1);
    damageUnder(other);
    expectThrow(() => writer[end](), "ERR_ARENA_CORRUPT");
    expect(writer.released).toBe(true);
    expectThrow(() => writer.writeUint8(9), "ERR_LEASE_RELEASED");
    writer[Symbol.dispose]();
  });

  test("leaves nothing behind its end of a write that failed as it moved", () => {
    using arena = smallArena();
    const other = arena.acquire(100);
    const writer = arena.writer(64);
    writer.writeUint8(1);
    damageUnder(other);
    expectThrow(() => writer.writeBytes(new Uint8Array(SEGMENT_BYTES).fill(0x55)), "ERR_ARENA_CORRUPT");
    expect(writer.byteLength).toBe(1);
    writer.reserve(4);
    expect([...writer.bytes]).toEqual([1, 0, 0, 0, 0]);
  });
});

describe("guards", () => {
  test.each(["before-reuse", "never"] as const)(
    "with revoke: %s, take nothing idle from others at the cap",
    (revoke) => {
      using arena = smallArena({ revoke, guardEvery: 2 }, 1);
      const memories = new Set<unknown>();
      for (let each = 0; each < 8; each++) {
        const lease = arena.acquire(1000);
        memories.add(lease.memory);
        expect(lease.origin).toBe("arena");
        lease.release();
      }
      expect(memories.size).toBe(1);
      expect(arena.stats().missedGuards).toBe(4);
    },
  );

  test("are missed by leases, not by attempts to serve who waits", async () => {
    using arena = smallArena({ guardEvery: 1, onExhausted: "throw" }, 1);
    const held = exhaust(arena, 16384);
    const { missedGuards } = arena.stats();
    expect(missedGuards).toBe(held.filter(({ origin }) => origin !== "guard").length);
    const waiting = arena.acquireAsync(16384);
    releaseAll(held);
    const served = await promptly(waiting);
    expect(arena.stats().missedGuards).toBe(missedGuards + (served.origin === "guard" ? 0 : 1));
    served.release();
  });

  test("are none too few where every lease dies at release", () => {
    using arena = new Arena({ revoke: "on-release", guardEvery: 1 });
    const leases = Array.from({ length: 40 }, () => arena.acquire(10));
    expect(arena.stats().missedGuards).toBe(0);
    releaseAll(leases);
  });
});

test("two copies of the package both hear of a subscriber", async () => {
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
  cpSync(fileURLToPath(new URL("../dist", import.meta.url)), folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const { Arena: OtherArena } = (await import(pathToFileURL(join(folder, "index.js")).href)) as {
    Arena: typeof Arena;
  };
  rmSync(folder, { recursive: true });
  expect(OtherArena).not.toBe(Arena);
  const first = new Arena();
  const second = new OtherArena();
  first.acquire(10).release();
  second.acquire(10).release();
  const heard: unknown[] = [];
  await listening(
    "cleanslab:acquire",
    (message) => heard.push((message as { arena: unknown }).arena),
    () => {
      first.acquire(10).release();
      second.acquire(10).release();
    },
  );
  expect(heard).toEqual([first, second]);
});
