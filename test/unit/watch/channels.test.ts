/**
 * `diagnostics_channel`: whose names, what each message says, and that an arena asks anew for
 * each lease. That subscribers run in no call of the arena's is promises/telling.test.ts's.
 */

import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Arena, RevokeMode } from "cleanslab";
import { afterEach, expect, test } from "vitest";
import { channels, isAnnounced } from "../../../src/watch/channels.ts";
import { MODES, settle, smallArena } from "../../helpers.ts";

const cleanups: (() => void)[] = [];

function stopListening(): void {
  for (const cleanup of cleanups.splice(0)) cleanup();
}

afterEach(stopListening);

/** What comes on `name` for `arena`, of now on. */
function listen(name: string, arena?: Arena): object[] {
  const messages: object[] = [];
  const onMessage = (message: unknown): void => {
    if ((message as { arena: Arena }).arena === arena) messages.push(message as object);
  };
  subscribe(`cleanslab:${name}`, onMessage);
  cleanups.push(() => unsubscribe(`cleanslab:${name}`, onMessage));
  return messages;
}

test("the channels are Node's, by their names, and two of them announce leases while anyone listens", () => {
  const announced: string[] = [];
  for (const [name, each] of Object.entries(channels)) {
    expect(each).toBe(channel(`cleanslab:${name}`));
    listen(name);
    if (isAnnounced()) announced.push(name);
    stopListening();
  }
  expect(Object.keys(channels)).toHaveLength(7);
  expect([announced, isAnnounced()]).toEqual([["acquire", "release"], false]);
});

test.each(MODES)(
  "revoke: %s, a subscriber hears of every lease, overflow and revocation, until it unsubscribes",
  async (revoke: RevokeMode) => {
    using arena = smallArena({ revoke }, 1);
    const [acquired, released, revoked, exhausted] = ["acquire", "release", "revoke", "exhausted"].map((name) =>
      listen(name, arena),
    );
    const leases = [100, 200_000, 50_000].map((byteLength) => arena.acquire(byteLength));
    await settle();
    // In its block, as a move is another lease: a release says the length that it had at its end.
    leases[0]?.resize(110);
    for (const lease of leases) lease.release();
    await settle();
    expect(acquired).toEqual([{ arena, count: 3, byteLength: 250_100 }]);
    expect(released).toEqual([{ arena, count: 3, byteLength: 250_110 }]);
    expect(exhausted).toMatchObject([{ arena, count: arena.stats().overflowed }]);
    if (revoke === "on-release") expect(revoked).toMatchObject([{ count: arena.stats().revocations }]);
    stopListening();
    arena.acquire(50).release();
    await settle();
    expect(acquired).toHaveLength(1);
  },
);
