/** The book's two builds opened for tests, with blocks as pairs instead of words of the exchange. */

import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import { expect } from "vitest";
import type { BookExports } from "../src/memory/abi.ts";

export type { BookExports };

export const PAGE_BYTES = 65536;
export const SLAB_COUNT = 64;
export const EXCHANGE_CAPACITY = 128;

/** Mirrors assembly/status.ts. */
export const Status = {
  OK: 0,
  NO_ROOM: 0,
  BAD_ADDRESS: -1,
  NOT_LIVE: -2,
  BAD_SEGMENT: -3,
  BUSY: -4,
  BAD_CLASS: -5,
  BAD_LAYOUT: -6,
  NO_BOOK_MEMORY: -7,
  BAD_COUNT: -8,
  WRONG_MODE: -9,
} as const;

/** `hasBlocks` of `init`. */
export const RUNS = 0;
export const SINGLE_BLOCKS = 1;

/** What only the debug build exports: addresses, and byte offsets of fields. */
export interface DebugBook extends BookExports {
  cutOff(): void;
  classHeadPtr(sizeClass: number): number;
  roomBytePtr(segment: number): number;
  segmentPtr(segment: number): number;
  spanPtr(segment: number, slab: number): number;
  linkPtr(segment: number, ptr: number): number;
  readonly FREE_MAP: WebAssembly.Global;
  readonly HEAD_MAP: WebAssembly.Global;
  readonly LIVE_BLOCKS: WebAssembly.Global;
  readonly IN_USE: WebAssembly.Global;
  readonly CLASSES: WebAssembly.Global;
  readonly PREV: WebAssembly.Global;
  readonly NEXT: WebAssembly.Global;
  readonly FREE_HEAD: WebAssembly.Global;
  readonly LIVE: WebAssembly.Global;
  readonly CAPACITY: WebAssembly.Global;
}

export type Pair = [segment: number, ptr: number];
export type BookBuild = "release" | "debug";
export const BOOK_BUILDS: readonly BookBuild[] = ["release", "debug"];

export const releaseModule = readFileSync(new URL("../build/release.wasm", import.meta.url));
export const debugModule = readFileSync(new URL("../build/debug.wasm", import.meta.url));
const release = new WebAssembly.Module(releaseModule);

/** A book in a memory of its own, of one page at first; `slabShift` `null` leaves out `init`. */
export function openBook(build: BookBuild, mode: 0 | 1, slabShift: number | null = 12, maximum = 16384) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum });
  const instance =
    build === "release"
      ? new WebAssembly.Instance(release, { env: { memory } })
      : instantiateSync(debugModule, { env: { memory } });
  const exports = instance.exports as unknown as BookExports;
  if (slabShift !== null) expect(exports.init(slabShift, mode)).toBe(Status.OK);

  const exchange = () => new Uint32Array(memory.buffer, exports.exchangePtr(), 2 * EXCHANGE_CAPACITY);

  function write(blocks: readonly Pair[]): void {
    exchange().set(blocks.flat());
  }

  /** Blocks of `takeBlocks`. */
  function take(sizeClass: number, count: number): Pair[] {
    const taken = exports.takeBlocks(sizeClass, count);
    if (taken < 0 || taken > count) expect.fail(`takeBlocks answered ${taken}`);
    const words = exchange();
    return Array.from({ length: taken }, (_, each) => [words[2 * each] as number, words[2 * each + 1] as number]);
  }

  function give(blocks: readonly Pair[]): void {
    write(blocks);
    expect(exports.giveBlocks(blocks.length)).toBe(Status.OK);
  }

  function bytesOutsideExchange(): Uint8Array {
    const bytes = new Uint8Array(memory.buffer).slice();
    bytes.fill(0, exports.exchangePtr(), exports.exchangePtr() + 8 * EXCHANGE_CAPACITY);
    return bytes;
  }

  return { exports, memory, exchange, write, take, give, bytesOutsideExchange };
}

/** Blocks in a span of the class. */
export function blocksThatFit(book: BookExports, sizeClass: number, slabShift: number): number {
  return Math.floor((book.spanSlabs(sizeClass) << slabShift) / book.blockBytes(sizeClass));
}
