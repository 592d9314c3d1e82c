/** `use` and `copyOf`: the lease comes back whatever the caller's function or view does. */

import { describe, expect, test } from "vitest";
import {
  deferred,
  expectSound,
  expectThrow,
  expectUnharmed,
  expectUsable,
  isAll,
  isZero,
  MODES,
  promptly,
  rejectionOf,
  settle,
  smallArena,
  thrownBy,
  wrong,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, use", (revoke) => {
  /** With wipeOnRelease: whether the lent bytes were taken back, dead or wiped where no view dies at release. */
  function isTakenBack(view: Uint8Array): boolean {
    if (revoke === "on-release") return view.length === 0;
    return view.length === 100 && isZero(view);
  }

  test("throws the very error that fn throws, with the lease returned", () => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
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
    using arena = smallArena({ revoke, wipeOnRelease: true });
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
    using arena = smallArena({ revoke, wipeOnRelease: true });
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
