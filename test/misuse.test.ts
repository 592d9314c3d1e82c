/**
 * Every misuse is a typed error that says which value was wrong and what to do,
 * and leaves the arena as it was. What single modules do when used rightly is
 * tested in test/unit/; random sequences of right use are test/model-arena.test.ts's.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AbortSignalLike, Arena, type ArenaOptions, type Lease } from "cleanslab";
import { beforeAll, describe, expect, test } from "vitest";
import {
  bytesNow,
  deferred,
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
  expectUnharmed,
  expectUnharmedAsync,
  expectUsable,
  growUnder,
  isAll,
  isSettled,
  isZero,
  LEASE_KINDS,
  MODES,
  memoryNow,
  PAGE_BYTES,
  promptly,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  SEGMENT_MODES,
  settle,
  smallArena,
  thrownBy,
  wrong,
} from "./helpers.ts";

/** Whether the bytes of a lease that has ended are zero, wherever they were. */
function isWiped(lease: Lease, view: Uint8Array, revokes: boolean): boolean {
  if (lease.memory !== undefined) return isZero(bytesNow(lease));
  return revokes ? view.length === 0 : view.length === lease.byteLength && isZero(view);
}

describe.each(MODES)("revoke: %s, a lease", (revoke) => {
  const revokes = revoke !== "never";

  describe.each(LEASE_KINDS)("that is a $name", ({ origin, options, make }) => {
    const create = (more: ArenaOptions = {}): Arena => smallArena({ revoke, ...options, ...more });

    test("throws on a second release, and the block stays its next owner's", () => {
      using arena = create();
      const lease = make(arena, 100);
      expect(lease.origin).toBe(origin);
      lease.release();
      const next = make(arena, 100);
      next.bytes.fill(7);
      expectUnharmed(arena, () => {
        for (let call = 0; call < 2; call++) {
          expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release", "100 bytes", "acquire a new one");
        }
      });
      expect(isAll(next.bytes, 7)).toBe(true);
      next.release();
      expectSound(arena);
    });

    test("throws on every use after release, but for a quiet dispose", () => {
      using arena = create();
      const lease = make(arena, 100);
      lease.release();
      expect(lease.released).toBe(true);
      expectUnharmed(arena, () => {
        expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED", "read bytes", "100 bytes", "acquire a new one");
        expectThrow(() => lease.view(DataView), "ERR_LEASE_RELEASED", "100 bytes", "acquire a new one");
        expectThrow(() => lease.copy(), "ERR_LEASE_RELEASED", "100 bytes", "acquire a new one");
        expectThrow(() => lease.pin(), "ERR_LEASE_RELEASED", "pin", "100 bytes", "acquire a new one");
        expectThrow(() => lease.releaseAfter(Promise.resolve()), "ERR_LEASE_RELEASED", "100 bytes");
        expectThrow(() => lease.release({ written: 1 }), "ERR_LEASE_RELEASED", "100 bytes");
        lease[Symbol.dispose]();
        lease[Symbol.dispose]();
      });
      expect(lease.released).toBe(true);
      expect(lease.byteLength).toBe(100);
    });

    test("released while pinned keeps its bytes until the last pin goes, and is then wiped and returned", () => {
      using arena = create();
      const lease = make(arena, 100);
      const before = arena.stats();
      const view = lease.bytes.fill(7);
      const first = lease.pin();
      const second = lease.pin();
      lease.release();

      expect(lease.released).toBe(true);
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release", "100 bytes");
      expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED");
      expectThrow(() => lease.pin(), "ERR_LEASE_RELEASED", "cannot pin");
      lease[Symbol.dispose]();
      expect(arena.stats()).toEqual(before);
      expect(view.length).toBe(100);
      expect(isAll(view, 7)).toBe(true);

      first.release();
      expect(arena.stats()).toEqual(before);
      expectUsable(arena);
      expect(isAll(view, 7)).toBe(true);

      const { liveLeases, released } = arena.stats();
      second.release();
      expect(isWiped(lease, view, revokes)).toBe(true);
      expect(arena.stats()).toMatchObject({ liveLeases: liveLeases - 1, released: released + 1 });
      expectUnharmed(arena, () => expectThrow(() => lease.release(), "ERR_LEASE_RELEASED"));
    });

    test("is not returned by a pin that is released twice", () => {
      using arena = create();
      const lease = make(arena, 100);
      const view = lease.bytes.fill(7);
      const pin = lease.pin();
      const other = lease.pin();
      lease.release();
      pin.release();
      expectUnharmed(arena, () => {
        expectThrow(() => pin.release(), "ERR_LEASE_RELEASED", "this pin was already released", "one pin per use");
        pin[Symbol.dispose]();
      });
      expect(isAll(view, 7)).toBe(true);
      other[Symbol.dispose]();
      expect(isWiped(lease, view, revokes)).toBe(true);
      expectUnharmed(arena, () => expectThrow(() => other.release(), "ERR_LEASE_RELEASED", "pin"));
    });

    test("is still held when all its pins were released first", () => {
      using arena = create();
      const lease = make(arena, 100);
      lease.pin().release();
      lease.bytes.fill(7);
      expect(isAll(lease.bytes, 7)).toBe(true);
      const { liveLeases } = arena.stats();
      lease.release();
      expect(arena.stats().liveLeases).toBe(liveLeases - 1);
      expectSound(arena);
    });

    test.each<[unknown, string]>([
      [-1, "-1"],
      [101, "101"],
      [1.5, "1.5"],
      [Number.NaN, "NaN"],
      [Number.POSITIVE_INFINITY, "Infinity"],
      ["10", '"10"'],
      [null, "null"],
      [10n, "10n"],
    ])("is still held after release({ written: %s }), which is out of range", (written, shown) => {
      using arena = create();
      const lease = make(arena, 100);
      const { bytes } = lease;
      bytes.fill(7);
      expectUnharmed(arena, () => {
        expectThrow(
          () => lease.release({ written: wrong(written) }),
          "ERR_INVALID_ARGUMENT",
          `written is ${shown}`,
          "from 0 to 100",
        );
      });
      expect(lease.released).toBe(false);
      expect(lease.bytes).toBe(bytes);
      expect(isAll(bytes, 7)).toBe(true);
      lease.release();
      expectSound(arena);
    });

    test("is still held when tracing finds that written was too small", () => {
      using arena = create({ trace: "all" });
      const lease = make(arena, 100);
      const { bytes } = lease;
      bytes[9] = 1;
      bytes[42] = 1;
      bytes[99] = 1;
      expectUnharmed(arena, () => {
        expectThrow(() => lease.release({ written: 10 }), "ERR_INVALID_ARGUMENT", "written is 10", "at least 43");
        expectThrow(() => lease.release({ written: 0 }), "ERR_INVALID_ARGUMENT", "written is 0", "at least 10");
        expectThrow(() => lease.release({ written: 99 }), "ERR_INVALID_ARGUMENT", "written is 99", "at least 100");
      });
      expect(lease.bytes).toBe(bytes);
      expect([bytes[9], bytes[42], bytes[99]]).toEqual([1, 1, 1]);
      const { liveLeases } = arena.stats();
      lease.release({ written: 100 });
      expect(arena.stats().liveLeases).toBe(liveLeases - 1);
      expectUsable(arena);
    });

    test("is released with tracing on when written was exactly enough", () => {
      using arena = create({ trace: "all" });
      const lease = make(arena, 100);
      const view = lease.bytes;
      view[9] = 1;
      lease.release({ written: 10 });
      expect(isWiped(lease, view, revokes)).toBe(true);
      expectUsable(arena);
    });

    test("refuses a view whose elements do not divide it", () => {
      using arena = create();
      const lease = make(arena, 10);
      expectUnharmed(arena, () => {
        expectThrow(() => lease.view(Float64Array), "ERR_INVALID_ARGUMENT", "Float64Array", "8-byte", "10 bytes");
        expectThrow(() => lease.view(Uint32Array), "ERR_INVALID_ARGUMENT", "Uint32Array", "4-byte", "10 bytes");
      });
      expect(lease.view(Uint16Array).length).toBe(5);
      lease.release();
    });

    test.each<[string, unknown, string]>([
      ["undefined", undefined, "undefined"],
      ["null", null, "null"],
      ["a number", 8, "8"],
      ["a name", "Uint8Array", '"Uint8Array"'],
      ["an instance", new Uint8Array(1), "[object Uint8Array]"],
      ["a constructor of something else", Date, "a function"],
      ["Array", Array, "a function"],
    ])("refuses %s as the constructor of a view", (_name, View, shown) => {
      using arena = create();
      const lease = make(arena, 16);
      expectUnharmed(arena, () => {
        expectThrow(() => lease.view(wrong(View)), "ERR_INVALID_ARGUMENT", `View is ${shown}`, "DataView");
      });
      expect(lease.view(DataView).byteLength).toBe(16);
      lease.release();
    });

    test("is dead once its arena was disposed, and says so", () => {
      const arena = create();
      const lease = make(arena, 100);
      const view = lease.bytes;
      arena[Symbol.dispose]();

      expect(view.length).toBe(0);
      const after = arena.stats();
      expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED", "read bytes", "create a new one");
      expectThrow(() => lease.view(DataView), "ERR_ARENA_DISPOSED", "create a new one");
      expectThrow(() => lease.copy(), "ERR_ARENA_DISPOSED", "create a new one");
      expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release", "create a new one");
      expectThrow(() => lease.release({ written: 5 }), "ERR_ARENA_DISPOSED", "cannot release");
      lease[Symbol.dispose]();
      expect(lease.released).toBe(true);
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release");
      expect(arena.stats()).toEqual(after);
    });

    test("says that its arena was disposed with tracing on, too", () => {
      const arena = create({ trace: "all" });
      const lease = make(arena, 100);
      arena[Symbol.dispose]();
      expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release", "create a new one");
    });

    test("says that its arena was disposed with tracing on when it has no bytes, too", () => {
      const arena = create({ trace: "all" });
      const lease = make(arena, 0);
      arena[Symbol.dispose]();
      expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release", "create a new one");
    });

    test("lets its pins go quietly once its arena was disposed", async () => {
      const arena = create();
      const lease = make(arena, 100);
      const other = make(arena, 100);
      const pin = lease.pin();
      const disposedPin = other.pin();
      const write = Promise.resolve("written");
      lease.release();
      arena[Symbol.dispose]();
      const after = arena.stats();
      pin.release();
      disposedPin[Symbol.dispose]();
      expectThrow(() => pin.release(), "ERR_LEASE_RELEASED", "pin");
      expect(await other.releaseAfter(write)).toBe("written");
      expect(arena.stats()).toEqual(after);
    });
  });
});

