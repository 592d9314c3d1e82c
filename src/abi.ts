/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The boundary to the module: its exports typed, its numbers mirrored, its
 * memories made. The only file that touches `WebAssembly`.
 *
 * The numbers mirror assembly/layout.ts, size-class.ts and status.ts;
 * test/unit/abi.test.ts holds the two sides together.
 */

import { wasmUnavailable } from "./errors.js";
import { MODULE_BASE64 } from "./module.generated.js";

/** The constructor and the wipe as they were at import: nobody replaces them under the arena later. */
export const Bytes = Uint8Array;
export const wipeBytes: (bytes: Uint8Array, value: 0, start?: number, end?: number) => void =
  Function.prototype.call.bind(Bytes.prototype.fill);

export const PAGE_BYTES = 65536;
export const SLAB_COUNT = 64;
export const MIN_SLAB_SHIFT = 12;
export const MAX_SLAB_SHIFT = 18;

/** What the exports answer; see assembly/status.ts. */
export const Status = {
  OK: 0,
  NO_ROOM: 0,
  SLABS_RETURNED: 1,
  ROOM_AGAIN: 2,
  BAD_ADDRESS: -1,
  NOT_LIVE: -2,
  CORRUPT: -3,
  BUSY: -4,
  BAD_CLASS: -5,
  BAD_LAYOUT: -6,
} as const;

/** As `written`: the whole block. Read as an unsigned number it is above every length; as it is, the engine need not convert it. */
export const WHOLE_BLOCK = -1;

/** The module's exports; what they do is said in assembly/segment.ts and audit.ts. */
export interface SegmentExports {
  init(base: number, slabShift: number): number;
  acquire(sizeClass: number, zeroed: 0 | 1): number;
  release(ptr: number, written: number, toRest: 0 | 1): number;
  releaseAndReset(ptr: number, written: number): number;
  reset(): number;
  wipe(ptr: number, byteLength: number): void;
  firstDirty(ptr: number, byteLength: number): number;
  audit(): number;
  findDirty(): number;
  liveBlocks(): number;
  freeSlabs(): number;
  spanAt(slab: number): number;
}

/**
 * A linear memory as callers see it: what another WebAssembly module imports.
 * Structurally a `WebAssembly.Memory`, without asking for the DOM's types.
 */
export interface LinearMemory {
  /** Replaced, and the old one detached, whenever the memory is revoked. */
  readonly buffer: ArrayBuffer;
}

/** A memory of the library's own. */
export interface Memory extends LinearMemory {
  grow(deltaPages: number): number;
}

/** Bytes of bookkeeping before slab 0. */
export function headerBytes(slabShift: number): number {
  return roundUpToPages(4096 + (2 << slabShift));
}

/** Bytes of linear memory that one segment takes: its slabs and its bookkeeping. */
export function segmentMemoryBytes(slabShift: number): number {
  return headerBytes(slabShift) + SLAB_COUNT * 2 ** slabShift;
}

export function roundUpToPages(byteLength: number): number {
  return Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES;
}

/** The last class spaced by doublings: four slabs. */
export function lastGeometricClass(slabShift: number): number {
  return (slabShift - 4) << 2;
}

export function classCount(slabShift: number): number {
  return lastGeometricClass(slabShift) + SLAB_COUNT - 4 + 1;
}

/** From four slabs on, a class for each number of them. */
function classOfSlabs(slabs: number, slabShift: number): number {
  return lastGeometricClass(slabShift) + slabs - 4;
}

/** The smallest size class whose blocks hold `byteLength` bytes; not below `classCount` if a segment cannot. */
export function sizeClassOf(byteLength: number, slabShift: number): number {
  if (byteLength <= 64) return 0;
  const last = byteLength - 1;
  if (last >>> (slabShift + 2) !== 0) return classOfSlabs((last >>> slabShift) + 1, slabShift);
  // Four classes to each doubling, by the two bits behind the first; the first is 2 ** 6 or more, and adds 4.
  const zeros = Math.clz32(last);
  return 97 - (zeros << 2) + (last >>> (29 - zeros));
}

export function blockBytesOf(sizeClass: number, slabShift: number): number {
  const last = lastGeometricClass(slabShift);
  if (sizeClass > last) return (sizeClass - last + 4) << slabShift;
  const step = sizeClass + 3;
  return (5 + (step & 3)) << (3 + (step >> 2));
}

let compiled: WebAssembly.Module | undefined;

/** @throws ArenaError `ERR_WASM_UNAVAILABLE` where WebAssembly is missing or forbidden. */
function compile(): WebAssembly.Module {
  if (compiled === undefined) {
    try {
      compiled = new WebAssembly.Module(Bytes.from(atob(MODULE_BASE64), (char) => char.charCodeAt(0)));
    } catch (cause) {
      throw wasmUnavailable(cause);
    }
  }
  return compiled;
}

/** Throws if the module cannot be used here. */
export function requireWebAssembly(): void {
  compile();
}

/**
 * How many memories are not asked for after the engine has refused one. A refusal
 * takes V8 three full collections; browsers give a page a hundred memories (V8) to
 * a thousand (SpiderMonkey), far below most caps.
 */
const PATIENCE = 1024;
let patience = 0;
/** The shortest length refused, in bytes: what is shorter may still be had. */
let refusedBytes = 0;

/** A memory of exactly `byteLength` bytes, all zero, or `null` if the engine has no more to give. */
export function createMemory(byteLength: number): Memory | null {
  if (patience > 0 && byteLength >= refusedBytes) {
    patience--;
    return null;
  }
  const pages = byteLength / PAGE_BYTES;
  try {
    // The maximum keeps anyone who holds the memory from growing it past the cap.
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (error) {
    // SpiderMonkey throws the bare string.
    if (!(error instanceof RangeError) && error !== "out of memory") throw wasmUnavailable(error);
    refusedBytes = patience > 0 ? Math.min(refusedBytes, byteLength) : byteLength;
    patience = PATIENCE;
    return null;
  }
}

/** A memory was let go of: the engine may have one to give again. */
export function expectMemory(): void {
  patience = 0;
}

/**
 * Detaches every view ever made of `memory`; its bytes stay. False if it cannot
 * be done any more, because someone who held the memory made its buffer resizable:
 * then the memory must not be used for anyone else.
 */
export function revoke(memory: Memory): boolean {
  const { buffer } = memory;
  memory.grow(0);
  return buffer.byteLength === 0;
}

/** An instance of the module, laid out over `memory` for slabs of `1 << slabShift` bytes. */
export function createSegmentExports(memory: Memory, slabShift: number): SegmentExports {
  const module = compile();
  let exports: SegmentExports;
  try {
    exports = new WebAssembly.Instance(module, { env: { memory: memory as WebAssembly.Memory } })
      .exports as unknown as SegmentExports;
  } catch (cause) {
    throw wasmUnavailable(cause);
  }
  const status = exports.init(0, slabShift);
  if (status !== Status.OK) throw new Error(`cleanslab: the module refused slabShift ${slabShift} (${status})`);
  return exports;
}
