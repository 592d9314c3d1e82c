/** Leases that end together. A scope used after its end is test/misuse/outstanding.test.ts's. */

import { describe, expect, test } from "vitest";
import { Scope } from "../../src/scope.ts";
import { expectSound, FakeOwner, isAll, isZero, MODES, smallArena, thrownBy } from "../helpers.ts";

describe.each(MODES)("revoke: %s, a scope", (revoke) => {
  test("hands out leases and bytes as the arena does, and releases them all at its end", () => {
    using arena = smallArena({ revoke });
    let views: Uint8Array[];
    {
      using scope = arena.scope();
      const lease = scope.acquire(100);
      views = [lease.bytes, scope.bytes(200), scope.bytes(0), scope.bytes(5000)];
      expect(views.map(({ length }) => length)).toEqual([100, 200, 0, 5000]);
      expect(views.every((view) => isZero(view))).toBe(true);
      for (const [value, view] of views.entries()) view.fill(value + 1);
      for (const [value, view] of views.entries()) expect(isAll(view, value + 1)).toBe(true);
      expect(arena.stats()).toMatchObject({ liveLeases: 4, liveBytes: 5300 });
    }
    expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0, acquired: 4, released: 4 });
    for (const view of views) expect(view.length === 0 || isZero(view)).toBe(true);
    expectSound(arena);
  });

  test("ends without having acquired anything", () => {
    using arena = smallArena({ revoke });
    arena.scope().release();
    arena.scope()[Symbol.dispose]();
    expect(arena.stats().acquired).toBe(0);
  });

  test("does not touch the leases of another", () => {
    using arena = smallArena({ revoke });
    using outer = arena.scope();
    const bytes = outer.bytes(100).fill(7);
    {
      using inner = arena.scope();
      inner.bytes(100).fill(8);
    }
    expect(isAll(bytes, 7)).toBe(true);
    expect(arena.stats().liveLeases).toBe(1);
  });

  test("holds a pinned lease no longer than its pin", () => {
    using arena = smallArena({ revoke });
    const scope = arena.scope();
    const lease = scope.acquire(100);
    const view = lease.bytes.fill(7);
    const pin = lease.pin();
    scope.release();
    expect(lease.released).toBe(true);
    expect(isAll(view, 7)).toBe(true);
    expect(view.length).toBe(100);
    pin.release();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 1 });
  });
});

describe("a scope", () => {
  test("releases last acquired first, and leaves out what was released before", () => {
    const owner = new FakeOwner();
    let ptr = 0;
    const scope = new Scope((byteLength) => owner.lease(byteLength, ++ptr));
    scope.acquire(10);
    const second = scope.acquire(20);
    scope.bytes(30);
    scope.acquire(40);
    second.release();
    scope.release();
    expect(owner.releases.map((release) => release.ptr)).toEqual([2, 4, 3, 1]);
  });

  test("goes through all of its leases when some cannot be released, and throws all of the errors", () => {
    const sound = new FakeOwner();
    const broken = [new FakeOwner(), new FakeOwner()];
    for (const [each, owner] of broken.entries()) owner.error = new Error(`broken ${each}`);
    const owners = [sound, ...broken, sound];
    const scope = new Scope((byteLength) => (owners.shift() ?? sound).lease(byteLength, byteLength));
    for (const byteLength of [1, 2, 3, 4]) scope.acquire(byteLength);
    const error = thrownBy(() => scope.release());
    expect(error).toBeInstanceOf(AggregateError);
    expect(error).toMatchObject({ errors: [broken[1]?.error, broken[0]?.error] });
    expect(sound.releases.map((release) => release.ptr)).toEqual([4, 1]);
    expect(thrownBy(() => scope.release())).toMatchObject({ code: "ERR_LEASE_RELEASED" });
  });
});