describe("a lease", () => {
  test.each<[string, unknown]>([
    ["an arrow function", () => new Uint8Array(1)],
    ["Map", Map],
    ["Symbol", Symbol],
  ])("refuses %s as the constructor of a view, which cannot be called so", (_name, View) => {
    using arena = smallArena();
    const lease = arena.acquire(16);
    expectThrow(() => lease.view(wrong(View)), "ERR_INVALID_ARGUMENT", "View is a function", "DataView");
  });

  test("refuses null in place of the options of release", () => {
    using arena = smallArena();
    const lease = arena.acquire(16);
    expectThrow(() => lease.release(wrong(null)), "ERR_INVALID_ARGUMENT", "options is null");
  });
});

/** Leases of one slab each: all of the only segment. */
function everySlab(arena: Arena): Lease[] {
  return Array.from({ length: 64 }, () => arena.acquire(4096));
}

describe("what a lease's holder left behind", () => {
  test("is not in the next lease when written was too small, in before-reuse mode", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    const lease = arena.acquire(4096);
    lease.bytes.fill(7);
    lease.release({ written: 1 });
    arena.acquire(SEGMENT_BYTES - 4096).release();
    const next = everySlab(arena);
    expect(next.map(({ byteOffset }) => byteOffset)).toContain(lease.byteOffset);
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    releaseAll(next);
    expectSound(arena);
  });

  test("is not in the next lease when written was too small, in on-release mode", () => {
    using arena = smallArena({ revoke: "on-release" }, 1);
    const lease = arena.acquire(4096);
    lease.bytes.fill(7);
    lease.release({ written: 1 });
    const next = arena.acquire(4096);
    expect(next.memory).toBe(lease.memory);
    expect(isZero(next.bytes)).toBe(true);
  });

  test("is not in the next lease when the whole memory was written to through .buffer, in on-release mode", () => {
    using arena = smallArena({ revoke: "on-release" }, 1);
    const lease = arena.acquire(100);
    new Uint8Array(lease.bytes.buffer).fill(7);
    lease.release();
    const next = arena.acquire(PAGE_BYTES);
    expect(next.memory).toBe(lease.memory);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    expectUsable(arena);
  });

  test("is not in the next lease when it was written after release, in before-reuse mode", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    const leases = everySlab(arena);
    const stale = leases.map(({ bytes }) => bytes);
    const last = leases.pop();
    releaseAll(leases);
    for (const view of stale) view.fill(7);
    last?.release();
    const next = everySlab(arena);
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    for (const view of stale) {
      expect(view.length).toBe(0);
      view[0] = 9;
    }
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    releaseAll(next);
    expectSound(arena);
  });

  test("is not in the next lease when that begins where a shorter one was revoked before its wipe", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    // Long enough to be revoked before it is wiped, whatever the limit for that is.
    const alone = arena.acquire(128 * 1024);
    const neighbour = arena.acquire(16 * 1024);
    expect(neighbour.byteOffset).toBe(alone.byteOffset + alone.byteLength);
    const stale = neighbour.bytes;
    neighbour.release();
    stale.fill(7);
    alone.release();
    const next = arena.acquire(160 * 1024);
    expect(next.byteOffset).toBe(alone.byteOffset);
    expect(isZero(next.bytes)).toBe(true);
  });
});

