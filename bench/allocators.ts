/**
 * The rivals as allocators: acquire, reach the bytes, give back. Each is used as
 * its documentation says, at its best. Owns their names and how they are opened;
 * what is done with them is loops.ts, how it is timed harness.ts.
 *
 * Every factory is copied (own-copy.ts), so it uses nothing but its parameters.
 */

import { MemPool } from "@thi.ng/malloc";
import typedArrayPool from "typedarray-pool";
import { type Library, loadLibrary } from "./library.ts";
import { ownCopy } from "./own-copy.ts";

export interface Allocator<Held = unknown> {
  acquire(byteLength: number): Held;
  bytesOf(held: Held): Uint8Array;
  release(held: Held): void;
  /** Lets go of all that it has. */
  close?(): void;
  footprint?(): Footprint;
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
  /** In a process of its own a rival needs no copy of the library. */
  isAlone?: boolean;
}

export interface Rival {
  readonly name: string;
  open(load: Load): Promise<Allocator>;
}

export const FRESH = "new Uint8Array";
export const ARRAY_POOL = "array pool, fill(0)";
export const THING_MALLOC = "@thi.ng/malloc";
export const MODES = ["before-reuse", "on-release", "never"] as const;
export type RevokeMode = (typeof MODES)[number];

/** What an arena takes at most if nothing is said. */
const DEFAULT_CAP = 64 * 2 ** 20;
const PAGE_BYTES = 65_536;

export const OUTSIDERS: readonly Rival[] = [
  simple(FRESH, () => ({
    acquire: (byteLength) => new Uint8Array(byteLength),
    bytesOf: (bytes) => bytes,
    release: () => {},
  })),
  simple("Buffer.alloc", () => ({
    acquire: (byteLength) => Buffer.alloc(byteLength),
    bytesOf: (bytes) => bytes,
    release: () => {},
  })),
  simple("Buffer.allocUnsafe, dirty", () => ({
    acquire: (byteLength) => Buffer.allocUnsafe(byteLength),
    bytesOf: (bytes) => bytes,
    release: () => {},
  })),
  simple("Buffer.allocUnsafe, fill(0)", () => ({
    acquire: (byteLength) => Buffer.allocUnsafe(byteLength).fill(0),
    bytesOf: (bytes) => bytes,
    release: () => {},
  })),
  { name: ARRAY_POOL, open: async ({ mixed }) => (mixed ? ownCopy(classPool) : ownCopy(lengthPool))() },
  { name: THING_MALLOC, open: async (load) => ownCopy(thingMalloc)(thingPool(load)) },
  { name: "typedarray-pool, fill(0)", open: async () => ownCopy(sharedPool)(typedArrayPool) },
];

/** Each mode through `acquire`. */
export const LEASES: readonly Rival[] = MODES.map((revoke) => arenaRival(revoke, "acquire"));
/** Each mode through `pool(byteLength)`, which is for one length. */
export const POOLED_LEASES: readonly Rival[] = MODES.map((revoke) => arenaRival(revoke, "pool"));

export function leaseRival(revoke: RevokeMode, way: "acquire" | "pool"): string {
  return `${revoke}, ${way}`;
}

/**
 * The control: an object and a view for each lease, and no memory behind them.
 * What it costs, the collector costs everybody who hands out views.
 */
export const BARE: Rival = simple("bare objects", () => {
  const { buffer } = new Uint8Array(65_536);
  return {
    acquire: (byteLength) => ({ bytes: new Uint8Array(buffer, 0, byteLength), owner: buffer, ptr: 0, byteLength }),
    bytesOf: (held) => held.bytes,
    release: () => {},
  };
});

export const RIVALS: readonly Rival[] = [...OUTSIDERS, ...LEASES, ...POOLED_LEASES, BARE];

export function rivalNamed(name: string): Rival {
  const rival = RIVALS.find((each) => each.name === name);
  if (rival === undefined) throw new Error(`no rival is called "${name}"`);
  return rival;
}

