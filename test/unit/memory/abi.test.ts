/** Both sides of the boundary agree, and memories are made, refused and revoked as the engine allows. */

import { Arena } from "cleanslab";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  createMemory,
  dropMemory,
  EXCHANGE_CAPACITY,
  type Memory,
  memoriesAreFew,
  PAGE_BYTES,
  requireBook,
  resolveModule,
  revoke,
  SLAB_COUNT,
  Status,
  sizeClassesOf,
} from "../../../src/memory/abi.ts";
import { expectArenaError, expectThrow, MODES, thrownBy } from "../../helpers.ts";
import { arenaModule, constantsOf, present } from "../helpers.ts";

const layout = constantsOf("layout");
const status = constantsOf("status");
const isResizable = "toResizableBuffer" in WebAssembly.Memory.prototype;
const original = WebAssembly.Memory;

/** An engine whose every memory is a refusal with `error`, as long as that is there. */
function refuseWith(error: () => unknown): void {
  Reflect.set(WebAssembly, "Memory", function refuse(descriptor: WebAssembly.MemoryDescriptor) {
    const refusal = error();
    if (refusal !== undefined) throw refusal;
    return new original(descriptor);
  });
}

afterEach(() => {
  Reflect.set(WebAssembly, "Memory", original);
  dropMemory(new original({ initial: 1 }) as unknown as Memory);
  vi.unstubAllGlobals();
  vi.resetModules();
});

describe("both sides of the boundary agree", () => {
  test("on status codes, on the numbers of slabs, of blocks in an exchange, and of bytes in a page", () => {
    expect(Status).toEqual({ OK: status["OK"], NO_ROOM: status["NO_ROOM"], BUSY: status["BUSY"] });
    const { SLAB_COUNT: slabs, EXCHANGE_CAPACITY: capacity, PAGE_SHIFT: shift = 0 } = layout;
    expect([SLAB_COUNT, EXCHANGE_CAPACITY, PAGE_BYTES]).toEqual([slabs, capacity, 1 << shift]);
  });

  test("on where the exchange is, past the book's own growth", () => {
    const book = requireBook(arenaModule, 12, true);
    const before = book.exchange;
    const { byteLength } = book;
    while (book.byteLength === byteLength) expect(book.exports.addSegment(0)).toBeGreaterThanOrEqual(0);
    expect(before.length).toBe(0);
    expect(book.exports.takeBlocks(0, 3)).toBe(3);
    expect(book.exchange.length).toBe(2 * EXCHANGE_CAPACITY);
    expect(book.exchange.byteOffset).toBe(book.exports.exchangePtr());
    expect(new Set([1, 3, 5].map((at) => book.exchange[at])).size).toBe(3);
  });

  test.each([12, 13, 14, 15, 16, 17, 18])(
    "on the class of every length in its table, for slabs of 1 << %i bytes",
    (slabShift) => {
      const book = requireBook(arenaModule, slabShift, false);
      const longest = (SLAB_COUNT << slabShift) >> 2;
      const { byGrain } = sizeClassesOf(book, slabShift, longest);
      const lengths = Array.from({ length: longest + 1 }, (_, byteLength) => byteLength);
      const isOther = (byteLength: number) => byGrain[(byteLength + 15) >>> 4] !== book.exports.sizeClassOf(byteLength);
      expect(lengths.filter(isOther)).toEqual([]);
    },
  );
});

describe("the module", () => {
  test("is compiled once, and taken from the options where it is given", () => {
    expect(resolveModule(undefined)).toBe(resolveModule(undefined));
    expect(resolveModule(arenaModule)).toBe(arenaModule);
  });

  test.each<[string, object]>([
    ["another program", new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0))],
    ["an object that only says that it is a module", { [Symbol.toStringTag]: "WebAssembly.Module" }],
  ])("that is %s is refused in the modes that need any", (_name, module) => {
    for (const mode of MODES) {
      const create = (): Arena => new Arena({ revoke: mode, module });
      // "on-release" has no bookkeeping outside JavaScript.
      if (mode === "on-release") create();
      else expectThrow(create, "ERR_INVALID_ARGUMENT", "module is [object WebAssembly.Module]", "this version's");
    }
  });

  test("whose book refuses its layout is refused, with what it said", () => {
    const error = thrownBy(() => requireBook(arenaModule, 99, false)) as Error;
    expectArenaError(error, "ERR_INVALID_ARGUMENT", "this version's cleanslab/arena.wasm");
    expect(String(error.cause)).toContain("refused");
  });
});

