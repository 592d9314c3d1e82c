/**
 * The promises that are checked. With every lease: zero and exactly as long as
 * asked when it is handed out, behind the bookkeeping, apart from all live
 * leases, untouched until its end, zero or out of reach after that. And of the
 * whole arena: all live leases, all stale views, the counts, the cap, the audit.
 *
 * In a segment whose bookkeeping was written over a lease still has its length
 * and its place among the slabs, and is counted; what its bytes are is between
 * its holders, except that `"before-reuse"` wipes at hand-out whatever is said.
 */

import type { AuditReport } from "cleanslab";
import { firstOther, STALE_BYTE } from "./marks.js";
import type { Live, Stale } from "./model.js";
import { PAGE_BYTES } from "./program.js";
import type { World } from "./world.js";

/** Bytes of a stale view that was written to. */
const STALE_SCANNED = 2048;

/** A block was handed out just now: what is promised of it before anyone wrote to it. */
export function expectNew(
  world: World,
  serial: number,
  byteLength: number,
  bytes: Uint8Array<ArrayBuffer>,
  copied: number,
): void {
  const { buffer, byteOffset: start } = bytes;
  if (bytes.length !== byteLength) {
    throw world.found(
      `${bytes.length} bytes instead of ${byteLength}`,
      `assert.equal(bytes${serial}.length, ${byteLength})`,
    );
  }
  const isDamaged = world.isDamaged(buffer);
  if ((start > 0 || isDamaged) && (start < PAGE_BYTES || start % 16 !== 0)) {
    throw world.found(
      `a lease at ${start} lies over the bookkeeping, or on no multiple of 16`,
      `assert(bytes${serial}.byteOffset >= ${PAGE_BYTES} && bytes${serial}.byteOffset % 16 === 0)`,
    );
  }
  if (!isDamaged || copied >= 0 || world.options.revoke === "before-reuse") {
    const other = firstOther(bytes, copied >= 0 ? copied : 0);
    if (other >= 0) {
      const wanted = copied >= 0 ? copied & 0xff : 0;
      throw world.found(
        `a lease of ${byteLength} bytes is handed out with byte ${other} = ${bytes[other]}`,
        `assert(bytes${serial}.every((byte) => byte === ${wanted}))`,
      );
    }
  }
  if (isDamaged) return;
  for (const each of world.live) {
    if (each.buffer === buffer && each.start < start + byteLength && start < each.start + each.byteLength) {
      throw world.found(
        `a lease at ${start} + ${byteLength} overlaps a live one at ${each.start} + ${each.byteLength}`,
        `assert(bytes${serial}.fill(1) && !bytes${each.serial}.includes(1))`,
      );
    }
  }
}

/** Nothing is out, yet there was no room for so many bytes. */
export function expectNoRoom(world: World, byteLength: number, assertion: string): void {
  if (world.disposed || world.live.length > 0 || world.leaked > 0 || byteLength > world.options.segmentBytes) return;
  throw world.found(`no room for ${byteLength} bytes though nothing is out`, assertion);
}

/** The holder of `live` is about to end it: its bytes are as he left them. */
export function expectMarked(world: World, { serial, bytes, buffer, mark, byteLength }: Live): void {
  // A listener disposed the arena in a job of its own: reopen() looks at what is left.
  if (world.disposed) return;
  if (bytes.length !== byteLength) {
    throw world.found("a live view is dead", `assert.equal(bytes${serial}.length, ${byteLength})`);
  }
  const other = firstOther(bytes, mark);
  if (other < 0 || world.isDamaged(buffer)) return;
  throw world.found(
    `byte ${other} of a live lease of ${byteLength} bytes became ${bytes[other]}`,
    `assert(bytes${serial}.every((byte) => byte === ${mark & 0xff}))`,
  );
}

/** A block was returned just now: its bytes are zero, or out of reach. False if it is promised nothing more. */
export function expectReturned(world: World, serial: number, bytes: Uint8Array<ArrayBuffer>): boolean {
  if (bytes.length === 0 || world.isDamaged(bytes.buffer)) return false;
  const other = firstOther(bytes, 0);
  if (other >= 0) {
    throw world.found(
      `byte ${other} is ${bytes[other]} after release`,
      `assert(bytes${serial}.every((byte) => byte === 0))`,
    );
  }
  if (world.options.revoke === "on-release") {
    throw world.found("a view lives on after release", `assert.equal(bytes${serial}.length, 0)`);
  }
  return world.revokes;
}