const DOORS: Record<string, (arena: Arena, byteLength: number) => unknown> = {
  acquire: (arena, byteLength) => arena.acquire(byteLength),
  pool: (arena, byteLength) => arena.pool(byteLength),
  use: (arena, byteLength) =>
    arena.use(byteLength, () => {
      throw new Error("fn was called");
    }),
  "scope.acquire": (arena, byteLength) => arena.scope().acquire(byteLength),
  "scope.bytes": (arena, byteLength) => arena.scope().bytes(byteLength),
};

const NO_LENGTHS: [unknown, string][] = [
  [-1, "-1"],
  [-0.5, "-0.5"],
  [0.5, "0.5"],
  [4096.25, "4096.25"],
  [Number.NaN, "NaN"],
  [Number.POSITIVE_INFINITY, "Infinity"],
  [Number.NEGATIVE_INFINITY, "-Infinity"],
  [2 ** 32, "4294967296"],
  [2 ** 32 + 100, "4294967396"],
  [Number.MAX_SAFE_INTEGER, "9007199254740991"],
  [Number.MAX_VALUE, "1.7976931348623157e+308"],
  ["8", '"8"'],
  ["", '""'],
  [null, "null"],
  [undefined, "undefined"],
  [true, "true"],
  [{}, "[object Object]"],
  [[8], "[object Array]"],
  [{ valueOf: () => 8 }, "[object Object]"],
  [() => 8, "a function"],
];

describe.each(MODES)("revoke: %s, a byteLength that is none", (revoke) => {
  test.each(Object.entries(DOORS))("is refused by %s, with its value", (_name, door) => {
    using arena = smallArena({ revoke });
    expectUnharmed(arena, () => {
      for (const [byteLength, shown] of NO_LENGTHS) {
        expectThrow(
          () => door(arena, wrong(byteLength)),
          "ERR_INVALID_ARGUMENT",
          `byteLength is ${shown};`,
          "pass a whole number of bytes from 0 to 4294967295",
        );
      }
    });
  });

  test("is refused by acquireAsync with a rejection, not a throw", async () => {
    using arena = smallArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      for (const [byteLength, shown] of NO_LENGTHS) {
        const promise = arena.acquireAsync(wrong(byteLength));
        expectArenaError(await rejectionOf(promise), "ERR_INVALID_ARGUMENT", `byteLength is ${shown};`, "from 0 to");
      }
    });
  });
});

describe("a byteLength that cannot even be converted to a number", () => {
  test.each(Object.entries(DOORS))("is refused by %s when it is a bigint", (_name, door) => {
    using arena = smallArena();
    expectThrow(() => door(arena, wrong(8n)), "ERR_INVALID_ARGUMENT", "byteLength is 8n", "from 0 to");
  });

  test("is refused by acquire when it is a symbol", () => {
    using arena = smallArena();
    expectThrow(() => arena.acquire(wrong(Symbol("8"))), "ERR_INVALID_ARGUMENT", "byteLength is Symbol(8)");
  });

  test("is refused by acquireAsync when it is a bigint", async () => {
    using arena = smallArena();
    expectArenaError(await rejectionOf(arena.acquireAsync(wrong(8n))), "ERR_INVALID_ARGUMENT", "byteLength is 8n");
  });
});

describe("new Arena", () => {
  test.each<[keyof ArenaOptions, unknown, string, string]>([
    ["maxBytes", SEGMENT_MEMORY_BYTES - 1, "327679", "at least 327680 for one segment"],
    ["maxBytes", 0, "0", "at least 327680"],
    ["maxBytes", -1, "-1", "whole number of bytes"],
    ["maxBytes", 2 ** 20 + 0.5, "1048576.5", "whole number of bytes"],
    ["maxBytes", Number.NaN, "NaN", "whole number of bytes"],
    ["maxBytes", Number.POSITIVE_INFINITY, "Infinity", "whole number of bytes"],
    ["maxBytes", 2 ** 53, "9007199254740992", "whole number of bytes"],
    ["maxBytes", "1048576", '"1048576"', "whole number of bytes"],
    ["maxBytes", 1048576n, "1048576n", "whole number of bytes"],
    ["segmentBytes", 0, "0", "a power of two from 262144 (256 KiB) to 16777216 (16 MiB)"],
    ["segmentBytes", 131072, "131072", "power of two from 262144"],
    ["segmentBytes", 2 ** 25, "33554432", "to 16777216"],
    ["segmentBytes", 300000, "300000", "power of two"],
    ["segmentBytes", -262144, "-262144", "power of two"],
    ["segmentBytes", Number.NaN, "NaN", "power of two"],
    ["segmentBytes", Number.POSITIVE_INFINITY, "Infinity", "power of two"],
    ["segmentBytes", "1 MiB", '"1 MiB"', "power of two"],
    ["revoke", "always", '"always"', '"before-reuse" or "on-release" or "never"'],
    ["revoke", "", '""', '"before-reuse"'],
    ["revoke", true, "true", '"before-reuse"'],
    ["onExhausted", "wait", '"wait"', '"allocate" or "throw"'],
    ["onExhausted", () => {}, "a function", '"allocate" or "throw"'],
    ["guardEvery", -1, "-1", "0 for none, or N for one lease in N"],
    ["guardEvery", 1.5, "1.5", "0 for none"],
    ["guardEvery", Number.NaN, "NaN", "0 for none"],
    ["guardEvery", Number.POSITIVE_INFINITY, "Infinity", "0 for none"],
    ["guardEvery", "3", '"3"', "0 for none"],
    ["guardEvery", true, "true", "0 for none"],
    ["trace", "verbose", '"verbose"', '"off" or "sampled" or "all"'],
    ["trace", true, "true", '"off" or "sampled" or "all"'],
  ])("refuses %s: %s", (option, value, shown, wanted) => {
    const options: ArenaOptions = { segmentBytes: SEGMENT_BYTES, [option]: value };
    expectThrow(() => new Arena(options), "ERR_INVALID_ARGUMENT", `${option} is ${shown};`, "pass", wanted);
  });

  test("refuses a maxBytes that its segmentBytes do not fit under, and says how much would do", () => {
    const MiB = 1024 * 1024;
    const least = MiB + PAGE_BYTES;
    expectThrow(
      () => new Arena({ maxBytes: least - 1, segmentBytes: MiB }),
      "ERR_INVALID_ARGUMENT",
      `maxBytes is ${least - 1}`,
      `at least ${least}`,
    );
    using arena = new Arena({ maxBytes: least, segmentBytes: MiB });
    expectUsable(arena);
  });

  test.each<[unknown, string]>([
    [null, "null"],
    [5, "5"],
    ["never", '"never"'],
    [false, "false"],
    [() => ({}), "a function"],
    [1n, "1n"],
  ])("refuses %s in place of its options", (options, shown) => {
    expectThrow(() => new Arena(wrong(options)), "ERR_INVALID_ARGUMENT", `options is ${shown}`, "pass an object");
  });

  test.each<[unknown, string]>([
    [262144n, "262144n"],
    ["262144", '"262144"'],
    [[262144], "[object Array]"],
  ])("refuses segmentBytes: %s, which is no number", (segmentBytes, shown) => {
    expectThrow(
      () => new Arena({ segmentBytes: wrong(segmentBytes) }),
      "ERR_INVALID_ARGUMENT",
      `segmentBytes is ${shown}`,
      "power of two",
    );
  });
});

