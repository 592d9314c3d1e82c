/**
 * The rivals as allocators: acquire, reach the bytes, give back. Each is used as
 * its documentation says, at its best. Owns their names and how they are opened.
 * What is done with them is loops.ts, how it is timed harness.ts.
 *
 * A process opens one of them, so each loop sees one shape.
 */

import { Arena, type ArenaOptions, type Lease } from "cleanslab";
import { SharedArena, type SharedLease } from "cleanslab/shared";

export interface Allocator<Held = unknown> {
  acquire(byteLength: number): Held;
  bytesOf(held: Held): Uint8Array;
  release(held: Held): void;
}

/** What an allocator has to be prepared for: buffers of one length, and how many are held at a time. */
export interface Load {
  byteLength: number;
  alive: number;
}

type Open = (load: Load) => Allocator;

export const FRESH = "new Uint8Array";
export const ALLOC_UNSAFE = "Buffer.allocUnsafe, dirty";
export const ALLOC_UNSAFE_WRITTEN = "Buffer.allocUnsafe, all written";
export const ARRAY_POOL = "array pool, fill(0)";
/** The control: an object and a view for each lease, and no memory behind them. */
export const BARE = "bare objects";

export const DEFAULT = "before-reuse, acquire";
export const FILLED = "before-reuse, acquireFilled, dirty";
export const FILLED_WRITTEN = "before-reuse, acquireFilled, all written";
export const WIPE_ON_RELEASE = "before-reuse, wipeOnRelease";
export const ON_RELEASE = "on-release, acquire";
export const NEVER = "never, acquire";
export const NEVER_POOL = "never, pool";

export const SHARED = "SharedArena, acquire";
export const SHARED_FILLED = "SharedArena, acquireFilled, dirty";
export const SHARED_POOL = "pool of SharedArrayBuffers, fill(0)";
/** `fill` writes shared memory byte by byte in some engines, and `set` does not. */
export const SHARED_POOL_SET = "pool of SharedArrayBuffers, set(zeros)";
export const SHARED_RIVALS: readonly string[] = [SHARED, SHARED_FILLED, SHARED_POOL, SHARED_POOL_SET];

/** What an arena takes at most if nothing is said. */
const DEFAULT_CAP = 64 * 2 ** 20;
const PAGE_BYTES = 65_536;

const freshArray = (byteLength: number): Uint8Array => new Uint8Array(byteLength);
const sharedArray = (byteLength: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(byteLength));
const writeNothing = ({ length }: Uint8Array): number => length;
const writeAll = (bytes: Uint8Array): number => bytes.fill(1).length;

const RIVALS: Readonly<Record<string, Open>> = {
  [FRESH]: () => collected(freshArray),
  [ALLOC_UNSAFE]: () => collected((byteLength) => Buffer.allocUnsafe(byteLength)),
  [ALLOC_UNSAFE_WRITTEN]: () => collected((byteLength) => Buffer.allocUnsafe(byteLength).fill(1)),
  [ARRAY_POOL]: () => arrayPool(freshArray, (bytes) => bytes.fill(0)),
  [BARE]: bareObjects,
  [DEFAULT]: (load) => throughAcquire(arenaFor(load)),
  [FILLED]: (load) => throughFilled(arenaFor(load), writeNothing),
  [FILLED_WRITTEN]: (load) => throughFilled(arenaFor(load), writeAll),
  [WIPE_ON_RELEASE]: (load) => throughAcquire(arenaFor(load, { wipeOnRelease: true })),
  [ON_RELEASE]: (load) => throughAcquire(arenaFor(load, { revoke: "on-release" })),
  [NEVER]: (load) => throughAcquire(arenaFor(load, { revoke: "never" })),
  [NEVER_POOL]: (load) => {
    const pool = arenaFor(load, { revoke: "never" }).pool(load.byteLength);
    return leases(() => pool.acquire());
  },
  [SHARED]: (load) => throughAcquire(new SharedArena({ maxBytes: capFor(load) })),
  [SHARED_FILLED]: (load) => throughFilled(new SharedArena({ maxBytes: capFor(load) }), writeNothing),
  [SHARED_POOL]: () => arrayPool(sharedArray, (bytes) => bytes.fill(0)),
  [SHARED_POOL_SET]: ({ byteLength }) => {
    const zeros = new Uint8Array(byteLength);
    return arrayPool(sharedArray, (bytes) => bytes.set(zeros));
  },
};

export const RIVAL_NAMES: readonly string[] = Object.keys(RIVALS);

export function openRival(name: string, load: Load): Allocator {
  const open = RIVALS[name];
  if (open === undefined) throw new Error(`no rival is called "${name}"`);
  return open(load);
}

/** Given back to the collector alone. */
function collected(acquire: (byteLength: number) => Uint8Array): Allocator {
  return { acquire, bytesOf: (held) => held as Uint8Array, release: () => {} };
}

/** The ten lines that everybody writes, wiping on the way back. */
function arrayPool(make: (byteLength: number) => Uint8Array, wipe: (bytes: Uint8Array) => unknown): Allocator {
  const free: Uint8Array[] = [];
  const pool: Allocator<Uint8Array> = {
    acquire: (byteLength) => free.pop() ?? make(byteLength),
    bytesOf: (bytes) => bytes,
    release: (bytes) => {
      wipe(bytes);
      free.push(bytes);
    },
  };
  return pool as Allocator;
}

function bareObjects(): Allocator {
  const { buffer } = new Uint8Array(PAGE_BYTES);
  return {
    acquire: (byteLength) => ({ bytes: new Uint8Array(buffer, 0, byteLength), owner: buffer, ptr: 0, byteLength }),
    bytesOf: (held) => (held as { bytes: Uint8Array }).bytes,
    release: () => {},
  };
}

/**
 * The default cap where that is ample. Else room for leases to be released in any order, and
 * for a memory each, which `"on-release"` needs.
 */
function capFor({ byteLength, alive }: Load): number {
  const aMemoryEach = alive * Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES;
  return Math.max(DEFAULT_CAP, 16 * alive * byteLength, 2 * aMemoryEach);
}

function arenaFor(load: Load, options: ArenaOptions = {}): Arena {
  return new Arena({ trace: "off", maxBytes: capFor(load), ...options });
}

/** What an arena of either kind is used for here. */
interface AnyArena {
  acquire(byteLength: number): Lease | SharedLease;
  acquireFilled(byteLength: number, write: (bytes: Uint8Array) => number): Lease | SharedLease;
}

/** What all ways to a lease share. */
function leases(acquire: (byteLength: number) => Lease | SharedLease): Allocator {
  const allocator: Allocator<Lease | SharedLease> = {
    acquire,
    bytesOf: (lease) => lease.bytes,
    release: (lease) => {
      lease.release();
    },
  };
  return allocator as Allocator;
}

function throughAcquire(arena: AnyArena): Allocator {
  return leases((byteLength) => arena.acquire(byteLength));
}

function throughFilled(arena: AnyArena, write: (bytes: Uint8Array) => number): Allocator {
  return leases((byteLength) => arena.acquireFilled(byteLength, write));
}
