/** Both sides of the boundary agree, and memories are made, refused and revoked as the engine allows. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  bufferOf,
  createMemory,
  dropMemory,
  EXCHANGE_CAPACITY,
  growMemory,
  type Memory,
  PAGE_BYTES,
  requireBook,
  resolveModule,
  revoke,
  SLAB_COUNT,
  Status,
  sizeClassesOf,
} from "../../../src/memory/abi.ts";
import { expectArenaError, expectThrow, thrownBy } from "../../helpers.ts";
import { arenaModule, constantsOf, present } from "../helpers.ts";

const layout = constantsOf("layout");
const status = constantsOf("status");
const SHIFTS = [12, 13, 14, 15, 16, 17, 18];
const isResizable = "toResizableBuffer" in WebAssembly.Memory.prototype;

describe("both sides of the boundary agree", () => {
  test("on the status codes that the bindings know", () => {
    expect(Status).toEqual({ OK: status["OK"], NO_ROOM: status["NO_ROOM"], BUSY: status["BUSY"] });
  });

  test("on the numbers of slabs, of blocks in an exchange, and of bytes in a page", () => {
    expect(SLAB_COUNT).toBe(layout["SLAB_COUNT"]);
    expect(EXCHANGE_CAPACITY).toBe(layout["EXCHANGE_CAPACITY"]);
    expect(PAGE_BYTES).toBe(1 << (layout["PAGE_SHIFT"] ?? 0));
  });

  test("on every export, and on nothing else", () => {
    const { exports } = requireBook(arenaModule, 12, false);
    expect(Object.keys(exports).sort()).toEqual(
      [
        ...["init", "classCount", "blockBytes", "spanSlabs", "sizeClassOf", "addSegment", "dropSegment", "openRun"],
        ...["recycle", "freeSlabs", "takeBlocks", "giveBlocks", "exchangePtr", "liveBlocks", "classAt", "spanAt"],
        ...["audit", "isBusy"],
      ].sort(),
    );
  });

  test("on where the exchange is, past the book's own growth", () => {
    const book = requireBook(arenaModule, 12, true);
    const before = book.exchange;
    const { byteLength } = book;
    while (book.byteLength === byteLength) expect(book.exports.addSegment(0)).toBeGreaterThanOrEqual(0);
    expect(before.length).toBe(0);
    const count = book.exports.takeBlocks(0, 3);
    expect(count).toBe(3);
    expect(book.exchange.length).toBe(2 * EXCHANGE_CAPACITY);
    expect(book.exchange.byteOffset).toBe(book.exports.exchangePtr());
    expect(new Set([1, 3, 5].map((at) => book.exchange[at])).size).toBe(3);
  });

  test.each(SHIFTS)("on the class of every length up to a segment, for slabs of 1 << %i bytes", (slabShift) => {
    const book = requireBook(arenaModule, slabShift, false);
    const classes = sizeClassesOf(book, slabShift);
    const differing: number[] = [];
    // Every length where the bindings look it up in a table; at every border, and beside it, behind that.
    const lengths = new Set<number>();
    for (let byteLength = 0; byteLength <= classes.tableBytes; byteLength++) lengths.add(byteLength);
    for (const blockBytes of classes.blockBytes) for (const more of [-1, 0, 1]) lengths.add(blockBytes + more);
    for (let each = 0; each <= 64; each++) lengths.add((SLAB_COUNT << slabShift) - each);
    for (const byteLength of lengths) {
      if (classes.classOf(byteLength) !== book.exports.sizeClassOf(byteLength)) differing.push(byteLength);
    }
    expect(differing).toEqual([]);
    expect(classes.classOf(2 ** 32 - 1)).toBe(classes.count);
    expect(classes.count).toBe(book.exports.classCount());
  });

  test.each(SHIFTS)("on blocks and spans, for slabs of 1 << %i bytes", (slabShift) => {
    const book = requireBook(arenaModule, slabShift, false);
    const { count, blockBytes, spanSlabs } = sizeClassesOf(book, slabShift);
    for (let sizeClass = 0; sizeClass < count; sizeClass++) {
      expect(blockBytes[sizeClass]).toBe(book.exports.blockBytes(sizeClass));
      expect(spanSlabs[sizeClass]).toBe(book.exports.spanSlabs(sizeClass));
      // A span holds a block at least, and every block is aligned for any view.
      expect((spanSlabs[sizeClass] as number) << slabShift).toBeGreaterThanOrEqual(blockBytes[sizeClass] as number);
      expect((blockBytes[sizeClass] as number) % 16).toBe(0);
    }
    expect(blockBytes).toEqual([...blockBytes].sort((a, b) => a - b));
  });
});

describe("the module", () => {
  test("is compiled once, and taken from the options where it is given", () => {
    expect(resolveModule(undefined)).toBe(resolveModule(undefined));
    expect(resolveModule(arenaModule)).toBe(arenaModule);
  });

  test("is refused if it is none, or another one", () => {
    expectThrow(() => resolveModule({}), "ERR_INVALID_ARGUMENT", "module", "cleanslab/arena.wasm");
    const empty = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    expectThrow(() => requireBook(empty, 12, false), "ERR_INVALID_ARGUMENT", "this version's cleanslab/arena.wasm");
  });
});

describe("a memory", () => {
  test("is zero, has the length asked for, and grows to its maximum and no further", () => {
    const memory = present(createMemory(1, 2));
    expect(new Uint8Array(memory.buffer)).toEqual(new Uint8Array(PAGE_BYTES));
    expect(growMemory(memory, 1)).toBe(true);
    expect(bufferOf(memory).byteLength).toBe(2 * PAGE_BYTES);
    expect(growMemory(memory, 1)).toBe(false);
  });

  test("that is revoked has no view left, and its bytes", () => {
    const memory = present(createMemory(1, 1));
    const view = new Uint8Array(memory.buffer).fill(7);
    const subview = view.subarray(8, 16);
    expect(revoke(memory)).toBe(true);
    expect([view.length, subview.length]).toEqual([0, 0]);
    expect(new Uint8Array(memory.buffer).every((byte) => byte === 7)).toBe(true);
  });

  test("is revoked by the grow of the engine, whatever grow or buffer was put in its place", () => {
    const memory = present(createMemory(1, 1));
    const view = new Uint8Array(memory.buffer);
    const { grow } = WebAssembly.Memory.prototype;
    Reflect.set(memory, "grow", () => 1);
    WebAssembly.Memory.prototype.grow = () => 1;
    try {
      expect(revoke(memory)).toBe(true);
    } finally {
      WebAssembly.Memory.prototype.grow = grow;
    }
    expect(view.length).toBe(0);
  });

  test.skipIf(!isResizable)("that somebody made resizable is made fixed again, and revoked", () => {
    const memory = present(createMemory(1, 1));
    const buffer = (memory as Memory & { toResizableBuffer(): ArrayBuffer }).toResizableBuffer();
    const view = new Uint8Array(buffer);
    const tracking = new Uint8Array(buffer, 16);
    expect(revoke(memory)).toBe(true);
    expect([view.length, tracking.length, buffer.byteLength]).toEqual([0, 0, 0]);
  });

  test.skipIf(!isResizable)("that cannot be made fixed again is not said to be revoked", async () => {
    // An engine with toResizableBuffer and nothing that undoes it.
    vi.resetModules();
    const { toFixedLengthBuffer } = WebAssembly.Memory.prototype as unknown as { toFixedLengthBuffer: () => void };
    Reflect.deleteProperty(WebAssembly.Memory.prototype, "toFixedLengthBuffer");
    try {
      const { revoke: revokeThere } = await import("../../../src/memory/abi.ts");
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 }) as unknown as Memory;
      const view = new Uint8Array((memory as Memory & { toResizableBuffer(): ArrayBuffer }).toResizableBuffer());
      expect(revokeThere(memory)).toBe(false);
      expect(view.length).toBe(PAGE_BYTES);
    } finally {
      Reflect.set(WebAssembly.Memory.prototype, "toFixedLengthBuffer", toFixedLengthBuffer);
      vi.resetModules();
    }
  });
});

describe("an engine that refuses memory", () => {
  const original = WebAssembly.Memory;
  let asked = 0;
  let refuses = true;

  beforeEach(() => {
    asked = 0;
    refuses = true;
    Reflect.set(WebAssembly, "Memory", function refuse(descriptor: WebAssembly.MemoryDescriptor) {
      asked++;
      if (refuses) throw new RangeError("out of memory");
      return new original(descriptor);
    });
  });

  afterEach(() => {
    Reflect.set(WebAssembly, "Memory", original);
    dropMemory(new original({ initial: 1 }) as unknown as Memory);
  });

  test("is not asked for as much or more for a while, and then again", () => {
    expect(createMemory(4, 4)).toBeNull();
    for (let each = 0; each < 1024; each++) expect(createMemory(4 + (each % 2), 8)).toBeNull();
    expect(asked).toBe(1);
    refuses = false;
    expect(createMemory(4, 4)).not.toBeNull();
    expect(asked).toBe(2);
  });

  test("is asked for what is shorter", () => {
    expect(createMemory(4, 4)).toBeNull();
    expect(createMemory(3, 3)).toBeNull();
    expect(createMemory(3, 3)).toBeNull();
    expect(asked).toBe(2);
  });

  test("is asked again for the book of a new arena: it may have collected those of others", () => {
    const module = resolveModule(undefined);
    expect(thrownBy(() => requireBook(module, 12, false))).toMatchObject({ code: "ERR_ARENA_EXHAUSTED" });
    refuses = false;
    expect(createMemory(1, 1)).toBeNull();
    expect(requireBook(module, 12, false).byteLength).toBeGreaterThan(0);
  });

  test("is asked again as soon as a memory was let go of", () => {
    expect(createMemory(4, 4)).toBeNull();
    dropMemory(new original({ initial: 1 }) as unknown as Memory);
    refuses = false;
    expect(createMemory(4, 4)).not.toBeNull();
  });

  test("may say so with a bare string, and every other error is its own: a stack overflow is no refusal", () => {
    const throws: unknown[] = [
      "out of memory",
      new RangeError("Maximum call stack size exceeded"),
      new TypeError("no"),
    ];
    Reflect.set(WebAssembly, "Memory", function refuse() {
      throw throws.shift();
    });
    expect(createMemory(5, 5)).toBeNull();
    expect(String(thrownBy(() => createMemory(1, 1)))).toContain("call stack");
    expect(thrownBy(() => createMemory(1, 1))).toBeInstanceOf(TypeError);
  });
});

describe("where a process may have few memories", () => {
  /** The boundary as it is in a page. */
  async function inPage(): Promise<typeof import("../../../src/memory/abi.ts")> {
    vi.resetModules();
    vi.stubGlobal("window", {});
    return import("../../../src/memory/abi.ts");
  }

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  test("no more than the known number are asked for, and those let go of count no longer", async () => {
    const page = await inPage();
    expect(page.memoriesAreFew()).toBe(true);
    const memories = Array.from({ length: 108 }, () => present(page.createMemory(1, 1)));
    expect(page.createMemory(1, 1)).toBeNull();
    // Full arenas do not keep another from being made.
    const module = page.resolveModule(undefined);
    const books = Array.from({ length: 12 }, () => present(page.openBook(module, 12, false)));
    expect(page.openBook(module, 12, false)).toBeNull();
    for (const book of books) book.drop();
    page.dropMemory(memories[0] as Memory);
    expect(page.createMemory(1, 1)).not.toBeNull();
    expect(page.createMemory(1, 1)).toBeNull();
  });

  test("the first refusal lowers the number", async () => {
    const page = await inPage();
    const memories = Array.from({ length: 60 }, () => present(page.createMemory(1, 1)));
    const original = WebAssembly.Memory;
    Reflect.set(WebAssembly, "Memory", function refuse() {
      throw new RangeError("out of memory");
    });
    try {
      expect(page.createMemory(1, 1)).toBeNull();
    } finally {
      Reflect.set(WebAssembly, "Memory", original);
    }
    // Less those that only books may have.
    for (const memory of memories.splice(0, 13)) page.dropMemory(memory as Memory);
    expect(page.createMemory(1, 1)).not.toBeNull();
    // 48 again, and the engine is not even asked.
    expect(page.createMemory(1, 1)).toBeNull();
    expect(memories).toHaveLength(47);
  });

  test("servers are known by name, and have no such number", async () => {
    const { memoriesAreFew } = await import("../../../src/memory/abi.ts");
    expect(memoriesAreFew()).toBe(false);
  });
});

test("a book that refuses its layout says so", () => {
  const error = thrownBy(() => requireBook(arenaModule, 99, false)) as Error;
  expectArenaError(error, "ERR_INVALID_ARGUMENT", "this version's cleanslab/arena.wasm");
  expect(String(error.cause)).toContain("refused");
});