describe.each(MODES)("revoke: %s, a disposed arena", (revoke) => {
  test("throws from every method that would use memory", async () => {
    const arena = smallArena({ revoke });
    arena.acquire(100);
    arena[Symbol.dispose]();
    const after = arena.stats();
    expect(after).toMatchObject({ liveLeases: 0, liveBytes: 0, reservedBytes: 0, released: 1, leakedLeases: 0 });

    const methods: [() => unknown, string][] = [
      [() => arena.acquire(100), "cannot acquire"],
      [() => arena.acquire(10 * SEGMENT_BYTES), "cannot acquire"],
      [() => arena.use(100, () => expect.unreachable("fn was called")), "cannot acquire"],
      [() => arena.copyOf(new Uint8Array(8)), "cannot acquire"],
      [() => arena.pool(100), "cannot make a pool"],
      [() => arena.scope(), "cannot open a scope"],
      [() => arena.audit(), "cannot audit"],
      [() => arena.trim(), "cannot trim"],
    ];
    // Twice: the first call must not wear the check out.
    for (const [method, action] of [...methods, ...methods]) {
      expectThrow(method, "ERR_ARENA_DISPOSED", action, "the arena was disposed", "create a new one");
    }
    for (const byteLength of [100, SEGMENT_BYTES + 1, 2 ** 32 - 1]) {
      const promise = arena.acquireAsync(byteLength);
      expectArenaError(await rejectionOf(promise), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    }
    expect(arena.stats()).toEqual(after);
  });

  test("still refuses a wrong argument as such", () => {
    const arena = smallArena({ revoke });
    arena[Symbol.dispose]();
    expectThrow(() => arena.acquire(-1), "ERR_INVALID_ARGUMENT", "byteLength is -1");
    expectThrow(() => arena.pool(0.5), "ERR_INVALID_ARGUMENT", "byteLength is 0.5");
  });

  test("answers stats, is drained, takes listeners, and is quietly disposed again", () => {
    const arena = smallArena({ revoke });
    arena.acquire(100);
    arena.pool(200).acquire().release();
    arena[Symbol.dispose]();
    const after = arena.stats();
    arena[Symbol.dispose]();
    arena.assertDrained();
    arena.addEventListener("leak", () => {});
    arena.removeEventListener("leak", () => {});
    expect(arena.stats()).toEqual(after);
    expect(after).toMatchObject({
      acquired: 2,
      released: 2,
      segments: { active: 0, retired: 0, drained: 0, corrupt: 0 },
      dedicated: { leased: 0, idle: 0 },
    });
  });

  test("throws from a pool made before it, whether it kept blocks or not", () => {
    const arena = smallArena({ revoke });
    const used = arena.pool(100);
    releaseAll([used.acquire(), used.acquire()]);
    const unused = arena.pool(200);
    const long = arena.pool(2 * SEGMENT_BYTES);
    arena[Symbol.dispose]();
    for (const pool of [used, unused, long, used]) {
      expectThrow(() => pool.acquire(), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    }
    expect(used.byteLength).toBe(100);
  });

  test("lets a scope made before it end quietly, but acquires nothing in it", () => {
    const arena = smallArena({ revoke });
    const scope = arena.scope();
    const disposed = arena.scope();
    const lease = scope.acquire(100);
    disposed.bytes(100);
    arena[Symbol.dispose]();
    const after = arena.stats();
    expectThrow(() => scope.acquire(100), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    expectThrow(() => scope.bytes(100), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    scope.release();
    expect(lease.released).toBe(true);
    expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "this scope has ended");
    scope[Symbol.dispose]();
    disposed[Symbol.dispose]();
    expect(arena.stats()).toEqual(after);
  });

  test("rejects whoever still waits", async () => {
    const arena = smallArena({ revoke }, 1);
    arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const first = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    const second = arena.acquireAsync(SEGMENT_BYTES);
    expect(arena.stats().waiting).toBe(2);
    arena[Symbol.dispose]();
    controller.abort(new Error("too late"));
    expectArenaError(await rejectionOf(first), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    expectArenaError(await rejectionOf(second), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0 });
  });

  test("leaves the outcome of a use under way alone", async () => {
    const arena = smallArena({ revoke });
    const gate = deferred<string>();
    const lent = arena.use(100, () => gate.promise);
    const inside = arena.use(100, () => {
      arena[Symbol.dispose]();
      return "returned";
    });
    gate.resolve("fulfilled");
    expect(inside).toBe("returned");
    expect(await promptly(lent)).toBe("fulfilled");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 2 });
  });

  test("has revoked the views of leases longer than a segment, too", () => {
    const arena = smallArena({ revoke });
    const lease = arena.acquire(SEGMENT_BYTES + 1);
    const view = lease.bytes;
    arena[Symbol.dispose]();
    expect(view.length).toBe(0);
    expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED", "read bytes");
    expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release");
  });
});

describe.each(MODES)("revoke: %s, use", (revoke) => {
  /** Whether the lent bytes were taken back: dead, or wiped where no view dies at release. */
  function isTakenBack(view: Uint8Array): boolean {
    if (revoke === "on-release") return view.length === 0;
    return view.length === 100 && isZero(view);
  }

  test("throws the very error that fn throws, with the lease returned", () => {
    using arena = smallArena({ revoke });
    arena.use(100, () => {});
    const { liveLeases, released } = arena.stats();
    for (const thrown of [new Error("from fn"), "a string", undefined, null]) {
      let lent: Uint8Array | undefined;
      const caught = thrownBy(() =>
        arena.use(100, (bytes) => {
          lent = bytes.fill(7);
          throw thrown;
        }),
      );
      expect(caught).toBe(thrown);
      expect(lent !== undefined && isTakenBack(lent)).toBe(true);
    }
    expect(arena.stats()).toMatchObject({ liveLeases, released: released + 4 });
    expectUsable(arena);
  });

  test("rejects with the very reason that fn rejects with, with the lease returned", async () => {
    using arena = smallArena({ revoke });
    const reason = new Error("from fn");
    const gate = deferred<void>();
    let lent: Uint8Array | undefined;
    const promise = arena.use(100, async (bytes) => {
      lent = bytes.fill(7);
      await gate.promise;
    });
    await settle();
    expect(lent !== undefined && isAll(lent, 7) && lent.length === 100).toBe(true);
    expect(arena.stats()).toMatchObject({ liveLeases: 1, released: 0 });
    gate.reject(reason);
    expect(await rejectionOf(promise)).toBe(reason);
    expect(lent !== undefined && isTakenBack(lent)).toBe(true);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 1 });
    expectUsable(arena);
  });

  test("lends to an async fn until it is done, and to a thenable's as well", async () => {
    using arena = smallArena({ revoke });
    const gate = deferred<string>();
    const thenable: PromiseLike<string> = {
      // biome-ignore lint/suspicious/noThenProperty: a thenable that is no promise is what this is about.
      then: (onfulfilled, onrejected) => gate.promise.then(onfulfilled, onrejected),
    };
    const promised = arena.use(100, () => gate.promise);
    const followed = arena.use(100, () => thenable);
    await settle();
    expect(arena.stats()).toMatchObject({ liveLeases: 2, released: 0 });
    gate.resolve("done");
    expect(await promptly(promised)).toBe("done");
    expect(await promptly(Promise.resolve(followed))).toBe("done");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 2 });
    expectSound(arena);
  });

  test.each([undefined, null, 0, "", Symbol.iterator, {}])(
    "returns what fn returns, though it be %s, with the lease returned",
    (value) => {
      using arena = smallArena({ revoke });
      expect(arena.use(100, () => value)).toBe(value);
      expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 1 });
      expectSound(arena);
    },
  );

  test.each<[unknown, string]>([
    [undefined, "undefined"],
    [null, "null"],
    ["fn", '"fn"'],
    [{}, "[object Object]"],
    [Promise.resolve(), "[object Promise]"],
  ])("refuses %s in place of fn, before it acquires anything", (fn, shown) => {
    using arena = smallArena({ revoke });
    expectUnharmed(arena, () => {
      expectThrow(() => arena.use(100, wrong(fn)), "ERR_INVALID_ARGUMENT", `fn is ${shown}`, "a function");
    });
  });

  test("releases when the then of what fn returned cannot be read", () => {
    using arena = smallArena({ revoke });
    const error = new Error("from then");
    // biome-ignore lint/suspicious/noThenProperty: what this is about.
    const hostile = Object.defineProperty({}, "then", {
      get() {
        throw error;
      },
    });
    expect(thrownBy(() => arena.use(100, () => hostile))).toBe(error);
    expect(arena.stats().liveLeases).toBe(0);
  });

  test("lends zeroed bytes each time, and takes every view of them back", () => {
    using arena = smallArena({ revoke });
    const stale: Uint8Array[] = [];
    for (let round = 0; round < 3; round++) {
      arena.use(100, (bytes) => {
        expect(bytes.length).toBe(100);
        expect(isZero(bytes)).toBe(true);
        stale.push(bytes.fill(7));
      });
    }
    expect(stale.every((view) => isTakenBack(view))).toBe(true);
  });
});