test.skipIf(!isResizable)(
  "a memory that was made resizable is revoked, or not said to be where that cannot be undone",
  async () => {
    const makeResizable = (memory: Memory): Uint8Array =>
      new Uint8Array((memory as Memory & { toResizableBuffer(): ArrayBuffer }).toResizableBuffer());
    const memory = present(createMemory(1, 1));
    const view = makeResizable(memory);
    expect([revoke(memory), view.length]).toEqual([true, 0]);
    // An engine with toResizableBuffer and nothing that undoes it.
    vi.resetModules();
    const { toFixedLengthBuffer } = original.prototype as unknown as { toFixedLengthBuffer: () => void };
    Reflect.deleteProperty(original.prototype, "toFixedLengthBuffer");
    try {
      const { revoke: revokeThere } = await import("../../../src/memory/abi.ts");
      const other = new original({ initial: 1, maximum: 1 }) as unknown as Memory;
      const kept = makeResizable(other);
      expect([revokeThere(other), kept.length]).toEqual([false, PAGE_BYTES]);
    } finally {
      Reflect.set(original.prototype, "toFixedLengthBuffer", toFixedLengthBuffer);
    }
  },
);

describe("an engine that refuses memory", () => {
  let asked = 0;
  let refuses = true;

  beforeEach(() => {
    asked = 0;
    refuses = true;
    refuseWith(() => {
      asked++;
      return refuses ? new RangeError("out of memory") : undefined;
    });
  });

  test("is not asked for as much or more for a while, and then again; it is for what is shorter", () => {
    expect(createMemory(4, 4)).toBeNull();
    for (let each = 0; each < 1024; each++) expect(createMemory(4 + (each % 2), 8)).toBeNull();
    expect(asked).toBe(1);
    refuses = false;
    expect(createMemory(4, 4)).not.toBeNull();
    refuses = true;
    for (const pages of [4, 3, 3]) expect(createMemory(pages, pages)).toBeNull();
    expect(asked).toBe(4);
  });

  test("is asked again for the book of a new arena, which is a typed error then", () => {
    expect(createMemory(4, 4)).toBeNull();
    expect(thrownBy(() => requireBook(arenaModule, 12, false))).toMatchObject({ code: "ERR_ARENA_EXHAUSTED" });
    refuses = false;
    expect(createMemory(1, 1)).toBeNull();
    expect(requireBook(arenaModule, 12, false).byteLength).toBeGreaterThan(0);
  });

  test("has no other errors swallowed: a stack overflow is no refusal", () => {
    for (const error of [new RangeError("Maximum call stack size exceeded"), new TypeError("no")]) {
      refuseWith(() => error);
      expect(thrownBy(() => createMemory(1, 1))).toBe(error);
    }
  });
});

describe("where a process may have few memories", () => {
  /** The boundary as it is in a page. */
  async function inPage(): Promise<typeof import("../../../src/memory/abi.ts")> {
    vi.resetModules();
    vi.stubGlobal("window", {});
    return import("../../../src/memory/abi.ts");
  }

  test("no more than the known number are asked for, and those let go of count no longer; servers have no such number", async () => {
    expect(memoriesAreFew()).toBe(false);
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

  test("the first refusal lowers the number, to 60 at least", async () => {
    const page = await inPage();
    const memories = Array.from({ length: 60 }, () => present(page.createMemory(1, 1)));
    refuseWith(() => new RangeError("out of memory"));
    expect(page.createMemory(1, 1)).toBeNull();
    Reflect.set(WebAssembly, "Memory", original);
    // Less those that only books may have.
    for (const memory of memories.splice(0, 13)) page.dropMemory(memory as Memory);
    expect(page.createMemory(1, 1)).not.toBeNull();
    // 48 again, and the engine is not even asked.
    expect(page.createMemory(1, 1)).toBeNull();
    expect(memories).toHaveLength(47);
  });
});
