/** `diagnostics_channel`: whose names, what each message says, and that an arena asks anew for each lease. */

import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Arena, RevokeMode } from "cleanslab";
import { afterEach, describe, expect, test } from "vitest";
import { channels, isAnnounced } from "../../../src/watch/channels.ts";
import { expectSound, MODES, settle, smallArena } from "../../helpers.ts";

interface Message {
  readonly arena: unknown;
  readonly count: number;
  readonly byteLength: number;
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** What comes on `name` for `arena`, of now on. */
function listen(name: string, arena: () => Arena, listener: (message: Message) => void = () => {}): Message[] {
  const messages: Message[] = [];
  const onMessage = (message: unknown): void => {
    if ((message as Message).arena !== arena()) return;
    messages.push(message as Message);
    listener(message as Message);
  };
  subscribe(name, onMessage);
  cleanups.push(() => unsubscribe(name, onMessage));
  return messages;
}

test("the channels are Node's, by their names", () => {
  for (const [name, each] of Object.entries(channels)) expect(each).toBe(channel(`cleanslab:${name}`));
  expect(Object.keys(channels).sort()).toEqual(
    ["acquire", "dirty", "exhausted", "leak", "release", "revoke", "stray-write"].sort(),
  );
});

test("leases are announced while anyone listens to acquire or release, and not otherwise", () => {
  using arena = smallArena();
  expect(isAnnounced()).toBe(false);
  for (const name of ["acquire", "release"]) {
    listen(`cleanslab:${name}`, () => arena);
    expect(isAnnounced()).toBe(true);
    for (const cleanup of cleanups.splice(0)) cleanup();
    expect(isAnnounced()).toBe(false);
  }
  listen("cleanslab:leak", () => arena);
  expect(isAnnounced()).toBe(false);
});

describe.each(MODES)("revoke: %s, a subscriber", (revoke: RevokeMode) => {
  test("hears of every lease, overflow and revocation, and of nothing once it has unsubscribed", async () => {
    using arena = smallArena({ revoke }, 1);
    const [acquired, released, revoked, exhausted] = ["acquire", "release", "revoke", "exhausted"].map((name) =>
      listen(`cleanslab:${name}`, () => arena),
    );
    const leases = [100, 200_000, 50_000].map((byteLength) => arena.acquire(byteLength));
    await settle();
    for (const lease of leases) lease.release();
    await settle();
    expect(acquired).toEqual([{ arena, count: 3, byteLength: 250_100 }]);
    expect(released).toEqual([{ arena, count: 3, byteLength: 250_100 }]);
    expect(exhausted).toMatchObject([{ arena, count: arena.stats().overflowed }]);
    if (revoke === "on-release") expect(revoked).toMatchObject([{ count: arena.stats().revocations }]);
    for (const cleanup of cleanups.splice(0)) cleanup();
    arena.acquire(50).release();
    await settle();
    expect(acquired).toHaveLength(1);
  });

  test("hears of a resized lease with the length it had at its end", async () => {
    using arena = smallArena({ revoke });
    const released = listen("cleanslab:release", () => arena);
    const lease = arena.acquire(10);
    // In its block: a move is another lease.
    lease.resize(60);
    lease.release();
    await settle();
    expect(released).toEqual([{ arena, count: 1, byteLength: 60 }]);
  });

  test("finds the lease ended and its bytes uncounted when it hears of a release", async () => {
    using arena = smallArena({ revoke });
    const states: unknown[] = [];
    const lease = (() => {
      listen(
        "cleanslab:release",
        () => arena,
        () => states.push([lease.released, arena.stats().liveLeases]),
      );
      return arena.acquire(100);
    })();
    lease.release();
    expect(states).toEqual([]);
    await settle();
    expect(states).toEqual([[true, 0]]);
  });

  test("may acquire, release, trim and dispose", async () => {
    const arena = smallArena({ revoke });
    let rounds = 0;
    listen(
      "cleanslab:acquire",
      () => arena,
      () => {
        if (rounds++ < 5) arena.acquire(10).release();
        arena.trim();
        expectSound(arena);
        if (rounds === 6) arena[Symbol.dispose]();
      },
    );
    arena.acquire(100).release();
    await settle();
    expect(rounds).toBe(6);
    expect(arena.stats().liveLeases).toBe(0);
  });
});