describe.each(MODES)("revoke: %s, copyOf", (revoke) => {
  test.each<[unknown, string]>([
    [undefined, "undefined"],
    [null, "null"],
    [8, "8"],
    ["bytes", '"bytes"'],
    [[1, 2, 3], "[object Array]"],
    [{ length: 3, byteLength: 3 }, "[object Object]"],
    [new ArrayBuffer(8), "[object ArrayBuffer]"],
    [new SharedArrayBuffer(8), "[object SharedArrayBuffer]"],
  ])("refuses %s, which is no view", (bytes, shown) => {
    using arena = smallArena({ revoke });
    expectUnharmed(arena, () => {
      expectThrow(() => arena.copyOf(wrong(bytes)), "ERR_INVALID_ARGUMENT", `bytes is ${shown}`, "another view");
    });
  });
});

describe("copyOf", () => {
  test.each(["Uint8Array", "DataView"] as const)("refuses a detached %s", (kind) => {
    using arena = smallArena();
    const bytes = kind === "DataView" ? new DataView(new ArrayBuffer(8)) : new Uint8Array(8);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    expectThrow(() => arena.copyOf(bytes), "ERR_INVALID_ARGUMENT", "bytes");
  });
});

/** An arena with room for one lease of `SEGMENT_BYTES` at a time, in every mode. */
function singleLeaseArena(options: ArenaOptions): Arena {
  return smallArena(options, 1);
}

/** An `AbortSignal` that shows who listens. */
class CountingSignal implements AbortSignalLike {
  aborted = false;
  reason: unknown = undefined;
  readonly listeners = new Set<() => void>();
  addEventListener(_type: "abort", listener: () => void): void {
    this.listeners.add(listener);
  }
  removeEventListener(_type: "abort", listener: () => void): void {
    this.listeners.delete(listener);
  }
}

