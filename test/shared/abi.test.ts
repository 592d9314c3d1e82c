/** The two sides of the boundary agree: places, kinds, size classes, codes. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as abi from "../../src/shared/abi.ts";

const built = (name: string): Buffer<ArrayBuffer> => readFileSync(new URL(`../../build/${name}.wasm`, import.meta.url));

type Constants = Record<string, { valueOf(): number }>;

/** The hooked build, in one thread. */
function hooked(steps: number[] = []) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const module = new WebAssembly.Module(built("shared-hooked"));
  const { exports } = new WebAssembly.Instance(module, { env: { memory, step: (ptr: number) => steps.push(ptr) } });
  return {
    book: exports as unknown as abi.SharedExports & Constants & Record<string, (...args: number[]) => number>,
    memory,
  };
}

test("places and kinds are the same on both sides", () => {
  const { book } = hooked();
  const constants = Object.fromEntries(
    ["BELL", "DEATHS", "WANTED", "THREAD_COUNT", "OWNED", "IN_TRANSIT", "KEPT", "LONG", "BYTE_LENGTH"].map((name) => [
      name,
      (book as Constants)[name]?.valueOf(),
    ]),
  );
  expect(constants).toEqual({
    BELL: 4 * abi.BELL,
    DEATHS: 4 * abi.DEATHS,
    WANTED: 4 * abi.WANTED,
    THREAD_COUNT: abi.THREAD_COUNT,
    OWNED: abi.OWNED,
    IN_TRANSIT: abi.IN_TRANSIT,
    KEPT: abi.KEPT,
    LONG: abi.LONG << 28,
    BYTE_LENGTH: 4 * abi.BYTE_LENGTH,
  });
  for (const [name, status] of Object.entries(abi.Status)) {
    if (name !== "OK") expect((book as Constants)[name]?.valueOf(), name).toBe(status);
  }
});

test("words, records and entries lie where the bindings look for them", () => {
  const arena = new abi.SharedBook(abi.createHandle(4 * abi.SLAB_BYTES), true);
  const { book } = hooked();
  book.create(4);
  book.attach(7, 0);
  expect(4 * abi.SLAB_WORDS).toBe(book["slabWord"]?.(0));
  expect(4 * arena.recordOf(0)).toBe(book["recordOf"]?.(0));
  expect(4 * arena.recordOf(513)).toBe(book["recordOf"]?.(513));
  expect(4 * (arena.entries[1] as number)).toBe(((book as Constants)["THREADS"]?.valueOf() as number) + 16);
  expect(book["bookBytes"]?.(4)).toBe(4 * arena.recordOf(4 * 256));
  expect(arena.bookBytes).toBeGreaterThanOrEqual(4 * arena.recordOf(4 * 256));
});

test("size classes are the same, and the shortest that fits serves a length", () => {
  const { book } = hooked();
  const blockBytes = book["blockBytes"] as unknown as (sizeClass: number) => number;
  expect(abi.BLOCK_BYTES).toEqual(abi.BLOCK_BYTES.map((_, each) => blockBytes(each)));
  expect(abi.BLOCK_BYTES.at(-1)).toBe(abi.LONGEST_SHORT);
  for (let byteLength = 0; byteLength <= abi.LONGEST_SHORT; byteLength++) {
    const sizeClass = abi.CLASS_BY_GRAIN[(byteLength + 63) >>> 6] as number;
    const isShortest = sizeClass === 0 || (abi.BLOCK_BYTES[sizeClass - 1] as number) < byteLength;
    if (!isShortest || (abi.BLOCK_BYTES[sizeClass] as number) < byteLength)
      throw new Error(`${byteLength} bytes: ${sizeClass}`);
  }
});

test("the hooked build calls before every access, and the module stays under 3.5 KB", () => {
  const steps: number[] = [];
  const { book } = hooked(steps);
  book.create(4);
  expect(steps).toEqual([0]);
  book.attach(7, 0);
  book.setSlabs(2);
  steps.length = 0;
  expect(book.take(0, 0)).toBe(0);
  expect(steps.length).toBeGreaterThan(5);
  expect(built("shared").length).toBeLessThan(3584);
  expect(built("wipe").length).toBeLessThan(80);
});
