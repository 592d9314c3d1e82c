/** What the tests of shared arenas share, in one thread. */

import type { SharedArena } from "cleanslab/shared";
import { expect } from "vitest";

/** Every invariant holds. Nothing else must run meanwhile. */
export function expectSound(...arenas: SharedArena[]): void {
  for (const arena of arenas) expect(arena.audit()).toMatchObject({ ok: true, problems: [] });
}

/** No block is out, in any thread, and the whole cap can be had as one lease. */
export function expectAllBack(arena: SharedArena): void {
  arena.trim();
  expectSound(arena);
  expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0, blocks: { leased: 0, inTransit: 0, kept: 0 } });
  arena.acquire(arena.stats().maxBytes).release();
}