describe.each(MODES)("revoke: %s, acquireAsync", (revoke) => {
  test("rejects with the reason of a signal that was aborted before, and acquires nothing", async () => {
    using arena = singleLeaseArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      const reason = new Error("changed my mind");
      expect(await rejectionOf(arena.acquireAsync(100, { signal: AbortSignal.abort(reason) }))).toBe(reason);
      const plain = await rejectionOf(arena.acquireAsync(100, { signal: AbortSignal.abort() }));
      expect(plain).toMatchObject({ name: "AbortError" });
    });
  });

  test("rejects with the reason of a signal aborted while it waited, and the next in line is served", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const first = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    const second = arena.acquireAsync(SEGMENT_BYTES);
    expect(arena.stats().waiting).toBe(2);
    const reason = { why: "too slow" };
    controller.abort(reason);
    expect(await rejectionOf(first)).toBe(reason);
    expect(arena.stats()).toMatchObject({ waiting: 1, liveLeases: 1, acquired: 1 });
    expect(await isSettled(second)).toBe(false);
    held.release();
    const lease = await promptly(second);
    expect(isZero(lease.bytes)).toBe(true);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 1, acquired: 2, released: 1 });
    lease.release();
    expectUsable(arena);
  });

  test("serves those behind one that gave up, who were waiting for his turn alone", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = [arena.acquire(64), arena.acquire(64)];
    const controller = new AbortController();
    const long = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    const short = arena.acquireAsync(64);
    expect(arena.stats().waiting).toBe(2);
    controller.abort();
    await rejectionOf(long);
    expect(await isSettled(short)).toBe(true);
    releaseAll(held);
  });

  test("gives none of those a lease who wait with the same signal, once that is aborted", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = [arena.acquire(64), arena.acquire(64)];
    const controller = new AbortController();
    const { signal } = controller;
    const long = arena.acquireAsync(SEGMENT_BYTES, { signal });
    const short = arena.acquireAsync(64, { signal });
    controller.abort();
    expect(await rejectionOf(long)).toMatchObject({ name: "AbortError" });
    expect(await rejectionOf(short)).toMatchObject({ name: "AbortError" });
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 2 });
    releaseAll(held);
  });

  test("loses no lease when the signal is aborted right after the room came free", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const promise = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    held.release();
    controller.abort();
    const lease = await promptly(promise);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 1, acquired: 2 });
    lease.release();
    expectUsable(arena);
  });

  test("loses no lease when the signal is aborted right before the room comes free", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const promise = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    controller.abort();
    held.release();
    expect(await rejectionOf(promise)).toMatchObject({ name: "AbortError" });
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0, acquired: 1 });
    expectUsable(arena);
  });

  test("is not disturbed by an abort after it was served", async () => {
    using arena = singleLeaseArena({ revoke });
    const controller = new AbortController();
    const lease = await promptly(arena.acquireAsync(100, { signal: controller.signal }));
    controller.abort();
    await settle();
    expect(lease.bytes.length).toBe(100);
    lease.release();
    expectUsable(arena);
  });

  test("stops listening to its signal however the waiting ends", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const served = new CountingSignal();
    const aborted = new CountingSignal();
    const first = arena.acquireAsync(SEGMENT_BYTES, { signal: served });
    const rejection = rejectionOf(arena.acquireAsync(SEGMENT_BYTES, { signal: aborted }));
    expect([served.listeners.size, aborted.listeners.size]).toEqual([1, 1]);
    aborted.aborted = true;
    aborted.reason = "enough";
    for (const listener of aborted.listeners) listener();
    held.release();
    (await promptly(first)).release();
    expect(await rejection).toBe("enough");
    expect([served.listeners.size, aborted.listeners.size]).toEqual([0, 0]);
  });

  test("serves in the order of the calls", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const served: number[] = [];
    const promises = [0, 1, 2, 3].map(async (caller) => {
      const lease = await arena.acquireAsync(SEGMENT_BYTES);
      served.push(caller);
      return lease;
    });
    expect(arena.stats().waiting).toBe(4);
    held.release();
    for (const [caller, promise] of promises.entries()) {
      const lease = await promptly(promise);
      expect(served).toEqual([0, 1, 2, 3].slice(0, caller + 1));
      expect(arena.stats()).toMatchObject({ waiting: 3 - caller, liveLeases: 1 });
      lease.release();
    }
    expectUsable(arena);
  });

  test("does not let a call that would fit overtake one that waits", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = [arena.acquire(64), arena.acquire(64)];
    const served: string[] = [];
    const long = arena.acquireAsync(SEGMENT_BYTES).then((lease) => {
      served.push("long");
      lease.release();
    });
    const short = arena.acquireAsync(64).then((lease) => {
      served.push("short");
      lease.release();
    });
    await settle();
    expect(served).toEqual([]);
    releaseAll(held);
    await promptly(Promise.all([long, short]));
    expect(served).toEqual(["long", "short"]);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0 });
    expectUsable(arena);
  });

  test("lets a plain acquire go first, which does not queue", async () => {
    using arena = singleLeaseArena({ revoke, onExhausted: "throw" });
    const held = [arena.acquire(64), arena.acquire(64)];
    const waiting = arena.acquireAsync(SEGMENT_BYTES);
    const lease = arena.acquire(64);
    expect(await isSettled(waiting)).toBe(false);
    releaseAll([...held, lease]);
    (await promptly(waiting)).release();
    expectUsable(arena);
  });

  test("rejects at once what can never fit under the cap", async () => {
    using arena = singleLeaseArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      for (const byteLength of [SEGMENT_MEMORY_BYTES + 1, 10 * SEGMENT_MEMORY_BYTES, 2 ** 32 - 1]) {
        expectArenaError(
          await rejectionOf(arena.acquireAsync(byteLength)),
          "ERR_ARENA_EXHAUSTED",
          `${byteLength} bytes can never fit`,
          `maxBytes = ${SEGMENT_MEMORY_BYTES}`,
          "raise maxBytes",
        );
      }
      expect(arena.stats().waiting).toBe(0);
    });
  });

  test("takes what just fits under the cap, and drops what is idle for it", async () => {
    using arena = singleLeaseArena({ revoke });
    arena.acquire(100).release();
    const lease = await promptly(arena.acquireAsync(SEGMENT_MEMORY_BYTES));
    expect(lease.origin).toBe("arena");
    lease.release();
    expectUsable(arena);
  });

  test("rejects, and loses its place in the line, when its signal is none", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    await rejectionOf(arena.acquireAsync(SEGMENT_BYTES, { signal: wrong({}) }));
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 1 });
    held.release();
    expectUsable(arena);
  });
});

