/**
 * The boundary to the shared modules: the handle, the memories, the exports. The only
 * file of cleanslab/shared that touches `WebAssembly`.
 *
 * The numbers mirror assembly/shared/layout.ts; test/shared/abi.test.ts holds the two
 * sides together.
 */

import { Bytes } from "../builtins.js";
import { requireKnown, requireOptions } from "../checks.js";
import { bookRefused, invalidArgument, sharedMemoryUnavailable, wasmUnavailable } from "../errors.js";
import type { LinearMemory } from "../lease/owner.js";
import { BOOK_BASE64, WIPE_BASE64 } from "./modules.generated.js";

export const SLAB_BYTES = 65536;
export const BLOCKS_A_SLAB = 256;
export const THREAD_COUNT = 1024;

// Places in the book, in words of 4 bytes.
export const BELL = 16;
export const DEATHS = 17;
export const WANTED = 32;
const THREADS = 64;
export const SLAB_WORDS = 4160;
/** Words of a record, and of an entry of the thread table. */
export const ENTRY_WORDS = 4;
export const BYTE_LENGTH = 2;

// Kinds of slabs and of blocks.
export const LONG = 4;
export const OWNED = 1 << 28;
export const IN_TRANSIT = 2 << 28;
export const KEPT = 3 << 28;

export const Status = { OK: 0, NO_ROOM: -1, NOT_YOURS: -2, USED_TOKEN: -3, NO_TOKEN: -4 } as const;

/** Blocks of the longest class, in bytes. A longer lease is a row of slabs. */
export const LONGEST_SHORT = 32768;
/** Bytes of a block, by class: four classes to each doubling. */
export const BLOCK_BYTES: readonly number[] = Array.from(
  { length: 29 },
  (_, each) => (4 + (each & 3)) << (6 + (each >> 2)),
);

/** By `(byteLength + 63) >>> 6`: the class that serves a length up to `LONGEST_SHORT`. */
export const CLASS_BY_GRAIN = Uint8Array.from({ length: (LONGEST_SHORT >> 6) + 1 }, (_, grain) =>
  BLOCK_BYTES.findIndex((blockBytes) => blockBytes >= grain << 6),
);

/** The exports; what they do is said in assembly/shared. */
export interface SharedExports {
  create(maxSlabs: number): void;
  attach(engine: number, parent: number): number;
  leave(slot: number): void;
  serial(): number;
  slabs(): number;
  setSlabs(count: number): void;
  take(sizeClass: number, from: number): number;
  takeLong(slabs: number): number;
  give(id: number): number;
  closeOne(): number;
  handOver(id: number, byteLength: number): number;
  adopt(id: number, generation: number): number;
  threadEnded(engine: number): number;
  forgetDead(): number;
  count(kind: number, serial: number): number;
  audit(): number;
}

/** Goes up with each change of the book's layout or of a channel's. */
const LAYOUT = 1;

interface SharedMemory extends LinearMemory<SharedArrayBuffer> {
  grow(deltaPages: number): number;
}

/**
 * What another thread needs to attach to the arena: `postMessage` it, or pass it as
 * `workerData`. Its contents are the library's own.
 */
export interface SharedArenaHandle {
  /** Which layout of the shared memory. */
  readonly cleanslab: number;
  /** Tells arenas apart. */
  readonly id: number;
  readonly maxSlabs: number;
  /** Compiled once, so that all threads run the same code. */
  readonly bookModule: object;
  readonly wipeModule: object;
  readonly book: LinearMemory<SharedArrayBuffer>;
  readonly data: LinearMemory<SharedArrayBuffer>;
}

let compiled: { bookModule: WebAssembly.Module; wipeModule: WebAssembly.Module } | undefined;

function compile(): NonNullable<typeof compiled> {
  const module = (base64: string) => new WebAssembly.Module(Bytes.from(atob(base64), (char) => char.charCodeAt(0)));
  try {
    compiled ??= { bookModule: module(BOOK_BASE64), wipeModule: module(WIPE_BASE64) };
    return compiled;
  } catch (cause) {
    throw wasmUnavailable(cause);
  }
}

function sharedMemory(initial: number, maximum: number): SharedMemory {
  return new WebAssembly.Memory({ initial, maximum, shared: true }) as unknown as SharedMemory;
}

function requireSharedMemory(): void {
  if (typeof (globalThis as { SharedArrayBuffer?: unknown }).SharedArrayBuffer !== "function") {
    throw sharedMemoryUnavailable();
  }
}

