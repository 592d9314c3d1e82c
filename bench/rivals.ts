/**
 * The rivals as allocators: acquire, reach the bytes, give back. Each is used as
 * its documentation says, at its best. Owns their names and how they are opened.
 * What is done with them is loops.ts, how it is timed harness.ts.
 *
 * A process opens one of them, so each loop sees one shape.
 */

import { createRequire } from "node:module";
import { Arena, type Lease } from "cleanslab";
import { SharedArena, type SharedLease } from "cleanslab/shared";

export interface Allocator<Held = unknown> {
  acquire(byteLength: number): Held;
  bytesOf(held: Held): Uint8Array;
  release(held: Held): void;
  footprint?(): Footprint;
  /** Lets go of all that it has. */
  close?(): void;
}

export interface Footprint {
  /** Bytes held, most at any time. */
  peakReservedBytes: number;
  /** Leases that found no room under the cap. */
  overflowed: number;
}

/** What an allocator has to be prepared for. */
export interface Load {
  /** Of one buffer: all have this length, or at most it. */
  byteLength: number;
  /** Buffers held at a time, most. */
  alive: number;
  /** Whether lengths differ: then every pool gets the arena's default cap. */
  mixed?: boolean;
}

export interface Rival {
  readonly name: string;
  /** The package that it is from, which is the project's and not the published package's. */
  readonly from?: string;
  open(load: Load): Allocator | Promise<Allocator>;
}

export const FRESH = "new Uint8Array";
export const ALLOC_UNSAFE = "Buffer.allocUnsafe, dirty";
export const ALLOC_UNSAFE_WRITTEN = "Buffer.allocUnsafe, all written";
export const ARRAY_POOL = "array pool, fill(0)";
export const THING_MALLOC = "@thi.ng/malloc";

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
export const SHARED_POOL_SET = "pool of SharedArrayBuffers, set(zeros)";

/** What an arena takes at most if nothing is said. */
const DEFAULT_CAP = 64 * 2 ** 20;
const PAGE_BYTES = 65_536;

/** The rivals that hand out zeros, and the one that does not. */
export const OUTSIDERS: readonly Rival[] = [
  collected(FRESH, (byteLength) => new Uint8Array(byteLength)),
  collected("Buffer.alloc", (byteLength) => Buffer.alloc(byteLength)),
  collected(ALLOC_UNSAFE, (byteLength) => Buffer.allocUnsafe(byteLength)),
  collected("Buffer.allocUnsafe, fill(0)", (byteLength) => Buffer.allocUnsafe(byteLength).fill(0)),
  { name: ARRAY_POOL, open: ({ mixed }) => (mixed ? classPool() : lengthPool()) },
  { name: THING_MALLOC, from: THING_MALLOC, open: thingMalloc },
  { name: "typedarray-pool, fill(0)", from: "typedarray-pool", open: typedArrayPool },
];

/** Each mode through `acquire`. */
export const LEASES: readonly Rival[] = [
  { name: DEFAULT, open: (load) => throughAcquire(new Arena({ trace: "off", maxBytes: capFor(load) })) },
  {
    name: ON_RELEASE,
    open: (load) => throughAcquire(new Arena({ revoke: "on-release", trace: "off", maxBytes: capFor(load) })),
  },
  {
    name: NEVER,
    open: (load) => throughAcquire(new Arena({ revoke: "never", trace: "off", maxBytes: capFor(load) })),
  },
];

/** Other ways to a lease. */
export const MORE_LEASES: readonly Rival[] = [
  {
    name: NEVER_POOL,
    open: (load) => throughPool(new Arena({ revoke: "never", trace: "off", maxBytes: capFor(load) }), load.byteLength),
  },
  {
    name: WIPE_ON_RELEASE,
    open: (load) => throughAcquire(new Arena({ wipeOnRelease: true, trace: "off", maxBytes: capFor(load) })),
  },
  {
    name: FILLED,
    open: (load) => throughFilled(new Arena({ trace: "off", maxBytes: capFor(load) }), ({ length }) => length),
  },
  {
    name: FILLED_WRITTEN,
    open: (load) => throughFilled(new Arena({ trace: "off", maxBytes: capFor(load) }), (bytes) => bytes.fill(1).length),
  },
];