describe.each(MODES)("revoke: %s, at the cap", (revoke) => {
  const SLABS = 16384;

  test("every way to a lease throws ERR_ARENA_EXHAUSTED with onExhausted: throw, and nothing is lost", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const events: unknown[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event));
    const leases = exhaust(arena, SLABS);
    expect(leases.length).toBeGreaterThanOrEqual(8);
    for (const [value, { bytes }] of leases.entries()) bytes.fill(value + 1);
    const before = arena.stats();
    const pool = arena.pool(SLABS);
    const scope = arena.scope();
    const doors = [
      () => arena.acquire(SLABS),
      () => pool.acquire(),
      () => arena.use(SLABS, () => expect.unreachable("fn was called")),
      () => arena.copyOf(new Uint8Array(SLABS)),
      () => scope.acquire(SLABS),
    ];
    for (const door of [...doors, ...doors]) {
      expectThrow(
        door,
        "ERR_ARENA_EXHAUSTED",
        `no room for ${SLABS} bytes`,
        `${before.reservedBytes} of maxBytes = ${before.maxBytes}`,
        "release leases",
        "raise maxBytes",
        "acquireAsync",
        "'allocate'",
      );
    }
    expect(arena.stats()).toEqual(before);
    expect(events).toEqual([]);
    expectSound(arena);
    for (const [value, { bytes }] of leases.entries()) expect(isAll(bytes, value + 1)).toBe(true);
    scope.release();
    releaseAll(leases);
    const again = exhaust(arena, SLABS);
    expect(again.length).toBe(leases.length);
    releaseAll(again);
    expectUsable(arena);
  });

  test("a lease too long for the room that is left does not keep shorter ones from it", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const first = arena.acquire(64);
    first.bytes.fill(7);
    for (let round = 0; round < 5; round++) {
      expectThrow(() => arena.acquire(SEGMENT_MEMORY_BYTES), "ERR_ARENA_EXHAUSTED", "no room");
      if (revoke !== "on-release") expectThrow(() => arena.acquire(SEGMENT_BYTES), "ERR_ARENA_EXHAUSTED", "no room");
      const short = [arena.acquire(64), arena.acquire(4096), arena.pool(100).acquire()];
      for (const { bytes } of short) {
        expect(isZero(bytes)).toBe(true);
        bytes.fill(8);
      }
      releaseAll(short);
      expectSound(arena);
    }
    expect(isAll(first.bytes, 7)).toBe(true);
    first.release();
    const whole = arena.acquire(SEGMENT_BYTES);
    expect(isZero(whole.bytes)).toBe(true);
    whole.release();
    expectUsable(arena);
  });

  test("a lease longer than all of the cap throws with onExhausted: throw, and drops no lease", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const lease = arena.acquire(100);
    lease.bytes.fill(7);
    const before = arena.stats();
    expectThrow(() => arena.acquire(2 ** 32 - 1), "ERR_ARENA_EXHAUSTED", "no room for 4294967295 bytes");
    expect(arena.stats()).toEqual(before);
    expect(isAll(lease.bytes, 7)).toBe(true);
    lease.release();
    expectUsable(arena);
  });

  test("a lease becomes a heap buffer with onExhausted: allocate, counted, reported, and dead on release", () => {
    using arena = smallArena({ revoke, onExhausted: "allocate" }, 1);
    const events: { type: string; byteLength: number; reservedBytes: number }[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event));
    const held = arena.acquire(SEGMENT_BYTES);
    const before = arena.stats();
    expect(before.overflowed).toBe(0);
    const lease = arena.acquire(PAGE_BYTES + 1);
    expect(lease.origin).toBe("heap");
    expect(lease.memory).toBeUndefined();
    expect(lease.byteOffset).toBe(0);
    expect(lease.bytes.length).toBe(PAGE_BYTES + 1);
    expect(isZero(lease.bytes)).toBe(true);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      type: "exhausted",
      byteLength: PAGE_BYTES + 1,
      reservedBytes: before.reservedBytes,
    });
    expect(arena.stats()).toMatchObject({
      overflowed: 1,
      acquired: before.acquired + 1,
      liveLeases: 2,
      liveBytes: SEGMENT_BYTES + PAGE_BYTES + 1,
      reservedBytes: before.reservedBytes,
    });
    expectSound(arena);

    const view = lease.bytes.fill(7);
    lease.release();
    if (revoke === "never") expect(view.length === PAGE_BYTES + 1 && isZero(view)).toBe(true);
    else expect(view.length).toBe(0);
    expect(arena.stats()).toMatchObject({ overflowed: 1, released: 1, liveLeases: 1, liveBytes: SEGMENT_BYTES });
    expectUnharmed(arena, () => expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release"));
    held.release();
    expect(arena.acquire(PAGE_BYTES + 1).origin).toBe("arena");
  });

  test("a heap lease whose buffer its holder transferred away says so, and can be released", () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const lease = arena.acquire(PAGE_BYTES + 1);
    expect(lease.origin).toBe("heap");
    structuredClone(lease.bytes.buffer, { transfer: [lease.bytes.buffer] });
    expectThrow(() => lease.bytes, "ERR_ARENA_CORRUPT", `${PAGE_BYTES + 1} bytes`, "transferred");
    lease.release();
    held.release();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 2 });
    expectUsable(arena);
  });
});

describe.each(MODES)("revoke: %s, a lease.memory that its holder grows by nothing", (revoke) => {
  test.each(["acquire", "pool"] as const)("kills the views of leases from %s, which can still be released", (way) => {
    using arena = smallArena({ revoke });
    const take = (): Lease => (way === "pool" ? arena.pool(100).acquire() : arena.acquire(100));
    const lease = take();
    const other = take();
    lease.bytes.fill(7);
    other.bytes.fill(8);
    const before = arena.stats();
    growUnder(lease, 0);
    for (const each of lease.memory === other.memory ? [lease, other] : [lease]) {
      expectThrow(
        () => each.bytes,
        "ERR_ARENA_CORRUPT",
        "cannot read bytes",
        "100 bytes",
        "revoked",
        "release the lease",
        "do not grow lease.memory",
      );
      expectThrow(() => each.view(DataView), "ERR_ARENA_CORRUPT", "do not grow");
      expectThrow(() => each.copy(), "ERR_ARENA_CORRUPT", "do not grow");
      expect(each.released).toBe(false);
    }
    expect(arena.stats()).toEqual(before);
    const next = take();
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    lease.release();
    other.release();
    expect(isZero(bytesNow(lease)) && isZero(bytesNow(other))).toBe(true);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, corruptSegments: 0 });
    for (let round = 0; round < 3; round++) {
      const again = take();
      expect(again.bytes.length).toBe(100);
      expect(isZero(again.bytes)).toBe(true);
      again.release();
    }
    expectUsable(arena);
  });

  test("can still be released with tracing on", () => {
    using arena = smallArena({ revoke, trace: "all" });
    const lease = arena.acquire(100);
    growUnder(lease, 0);
    lease.release();
    expect(arena.stats().liveLeases).toBe(0);
  });

  test("cannot be grown for real, past the cap", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    lease.bytes.fill(7);
    expectUnharmed(arena, () => {
      expect(() => growUnder(lease, 1)).toThrow(RangeError);
    });
    expect(isAll(lease.bytes, 7)).toBe(true);
    lease.release();
    expectSound(arena);
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, bookkeeping that was written over through a view's .buffer", (revoke) => {
  /** Everything before slab 0. */
  function scribble(lease: Lease): void {
    new Uint8Array(lease.bytes.buffer, 0, PAGE_BYTES).fill(0xab);
  }

  test("makes release throw ERR_ARENA_CORRUPT, and the arena goes on with another segment", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    const { bytes } = lease;
    bytes.fill(7);
    const bystander = arena.acquire(100);
    bystander.bytes.fill(7);
    scribble(lease);
    const whole = new Uint8Array(bytes.buffer);
    // The first who comes upon the damage is told. For everybody the lease ends, wiped and counted.
    expectThrow(() => lease.release(), "ERR_ARENA_CORRUPT", "segment", "bookkeeping", ".buffer");
    expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
    expect(lease.released).toBe(true);
    expect(whole.length === 0 || isZero(whole.subarray(lease.byteOffset, lease.byteOffset + 100))).toBe(true);
    expect(arena.stats()).toMatchObject({ corruptSegments: 1, released: 1 });
    bystander.release();
    for (let round = 0; round < 10; round++) {
      const next = arena.acquire(100);
      expect(next.memory).not.toBe(lease.memory);
      expect(isZero(next.bytes)).toBe(true);
      next.release();
    }
    expect(arena.stats()).toMatchObject({ liveLeases: 0, corruptSegments: 1, segments: { active: 1, corrupt: 0 } });
    expectUsable(arena);
  });

  test("takes no block from the leases that are out", () => {
    using arena = smallArena({ revoke });
    const leases = Array.from({ length: 20 }, () => arena.acquire(1000));
    for (const [value, { bytes }] of leases.entries()) bytes.fill(value + 1);
    const [first] = leases;
    if (first !== undefined) scribble(first);
    const more = Array.from({ length: 20 }, () => arena.acquire(1000));
    for (const { bytes } of more) bytes.fill(0xff);
    for (const [value, { bytes }] of leases.entries()) expect(isAll(bytes, value + 1)).toBe(true);
  });

  test("keeps a segment out of use once it was found damaged, though its other leases are released", () => {
    using arena = smallArena({ revoke });
    const short = arena.acquire(64);
    const long = arena.acquire(4096);
    // The head of the list of the first size class.
    memoryNow(short)[0] = 200;
    expect(arena.acquire(64).memory).not.toBe(short.memory);
    expect(arena.stats()).toMatchObject({ corruptSegments: 1, segments: { corrupt: 1 } });
    long.release();
    expect(arena.acquire(8192).memory).not.toBe(short.memory);
    expect(arena.stats()).toMatchObject({ corruptSegments: 1, segments: { corrupt: 1 } });
    short.release();
    expect(arena.acquire(16384).memory).not.toBe(short.memory);
  });

  test("finds the room in the other segments when a full one turns out damaged", () => {
    using arena = smallArena({ revoke });
    const short = arena.acquire(4096);
    const whole = arena.acquire(SEGMENT_BYTES);
    expect(whole.memory).not.toBe(short.memory);
    // The heads of the lists of all size classes.
    memoryNow(whole).fill(200, 0, 128);
    expect(arena.acquire(8192).memory).toBe(short.memory);
    expect(arena.acquire(16384).memory).toBe(short.memory);
  });
});

