/**
 * The boundary to WebAssembly: the book's exports typed, its tables read, memories
 * made, grown and revoked. The only file that touches `WebAssembly`, but for
 * src/shared/abi.ts.
 *
 * Status codes mirror assembly/status.ts; test/unit/memory/abi.test.ts holds the
 * two sides together. Size classes are not mirrored: their tables are read from
 * the module.
 */

import { Bytes, bufferByteLength, getterOf, uncurry } from "../builtins.js";
import { bookRefused, invalidArgument, wasmUnavailable } from "../errors.js";
import type { LinearMemory } from "../lease/owner.js";
import { MODULE_BASE64 } from "../module.generated.js";

export const PAGE_BYTES = 65536;
export const SLAB_COUNT = 64;

/** The exports answer these; see assembly/status.ts. An answer of 0 is "done" of a status, "none" of a count. */
export const Status = {
  OK: 0,
  NO_ROOM: 0,
  BUSY: -4,
} as const;

/** The book's exports; what they do is said in assembly/index.ts. */
export interface BookExports {
  init(slabShift: number, hasBlocks: 0 | 1): number;
  classCount(): number;
  blockBytes(sizeClass: number): number;
  spanSlabs(sizeClass: number): number;
  sizeClassOf(byteLength: number): number;
  addSegment(base: number): number;
  dropSegment(segment: number): number;
  openRun(segment: number, sizeClass: number): number;
  recycle(segment: number): number;
  freeSlabs(segment: number): number;
  takeBlocks(sizeClass: number, count: number): number;
  giveBlocks(count: number): number;
  exchangePtr(): number;
  liveBlocks(segment: number): number;
  classAt(segment: number, ptr: number): number;
  spanAt(segment: number, slab: number): number;
  audit(): number;
  isBusy(): number;
}

/** What `audit` of the book answers, in words. */
export function describeAudit(found: number): string {
  return `the book: invariant B${found >>> 24} is broken in segment ${(found >>> 8) & 0xffff} at slab ${found & 0xff}`;
}

/** Single blocks that cross the boundary in one call, at most. */
export const EXCHANGE_CAPACITY = 128;

/** A memory of the library's own. */
export interface Memory extends LinearMemory {
  grow(deltaPages: number): number;
}

/** What this engine offers; absent where WebAssembly is missing, as under `node --jitless`. */
const wasm = (globalThis as { WebAssembly?: typeof WebAssembly }).WebAssembly;

type Method = (this: unknown, ...args: unknown[]) => unknown;
const memoryPrototype = wasm?.Memory.prototype as (Memory & { toFixedLengthBuffer?: Method }) | undefined;
const toFixedLength = memoryPrototype?.toFixedLengthBuffer;
const callGrow: (memory: Memory, deltaPages: number) => number = uncurry(memoryPrototype?.grow);
const callToFixedLength: (memory: Memory) => ArrayBuffer = uncurry(toFixedLength);
const tagOf: (value: object) => string = uncurry(Object.prototype.toString);

/** The memory's buffer now. Other code may have revoked the one we had. */
export const bufferOf: (memory: Memory) => ArrayBuffer = uncurry(
  memoryPrototype && getterOf(memoryPrototype, "buffer"),
);

let compiled: WebAssembly.Module | undefined;

/**
 * The module to use: the given one, or the embedded one, compiled once.
 *
 * @throws ArenaError `ERR_WASM_UNAVAILABLE` where WebAssembly is missing or
 *   compiling forbidden; `ERR_INVALID_ARGUMENT` if `module` is no module.
 */
export function resolveModule(module: object | undefined): object {
  if (wasm === undefined) throw wasmUnavailable(new ReferenceError("WebAssembly is not defined"));
  if (module !== undefined) {
    if (isModule(module)) return module;
    throw invalidArgument("module", module, "a WebAssembly.Module compiled from cleanslab/arena.wasm");
  }
  try {
    compiled ??= new wasm.Module(Bytes.from(atob(MODULE_BASE64), (char) => char.charCodeAt(0)));
    return compiled;
  } catch (cause) {
    throw wasmUnavailable(cause);
  }
}

function isModule(module: object): boolean {
  try {
    return tagOf(module) === "[object WebAssembly.Module]";
  } catch {
    return false;
  }
}