/** Memory that threads share. `fill` writes it byte by byte in some engines, and `set` does not. */
export const SHARED_RIVALS: readonly Rival[] = [
  { name: SHARED, open: (load) => throughAcquire(new SharedArena({ maxBytes: capFor(load) })) },
  {
    name: SHARED_FILLED,
    open: (load) => throughFilled(new SharedArena({ maxBytes: capFor(load) }), ({ length }) => length),
  },
  { name: SHARED_POOL, open: () => lengthPool(sharedArray) },
  {
    name: SHARED_POOL_SET,
    open: ({ byteLength }) => {
      const zeros = new Uint8Array(byteLength);
      return lengthPool(sharedArray, (bytes) => bytes.set(zeros));
    },
  },
];

/** What `acquireFilled` is compared with where all of it is written. */
export const WRITTEN: Rival = collected(ALLOC_UNSAFE_WRITTEN, (byteLength) => Buffer.allocUnsafe(byteLength).fill(1));

/**
 * The control: an object and a view for each lease, and no memory behind them.
 * The collector charges that to everyone who hands out views.
 */
export const BARE: Rival = {
  name: "bare objects",
  open: () => {
    const { buffer } = new Uint8Array(PAGE_BYTES);
    return {
      acquire: (byteLength) => ({ bytes: new Uint8Array(buffer, 0, byteLength), owner: buffer, ptr: 0, byteLength }),
      bytesOf: (held) => (held as { bytes: Uint8Array }).bytes,
      release: () => {},
    };
  },
};

export const RIVALS: readonly Rival[] = [...OUTSIDERS, WRITTEN, ...LEASES, ...MORE_LEASES, ...SHARED_RIVALS, BARE];

export function rivalNamed(name: string): Rival {
  const rival = RIVALS.find((each) => each.name === name);
  if (rival === undefined) throw new Error(`no rival is called "${name}"`);
  return rival;
}

/** Whether a rival's package is here: the published package brings none. */
export function isInstalled(packageName: string | undefined): boolean {
  if (packageName === undefined) return true;
  try {
    createRequire(import.meta.url).resolve(packageName);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code !== "MODULE_NOT_FOUND"; // else it is one for `import` alone
  }
}

/** Those of `names` that can be had here. */
export function available(names: readonly string[]): string[] {
  return names.filter((name) => isInstalled(rivalNamed(name).from));
}

export const namesOf = (rivals: readonly Rival[]): string[] => rivals.map(({ name }) => name);

/** Given back to the collector alone. */
function collected(name: string, acquire: (byteLength: number) => Uint8Array): Rival {
  return { name, open: () => ({ acquire, bytesOf: (held) => held as Uint8Array, release: () => {} }) };
}

function sharedArray(byteLength: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(byteLength));
}

/** The ten lines that everybody writes, wiping on the way back. */
function lengthPool(
  make = (byteLength: number): Uint8Array => new Uint8Array(byteLength),
  wipe = (bytes: Uint8Array): unknown => bytes.fill(0),
): Allocator {
  const free: Uint8Array[] = [];
  let made = 0;
  const pool: Allocator<Uint8Array> = {
    acquire: (byteLength) => {
      const bytes = free.pop();
      if (bytes !== undefined) return bytes;
      made += byteLength;
      return make(byteLength);
    },
    bytesOf: (bytes) => bytes,
    release: (bytes) => {
      wipe(bytes);
      free.push(bytes);
    },
    footprint: () => ({ peakReservedBytes: made, overflowed: 0 }),
  };
  return pool as Allocator;
}