/** The memories of a new arena. */
export function createHandle(maxBytes: number): SharedArenaHandle {
  requireSharedMemory();
  const modules = compile();
  const maxSlabs = Math.floor(maxBytes / SLAB_BYTES);
  const bookBytes = 4 * SLAB_WORDS + maxSlabs * (8 + 16 * BLOCKS_A_SLAB);
  const bookPages = Math.ceil(bookBytes / SLAB_BYTES);
  try {
    const book = sharedMemory(bookPages, bookPages);
    const data = sharedMemory(Math.min(16, maxSlabs), maxSlabs);
    const id = Math.floor(Math.random() * 2 ** 31);
    return { cleanslab: LAYOUT, id, maxSlabs, ...modules, book, data };
  } catch (cause) {
    throw Object.assign(bookRefused(), { cause });
  }
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `handle` is none of this version. */
export function checkHandle(handle: SharedArenaHandle): SharedArenaHandle {
  requireSharedMemory();
  const { cleanslab, book, data } = Object(handle) as Partial<SharedArenaHandle>;
  if (typeof cleanslab === "number" && cleanslab !== LAYOUT) {
    const wanted = `one with ${LAYOUT}: load the same version of cleanslab in all threads`;
    throw invalidArgument("the layout of the handle", cleanslab, wanted);
  }
  if (cleanslab !== LAYOUT || !isShared(book) || !isShared(data)) {
    throw invalidArgument("handle", handle, "the handle of a SharedArena");
  }
  return handle;
}

function isShared(memory: LinearMemory<SharedArrayBuffer> | undefined): boolean {
  return memory?.buffer instanceof SharedArrayBuffer;
}

/** One thread's instances over the memories of an arena. */
export class SharedBook {
  readonly exports: SharedExports;
  readonly words: Int32Array;
  /** The index in `words` of the first block's record. */
  readonly records: number;
  readonly data: LinearMemory<SharedArrayBuffer>;
  readonly wipe: (ptr: number, byteLength: number) => void;
  readonly id: number;
  readonly maxSlabs: number;
  /** The index in `words` of each entry of the thread table. */
  readonly entries: readonly number[] = Array.from({ length: THREAD_COUNT }, (_, slot) => THREADS + ENTRY_WORDS * slot);

  /** @throws ArenaError `ERR_INVALID_ARGUMENT` if the handle's parts do not fit together. */
  constructor(handle: SharedArenaHandle, isNew: boolean) {
    this.id = handle.id;
    this.maxSlabs = handle.maxSlabs;
    this.data = handle.data;
    try {
      this.exports = instantiate(handle.bookModule, handle.book) as SharedExports;
      this.wipe = (instantiate(handle.wipeModule, handle.data) as { wipe: SharedBook["wipe"] }).wipe;
      if (isNew) this.exports.create(handle.maxSlabs);
      this.exports.setSlabs(this.data.buffer.byteLength / SLAB_BYTES);
      this.words = new Int32Array(handle.book.buffer);
    } catch (cause) {
      throw Object.assign(invalidArgument("handle", handle, "the handle of a SharedArena, as it was cloned"), {
        cause,
      });
    }
    this.records = SLAB_WORDS + 2 * this.maxSlabs;
  }

  get bookBytes(): number {
    return 4 * this.words.length;
  }

  /** Grows the data memory by up to `slabs`. False if it is as long as it may be, or the engine refuses. */
  grow(slabs: number): boolean {
    const have = this.data.buffer.byteLength / SLAB_BYTES;
    const more = Math.min(slabs, this.maxSlabs - have);
    if (more <= 0) return false;
    try {
      return (this.data as SharedMemory).grow(more) >= 0;
    } catch {
      return false;
    }
  }

  recordOf(id: number): number {
    return this.records + ENTRY_WORDS * id;
  }
}

function instantiate(module: object, memory: object): unknown {
  const imports = { env: { memory: memory as WebAssembly.Memory } };
  return new WebAssembly.Instance(module as WebAssembly.Module, imports).exports;
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `maxBytes` is out of range. */
export function checkMaxBytes(options: { maxBytes?: number | undefined }): number {
  requireOptions(options);
  requireKnown(options, ["maxBytes"]);
  const maxBytes = options.maxBytes ?? 64 * 1024 * 1024;
  if (Number.isSafeInteger(maxBytes) && maxBytes >= SLAB_BYTES && maxBytes <= 2 ** 30) return maxBytes;
  throw invalidArgument("maxBytes", maxBytes, "a whole number of bytes from 65536 (64 KiB) to 1073741824 (1 GiB)");
}