/** Stale views see zeros and what stale views wrote, or nothing. */
export function expectStale(world: World, stale: readonly Stale[]): void {
  for (const { serial, bytes, part } of stale) {
    if (bytes.length === 0 || firstOther(bytes, 0) < 0) continue;
    // A foreign mark would reach over all of a block: its start is enough to see it.
    const foreign = bytes.subarray(0, STALE_SCANNED).findIndex((byte) => byte !== 0 && byte !== STALE_BYTE);
    if (foreign >= 0) {
      throw world.found(
        `a stale view sees ${bytes[foreign]} at ${foreign}`,
        `assert(bytes${serial}.every((byte) => byte === 0 || byte === ${STALE_BYTE}))`,
      );
    }
    if (part.length === 0 && bytes.length > 1) throw world.found("a stale view is dead in part");
  }
}

/** Everything at once. */
export function expectAll(world: World): void {
  for (const live of world.live) expectMarked(world, live);
  expectStale(world, world.stale);
  expectCounts(world);
  expectAudit(world);
}

function expectCounts(world: World): void {
  const stats = world.arena.stats();
  const lost = world.leaked - world.reported.leases;
  expectEqual(world, "liveLeases", stats.liveLeases, world.live.length + lost);
  expectEqual(world, "liveBytes", stats.liveBytes, world.liveBytes);
  expectEqual(world, "leakedLeases", stats.leakedLeases, world.reported.leases);
  expectEqual(world, "waiting", stats.waiting, world.waiting.length);
  expectEqual(world, "acquired", stats.acquired, stats.released + stats.liveLeases + stats.leakedLeases);
  if (stats.corruptSegments > world.damagedInAll) {
    throw world.found(
      `${stats.corruptSegments} segments are out of use, of which ${world.damagedInAll} were written over`,
      `assert(arena.stats().corruptSegments <= ${world.damagedInAll})`,
    );
  }
  const { maxBytes } = world.options;
  // The peak: at no moment was it more. And what the leases lie in, whatever the arena counts.
  const memories = new Map<ArrayBuffer, number>();
  for (const { lease, buffer } of world.live) {
    if (lease?.memory !== undefined) memories.set(buffer, buffer.byteLength);
  }
  const inUse = [...memories.values()].reduce((sum, byteLength) => sum + byteLength, 0);
  if (stats.peakReservedBytes <= maxBytes && inUse <= stats.reservedBytes) return;
  throw world.found(
    `${stats.peakReservedBytes} bytes were reserved, ${inUse} are in use, under a cap of ${maxBytes}`,
    `assert(arena.stats().peakReservedBytes <= ${maxBytes} && arena.stats().reservedBytes >= ${inUse})`,
  );
}

/** Clean, but for segments that were written over, which it names by number. */
function expectAudit(world: World): void {
  let report: AuditReport;
  try {
    report = world.arena.audit();
  } catch (error) {
    throw world.found(`arena.audit() threw ${String(error)}`, "arena.audit()");
  }
  const { problems } = report;
  const named = new Set(problems.map((problem) => /^segment \d+/.exec(problem)?.[0]));
  if (!named.has(undefined) && named.size <= world.damaged.size) return;
  throw world.found(problems.join("; "), `assert.deepEqual(arena.audit().problems, [])`);
}

function expectEqual(world: World, what: string, actual: number, wanted: number): void {
  if (actual === wanted) return;
  throw world.found(
    `stats().${what} is ${actual}, not ${wanted}`,
    // `waiting` and the counts of leases are numbers known here; `acquired` is a sum of others.
    what === "acquired"
      ? "{ const stats = arena.stats(); assert.equal(stats.acquired, stats.released + stats.liveLeases + stats.leakedLeases); }"
      : `assert.equal(arena.stats().${what}, ${wanted})`,
  );
}