describe("revoke: never, a pool with blocks in a damaged segment", () => {
  function scribble(lease: Lease): void {
    memoryNow(lease).fill(0xab, 0, PAGE_BYTES);
  }

  test("counts a lease once, though its block cannot be taken back", () => {
    using arena = smallArena({ revoke: "never" }, 20);
    const pool = arena.pool(PAGE_BYTES);
    // One more than the pool keeps.
    const leases = Array.from({ length: 17 }, () => pool.acquire());
    const last = leases.pop();
    if (last === undefined) throw new Error("17 leases were acquired");
    scribble(last);
    releaseAll(leases);
    const before = arena.stats();
    expectThrow(() => last.release(), "ERR_ARENA_CORRUPT", "segment");
    expectThrow(() => last.release(), "ERR_LEASE_RELEASED");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: before.released + 1, corruptSegments: 1 });
  });

  test("gives up the others when room is needed", () => {
    using arena = smallArena({ revoke: "never", onExhausted: "throw" }, 2);
    const pool = arena.pool(32 * 1024);
    const leases = Array.from({ length: 16 }, () => pool.acquire());
    const [damaged] = leases;
    const sound = leases.find(({ memory }) => memory !== damaged?.memory);
    if (damaged === undefined || sound === undefined) throw new Error("16 leases lie in two segments");
    scribble(damaged);
    releaseAll(leases);
    const lease = arena.acquire(SEGMENT_BYTES);
    expect(lease.memory).toBe(sound.memory);
    expect(isZero(lease.bytes)).toBe(true);
  });
});

describe("revoke: before-reuse, a damaged segment", () => {
  test("is dropped with its last lease, and its bytes are back under the cap", () => {
    using arena = smallArena({ revoke: "before-reuse" });
    const short = arena.acquire(64);
    const long = arena.acquire(4096);
    const view = long.bytes;
    memoryNow(short)[0] = 200;
    arena.acquire(64).release();
    expect(arena.stats()).toMatchObject({ reservedBytes: 2 * SEGMENT_MEMORY_BYTES, segments: { corrupt: 1 } });
    short.release();
    long.release();
    expect(view.length).toBe(0);
    expect(arena.stats()).toMatchObject({
      reservedBytes: SEGMENT_MEMORY_BYTES,
      corruptSegments: 1,
      segments: { active: 1, corrupt: 0 },
    });
    expectUsable(arena);
  });
});

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
    expectThrow(() => scope.acquire(SEGMENT_MEMORY_BYTES), "ERR_ARENA_EXHAUSTED", "no room");
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

  test("counts a released lease as out for as long as it is pinned", () => {
    using arena = smallArena({ revoke, trace: "all" });
    const lease = arena.acquire(100);
    const pin = lease.pin();
    lease.release();
    expectThrow(() => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", "1 lease of 100 bytes", "misuse.test");
    pin.release();
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
      expect(firstFrame(message, byteLength)).toMatch(new RegExp(`\\b${caller} .*misuse\\.test`));
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

  test("names the caller of acquireAsync with trace: all when he had to wait", async () => {
    using arena = smallArena({ revoke, trace: "all" }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    function asks(): Promise<Lease> {
      return arena.acquireAsync(SEGMENT_BYTES);
    }
    const promise = asks();
    held.release();
    const lease = await promptly(promise);
    function acquires(): Lease {
      return arena.acquire(SEGMENT_BYTES + 1);
    }
    const other = acquires();
    const error = thrownBy(() => arena.assertDrained());
    const message = error instanceof Error ? error.message : "";
    expect(firstFrame(message, SEGMENT_BYTES)).toContain("asks");
    // Only that one was acquired on another's behalf.
    expect(firstFrame(message, SEGMENT_BYTES + 1)).toContain("acquires");
    releaseAll([lease, other]);
    arena.assertDrained();
  });
});

/** The line under `… bytes, acquired` in the message of `assertDrained`. */
function firstFrame(message: string, byteLength: number): string {
  const lines = message.split("\n");
  return lines[lines.indexOf(`1 lease of ${byteLength} bytes, acquired`) + 1] ?? "";
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
        acquireAsync: () => void arena.acquireAsync(64),
      };
      const sites = {};
      for (const [name, door] of Object.entries(doors)) {
        const forgetful = { forgets: () => door() };
        const lease = forgetful.forgets();
        try { arena.assertDrained(); } catch (error) { sites[name] = error.message.split("\\n1 lease of 64 bytes, acquired\\n").at(-1); }
      }
      console.log(JSON.stringify(sites));
    `;
    sites = JSON.parse(
      execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
        cwd: fileURLToPath(new URL("..", import.meta.url)),
        encoding: "utf8",
      }),
    );
  });

  test.each(["acquire", "pool", "scope.acquire", "scope.bytes", "use", "copyOf", "acquireAsync"])(
    "start with the caller of %s",
    (door) => {
      expect(sites[door]?.split("\n")[0]).toMatch(/\[eval/);
    },
  );

  test.each(["acquire", "pool", "scope.acquire", "use", "copyOf", "acquireAsync"])("reach the caller of %s", (door) => {
    expect(sites[door]).toMatch(/forgets.*\[eval/);
  });

  test.each(["with (parentheses)", "(group)"])("start with a caller in a folder named %s", (folder) => {
    const root = mkdtempSync(join(tmpdir(), "cleanslab-"));
    try {
      mkdirSync(join(root, folder));
      const file = join(root, folder, "caller.mjs");
      writeFileSync(
        file,
        `
          import { Arena } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
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
