/**
 * What `stats()` and `audit()` answer: plain objects, made on request from the
 * accounts and the stores' counters. A lease costs nothing here but what its memory's
 * account counts anyway.
 *
 * A1  The live leases of all accounts are at most the leases acquired.
 */

import type { AccountTable } from "../memory/account.js";
import type { WaitCounts } from "../options.js";

/** Counters of one arena. All lengths in bytes; counts since the arena was created unless said otherwise. */
export interface ArenaStats {
  /** Leases out now: acquired, and neither released nor leaked. A pinned lease is out until its last pin is released. */
  liveLeases: number;
  /** Bytes in those leases. */
  liveBytes: number;
  /** Leases of these that were released, and whose blocks pins keep. */
  pinnedLeases: number;
  /** Memory for leases held now, memory that only a forgotten view keeps included; never above `maxBytes`. */
  reservedBytes: number;
  peakReservedBytes: number;
  maxBytes: number;
  /** Bytes that could be reserved now, idle memories dropped: what is left under the cap. */
  headroomBytes: number;
  /**
   * Of `reservedBytes`: memories without leases, ready for the next ones, or to be dropped for room. With
   * `liveBytes` of leases that are not on the heap and `restingBytes` it makes up all but what is
   * still to be handed out.
   */
  idleBytes: number;
  /** Of `reservedBytes`: released, and not to be handed out before the last lease of their segment is released. */
  restingBytes: number;
  /** Linear memory for bookkeeping, outside the cap. */
  bookBytes: number;
  /** Leases handed out. A writer that grows and a lease that moves in `resize` count each block. */
  acquired: number;
  released: number;
  /** Share of the leases handed out for which no memory had to be made, from 0 to 1; 1 before the first. */
  hitRate: number;
  /** Leases that became heap buffers because the cap left no room. */
  overflowed: number;
  /** How often a memory's views were detached. */
  revocations: number;
  /** Leases never released, found when their memory was collected; in `"never"` mode those of them that were watched. */
  leakedLeases: number;
  /** Bytes in those leases. */
  leakedBytes: number;
  /** With `trace: "all"`: memories or blocks found written to after their release. */
  dirtyBlocks: number;
  /** How often code was found to have written in front of a segment's leases. */
  strayWrites: number;
  /** Leases that `guardEvery` meant to guard, and could not: no room, or 32 memories of one lease were there already. */
  missedGuards: number;
  /** Calls of `acquireAsync` waiting for room now. */
  waiting: number;
  /** Bytes that they ask for. */
  waitingBytes: number;
  /** How long the first in line has waited, in milliseconds; 0 if nobody waits. */
  waitingMs: number;
  /** Calls of `acquireAsync` that had to wait and were served. */
  waited: WaitCounts;
  /** Segments now, by state. */
  segments: {
    active: number;
    retired: number;
    drained: number;
    /** Bytes reserved by retired segments: out of use until their last lease is released … */
    retiredBytes: number;
    /** … and bytes in the leases that keep them so. Far below `retiredBytes`: short and long lifetimes are mixed. */
    retiredLiveBytes: number;
  };
  /** Memories of one lease each now: guards, `"on-release"`, and leases too long for a segment. */
  oneLease: { leased: number; idle: number };
  /** Size classes ever used, shortest first. */
  sizeClasses: { blockBytes: number; acquired: number }[];
  /** Histogram of lengths: leases with more bytes than the bar before, and at most `maxByteLength`. */
  requestedLengths: { maxByteLength: number; count: number }[];
}

/** What an audit found. */
export interface AuditReport {
  /** Whether every invariant holds. */
  ok: boolean;
  /** Segments walked. */
  segments: number;
  /** One line for each broken invariant. */
  problems: string[];
}

/** A store, as far as it is counted. */
interface CountedStore {
  countAcquired(add: (maxByteLength: number, acquired: number, isClass: boolean) => void): void;
  audit(problems: string[]): number;
}

/** What only the arena knows. */
export type ArenaCounts = Pick<
  ArenaStats,
  "overflowed" | "dirtyBlocks" | "strayWrites" | "missedGuards" | "waiting" | "waitingBytes" | "waitingMs" | "bookBytes"