function simple<Held>(name: string, factory: () => Allocator<Held>): Rival {
  return { name, open: async () => ownCopy(factory)() };
}

/** The ten lines that everybody writes, wiping on the way back. */
function lengthPool(): Allocator<Uint8Array> {
  const free: Uint8Array[] = [];
  let made = 0;
  return {
    acquire: (byteLength) => {
      const bytes = free.pop();
      if (bytes !== undefined) return bytes;
      made += byteLength;
      return new Uint8Array(byteLength);
    },
    bytesOf: (bytes) => bytes,
    release: (bytes) => {
      bytes.fill(0);
      free.push(bytes);
    },
    footprint: () => ({ peakReservedBytes: made, overflowed: 0 }),
  };
}

/** The same for many lengths: a list for each power of two, and buffers as long as that. */
function classPool(): Allocator<Uint8Array> {
  const free: Uint8Array[][] = Array.from({ length: 33 }, () => []);
  let made = 0;
  return {
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
}

/** `callocAs`, which its documentation prefers "for safety". */
function thingMalloc(pool: MemPool): Allocator<Uint8Array> {
  return {
    acquire: (byteLength) => {
      const bytes = pool.callocAs("u8", byteLength);
      if (bytes === undefined) throw new Error(`@thi.ng/malloc: no room for ${byteLength} bytes`);
      return bytes as Uint8Array;
    },
    bytesOf: (bytes) => bytes,
    release: (bytes) => {
      pool.free(bytes);
    },
  };
}

/** With the default options. It cannot grow, so it has room for twice what is held, in whole pages. */
function thingPool({ byteLength, alive, mixed = false }: Load): MemPool {
  const pages = Math.ceil((2 * alive * (byteLength + 16)) / PAGE_BYTES) + 1;
  return new MemPool({ size: mixed ? DEFAULT_CAP : pages * PAGE_BYTES });
}

/** Hands out what was given back as it is, so it is wiped on the way. */
function sharedPool(pool: typeof typedArrayPool): Allocator<Uint8Array> {
  return {
    acquire: (byteLength) => pool.mallocUint8(byteLength),
    bytesOf: (bytes) => bytes,
    release: (bytes) => {
      bytes.fill(0);
      pool.freeUint8(bytes);
    },
  };
}

type Arena = InstanceType<Library["Arena"]>;
type Lease = ReturnType<Arena["acquire"]>;

function arenaRival(revoke: RevokeMode, way: "acquire" | "pool"): Rival {
  const name = leaseRival(revoke, way);
  const factory = way === "pool" ? throughPool : throughAcquire;
  return {
    name,
    open: async (load) => {
      const { Arena } = load.isAlone ? await import("cleanslab") : await loadLibrary(name);
      return ownCopy(factory)(new Arena({ revoke, trace: "off", maxBytes: capFor(load) }), load.byteLength);
    },
  };
}

/**
 * The default cap where that is ample, and for lengths that differ; else room
 * for leases to be released in any order, and for a memory of its own for each,
 * which `"on-release"` needs.
 */
function capFor({ byteLength, alive, mixed = false }: Load): number {
  if (mixed) return DEFAULT_CAP;
  const aMemoryEach = alive * Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES;
  return Math.max(DEFAULT_CAP, 16 * alive * byteLength, 2 * aMemoryEach);
}

function throughAcquire(arena: Arena): Allocator<Lease> {
  return {
    acquire: (byteLength) => arena.acquire(byteLength),
    bytesOf: (lease) => lease.bytes,
    release: (lease) => {
      lease.release();
    },
    close: () => arena[Symbol.dispose](),
    footprint: () => arena.stats(),
  };
}

function throughPool(arena: Arena, byteLength: number): Allocator<Lease> {
  const pool = arena.pool(byteLength);
  return {
    acquire: () => pool.acquire(),
    bytesOf: (lease) => lease.bytes,
    release: (lease) => {
      lease.release();
    },
    close: () => arena[Symbol.dispose](),
    footprint: () => arena.stats(),
  };
}