/** The book of one arena: an instance of the module over a private memory. */
export class Book {
  readonly exports: BookExports;
  readonly module: object;
  readonly #memory: Memory;
  readonly #exchangePtr: number;
  #exchange: Uint32Array;

  /**
   * @param memory one page, all zero.
   * @throws ArenaError `ERR_INVALID_ARGUMENT` if `module` is another module.
   */
  constructor(memory: Memory, module: object, slabShift: number, hasBlocks: boolean) {
    const { Instance } = wasm as typeof WebAssembly;
    this.module = module;
    this.#memory = memory;
    try {
      const instance = new Instance(module as WebAssembly.Module, {
        env: { memory: this.#memory as unknown as WebAssembly.Memory },
      });
      this.exports = instance.exports as unknown as BookExports;
      const status = this.exports.init(slabShift, hasBlocks ? 1 : 0);
      this.#exchangePtr = this.exports.exchangePtr();
      if (status !== Status.OK) throw new Error(`it refused slabs of ${2 ** slabShift} bytes: ${status}`);
    } catch (cause) {
      throw Object.assign(invalidArgument("module", module, "one compiled from this version's cleanslab/arena.wasm"), {
        cause,
      });
    }
    this.#exchange = this.#view();
  }

  /** Bytes of the book itself. */
  get byteLength(): number {
    return bufferByteLength(bufferOf(this.#memory));
  }

  /** Pairs of segment number and pointer: written by `takeBlocks`, read by `giveBlocks`. */
  get exchange(): Uint32Array {
    // The book's own growth detaches the view.
    if (this.#exchange.length === 0) this.#exchange = this.#view();
    return this.#exchange;
  }

  /** The arena let go of it. */
  drop(): void {
    dropMemory(this.#memory);
  }

  #view(): Uint32Array {
    return new Uint32Array(bufferOf(this.#memory), this.#exchangePtr, 2 * EXCHANGE_CAPACITY);
  }
}

/** A book in place of one that an arena had; `null` if the engine has no memory for it. */
export function openBook(module: object, slabShift: number, hasBlocks: boolean): Book | null {
  const memory = makeMemory(1, 65536, processLimit.most);
  return memory === null ? null : new Book(memory, module, slabShift, hasBlocks);
}

/**
 * The book of a new arena. Whatever was refused before, the engine is asked: it may
 * have collected what other arenas let go of.
 *
 * @throws ArenaError `ERR_ARENA_EXHAUSTED` if the engine has no memory for it; as the constructor.
 */
export function requireBook(module: object, slabShift: number, hasBlocks: boolean): Book {
  refusals = 0;
  const book = openBook(module, slabShift, hasBlocks);
  if (book === null) throw bookRefused();
  return book;
}

/** The size classes of segments with slabs of one length, as the bindings use them. */
export interface SizeClasses {
  /** By class: bytes in a block. */
  readonly blockBytes: readonly number[];
  /** By class: slabs in a span. */
  readonly spanSlabs: readonly number[];
  /** By `(byteLength + 15) >>> 4`: the class that serves a length. */
  readonly byGrain: Uint8Array;
}

/** By module and slab length: reading them takes a third of the time that an arena takes to make. */
const known = new WeakMap<object, SizeClasses[]>();

/** @param longest length in `byGrain`, in bytes: one for each slab length. */
export function sizeClassesOf({ exports, module }: Book, slabShift: number, longest: number): SizeClasses {
  const byShift = known.get(module) ?? [];
  known.set(module, byShift);
  byShift[slabShift] ??= readSizeClasses(exports, longest);
  return byShift[slabShift];
}

function readSizeClasses(exports: BookExports, longest: number): SizeClasses {
  const length = exports.classCount();
  const blockBytes = Array.from({ length }, (_, sizeClass) => exports.blockBytes(sizeClass));
  const spanSlabs = Array.from({ length }, (_, sizeClass) => exports.spanSlabs(sizeClass));
  const byGrain = new Uint8Array((longest >> 4) + 1);
  for (let grain = 0, sizeClass = 0; grain < byGrain.length; grain++) {
    while ((blockBytes[sizeClass] as number) < grain << 4) sizeClass++;
    byGrain[grain] = sizeClass;
  }
  return { blockBytes, spanSlabs, byGrain };
}

/**
 * Memories of this process. Chromium gives a process about 123, and takes 14 ms for
 * each refusal; servers have thousands. A limit is a constant that the first refusal lowers.
 */
const processLimit = {
  most: isServer() ? Number.POSITIVE_INFINITY : 120,
  /** Made, and neither collected nor dropped: the engine collects those when it needs to. */
  held: 0,
};

/** Whether memories are few here. */
export function memoriesAreFew(): boolean {
  return processLimit.most !== Number.POSITIVE_INFINITY;
}

function isServer(): boolean {
  const { process, Deno, window } = globalThis as {
    process?: { versions?: { node?: string } };
    Deno?: unknown;
    window?: unknown;
  };
  return Deno !== undefined || (process?.versions?.node !== undefined && window === undefined);
}

interface MemoryCount {
  isDropped: boolean;
}
const counts = new WeakMap<Memory, MemoryCount>();
const collected = new FinalizationRegistry<MemoryCount>(({ isDropped }) => {
  if (!isDropped) processLimit.held--;
  refusals = 0;
});

/** Memories that only books may have: with full arenas around, another can still be made. */
const KEPT_FOR_BOOKS = 12;
/** A refusal lowers the limit to this at least: it may have had a passing reason. */
const LEAST_LIMIT = 60;

/** After a refusal, memories are not asked for again until one was let go of, or this many times. */
const PATIENCE = 1024;
/** A refusal of a longer memory than this, in pages, says nothing of how many short ones there may be. */
const SHORT_PAGES = 256;
let refusals = 0;
/** The shortest length refused, in pages: a shorter one may still be had. */
let refusedPages = 0;

/** A memory of `pages` pages, all zero, that may grow to `maxPages`; `null` if the engine has none to give. */
export function createMemory(pages: number, maxPages: number): Memory | null {
  return makeMemory(pages, maxPages, processLimit.most - KEPT_FOR_BOOKS);
}

/** @param limit how many memories there may be with it. */
function makeMemory(pages: number, maxPages: number, limit: number): Memory | null {
  if (refusals > 0 && pages >= refusedPages) {
    refusals--;
    return null;
  }
  if (processLimit.held >= limit) return null;
  try {
    // The maximum keeps code that holds the memory from growing it past the cap.
    const memory = new (wasm as typeof WebAssembly).Memory({ initial: pages, maximum: maxPages });
    if (memoriesAreFew()) count(memory);
    return memory;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    refusedPages = refusals > 0 ? Math.min(refusedPages, pages) : pages;
    refusals = PATIENCE;
    if (memoriesAreFew() && pages <= SHORT_PAGES) {
      processLimit.most = Math.max(LEAST_LIMIT, processLimit.held);
    }
    return null;
  }
}

/** SpiderMonkey throws the bare string "out of memory". A stack overflow is a RangeError too, and no refusal. */
function isRefusal(error: unknown): boolean {
  // No regular expression: compiling one near the end of the stack can end the process.
  return String((error as Error | undefined)?.message ?? error).includes("emory");
}

function count(memory: Memory): void {
  const each = { isDropped: false };
  processLimit.held++;
  counts.set(memory, each);
  collected.register(memory, each);
}

/** The arena let go of `memory`: the engine may have one to give again. */
export function dropMemory(memory: Memory): void {
  refusals = 0;
  const each = counts.get(memory);
  if (each === undefined || each.isDropped) return;
  each.isDropped = true;
  processLimit.held--;
}

/** Adds zero pages and detaches every view. False if the engine refuses; nothing has changed then. */
export function growMemory(memory: Memory, deltaPages: number): boolean {
  try {
    return callGrow(memory, deltaPages) >= 0;
  } catch {
    return false;
  }
}

/**
 * Detaches every view ever made of `memory`; its bytes stay. False if that is no
 * longer possible: the memory must not be used for anyone else then. On engines with
 * `toResizableBuffer`, code that holds the memory can make it so; we undo that once.
 */
export function revoke(memory: Memory): boolean {
  const buffer = bufferOf(memory);
  callGrow(memory, 0);
  if (bufferByteLength(buffer) === 0) return true;
  if (toFixedLength === undefined) return false;
  try {
    callToFixedLength(memory);
  } catch {
    return false;
  }
  const fixed = bufferOf(memory);
  callGrow(memory, 0);
  return bufferByteLength(buffer) === 0 && bufferByteLength(fixed) === 0;
}