> & { readonly waited: WaitCounts };

export function collectStats(table: AccountTable, stores: readonly CountedStore[], counts: ArenaCounts): ArenaStats {
  const { budget } = table;
  const segments = { active: 0, retired: 0, drained: 0, retiredBytes: 0, retiredLiveBytes: 0 };
  const oneLease = { leased: 0, idle: 0 };
  const { liveLeases, liveBytes, pinnedLeases } = countLive(table);
  for (const { kind, state, reservedBytes, liveBytes: bytes } of table.accounts) {
    if (kind === "one-lease") oneLease[state === "drained" ? "idle" : "leased"]++;
    if (kind !== "segment" || state === "dropped" || state === "collected") continue;
    segments[state]++;
    if (state !== "retired") continue;
    segments.retiredBytes += reservedBytes;
    segments.retiredLiveBytes += bytes;
  }
  const classes = new Map<number, number>();
  const lengths = new Map<number, number>();
  let acquired = 0;
  for (const store of stores) {
    store.countAcquired((maxByteLength, count, isClass) => {
      acquired += count;
      lengths.set(maxByteLength, (lengths.get(maxByteLength) ?? 0) + count);
      if (isClass) classes.set(maxByteLength, (classes.get(maxByteLength) ?? 0) + count);
    });
  }
  return {
    liveLeases,
    liveBytes,
    pinnedLeases,
    reservedBytes: budget.reservedBytes,
    peakReservedBytes: budget.peakReservedBytes,
    maxBytes: budget.maxBytes,
    headroomBytes: budget.headroom,
    idleBytes: budget.idleBytes,
    restingBytes: segments.retiredBytes - segments.retiredLiveBytes,
    acquired,
    released: Math.max(0, acquired - liveLeases - table.leakedLeases),
    hitRate: acquired === 0 ? 1 : Math.max(0, 1 - table.memoriesMade / acquired),
    revocations: table.revocations,
    leakedLeases: table.leakedLeases,
    leakedBytes: table.leakedBytes,
    ...counts,
    waited: { ...counts.waited },
    segments,
    oneLease,
    sizeClasses: sorted(classes).map(([blockBytes, count]) => ({ blockBytes, acquired: count })),
    requestedLengths: sorted(lengths).map(([maxByteLength, count]) => ({ maxByteLength, count })),
  };
}

export function countLive(table: AccountTable): { liveLeases: number; liveBytes: number; pinnedLeases: number } {
  let liveLeases = 0;
  let liveBytes = 0;
  let pinnedLeases = 0;
  for (const account of table.accounts) {
    liveLeases += account.live;
    liveBytes += account.liveBytes;
    pinnedLeases += account.pinned;
  }
  return { liveLeases, liveBytes, pinnedLeases };
}

/** Walks every memory that can be reached. */
export function auditArena(table: AccountTable, stores: readonly CountedStore[]): AuditReport {
  const problems: string[] = [];
  const segments = stores.reduce((sum, store) => sum + store.audit(problems), 0);
  const { liveLeases } = countLive(table);
  let reservedBytes = 0;
  let acquired = 0;
  for (const account of table.accounts) {
    reservedBytes += account.reservedBytes;
    if (account.live < 0) problems.push(`A1: a ${account.kind} has ${account.live} leases`);
  }
  for (const store of stores) {
    store.countAcquired((_, count) => {
      acquired += count;
    });
  }
  const { budget } = table;
  if (reservedBytes !== budget.reservedBytes) {
    problems.push(`M1: ${budget.reservedBytes} bytes are reserved, but the memories have ${reservedBytes}`);
  }
  if (budget.reservedBytes > budget.maxBytes) {
    problems.push(`M1: ${budget.reservedBytes} bytes are reserved, above maxBytes = ${budget.maxBytes}`);
  }
  if (liveLeases + table.leakedLeases > acquired) {
    problems.push(`A1: ${liveLeases} leases are live and ${table.leakedLeases} leaked, of ${acquired} acquired`);
  }
  return { ok: problems.length === 0, segments, problems };
}

function sorted(counts: Map<number, number>): [number, number][] {
  return [...counts].sort(([a], [b]) => a - b);
}