/** The same for many lengths: a list for each power of two, and buffers as long as that. */
function classPool(): Allocator {
  const free: Uint8Array[][] = Array.from({ length: 33 }, () => []);
  let made = 0;
  const pool: Allocator<Uint8Array> = {
    acquire: (byteLength) => {
      const power = byteLength < 2 ? 0 : 32 - Math.clz32(byteLength - 1);
      const bytes = (free[power] as Uint8Array[]).pop();
      if (bytes !== undefined) return bytes;
      made += 2 ** power;
      return new Uint8Array(2 ** power);
    },
    bytesOf: (bytes) => bytes,
    release: (bytes) => {
      bytes.fill(0);
      (free[31 - Math.clz32(bytes.length)] as Uint8Array[]).push(bytes);
    },
    footprint: () => ({ peakReservedBytes: made, overflowed: 0 }),
  };
  return pool as Allocator;
}

/** `callocAs`, which its documentation prefers "for safety". It cannot grow, so it has room for twice what is held. */
async function thingMalloc({ byteLength, alive, mixed = false }: Load): Promise<Allocator> {
  const { MemPool } = await import("@thi.ng/malloc");
  const pages = Math.ceil((2 * alive * (byteLength + 16)) / PAGE_BYTES) + 1;
  const pool = new MemPool({ size: mixed ? DEFAULT_CAP : pages * PAGE_BYTES });
  return {
    acquire: (length) => {
      const bytes = pool.callocAs("u8", length);
      if (bytes === undefined) throw new Error(`@thi.ng/malloc: no room for ${length} bytes`);
      return bytes as Uint8Array;
    },
    bytesOf: (bytes) => bytes as Uint8Array,
    release: (bytes) => {
      pool.free(bytes as Uint8Array);
    },
  };
}

/** Hands out what was given back as it is, so it is wiped on the way. */
async function typedArrayPool(): Promise<Allocator> {
  const { default: pool } = await import("typedarray-pool");
  return {
    acquire: (byteLength) => pool.mallocUint8(byteLength),
    bytesOf: (bytes) => bytes as Uint8Array,
    release: (bytes) => {
      pool.freeUint8((bytes as Uint8Array).fill(0));
    },
  };
}

/**
 * The default cap where that is ample, and for lengths that differ. Else room for
 * leases to be released in any order, and for a memory each, which `"on-release"` needs.
 */
function capFor({ byteLength, alive, mixed = false }: Load): number {
  if (mixed) return DEFAULT_CAP;
  const aMemoryEach = alive * Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES;
  return Math.max(DEFAULT_CAP, 16 * alive * byteLength, 2 * aMemoryEach);
}

/** What an arena of either kind is used for here. */
interface AnyArena {
  acquire(byteLength: number): Lease | SharedLease;
  acquireFilled(byteLength: number, write: (bytes: Uint8Array) => number): Lease | SharedLease;
  stats(): { reservedBytes: number; peakReservedBytes?: number; overflowed?: number };
  [Symbol.dispose](): void;
}

/** What all ways to a lease share. */
function leases(arena: AnyArena, acquire: (byteLength: number) => Lease | SharedLease): Allocator {
  const allocator: Allocator<Lease | SharedLease> = {
    acquire,
    bytesOf: (lease) => lease.bytes,
    release: (lease) => {
      lease.release();
    },
    close: () => arena[Symbol.dispose](),
    footprint() {
      // Shared memory never shrinks, and there is nothing but it.
      const { reservedBytes, peakReservedBytes = reservedBytes, overflowed = 0 } = arena.stats();
      return { peakReservedBytes, overflowed };
    },
  };
  return allocator as Allocator;
}

function throughAcquire(arena: AnyArena): Allocator {
  return leases(arena, (byteLength) => arena.acquire(byteLength));
}

function throughPool(arena: Arena, byteLength: number): Allocator {
  const pool = arena.pool(byteLength);
  return leases(arena, () => pool.acquire());
}

function throughFilled(arena: AnyArena, write: (bytes: Uint8Array) => number): Allocator {
  return leases(arena, (byteLength) => arena.acquireFilled(byteLength, write));
}
