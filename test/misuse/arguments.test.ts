/** Values that are none, of a length or of an option, are named and refused. */

import { Arena, type ArenaOptions } from "cleanslab";
import { describe, test } from "vitest";
import { MODULE_BASE64 } from "../../src/module.generated.ts";
import {
  expectArenaError,
  expectThrow,
  expectUnharmed,
  expectUnharmedAsync,
  expectUsable,
  MODES,
  rejectionOf,
  SEGMENT_BYTES,
  smallArena,
  thrownBy,
  wrong,
} from "../helpers.ts";

const DOORS: Record<string, (arena: Arena, byteLength: number) => unknown> = {
  acquire: (arena, byteLength) => arena.acquire(byteLength),
  pool: (arena, byteLength) => arena.pool(byteLength),
  use: (arena, byteLength) =>
    arena.use(byteLength, () => {
      throw new Error("fn was called");
    }),
  "scope.acquire": (arena, byteLength) => arena.scope().acquire(byteLength),
  "scope.bytes": (arena, byteLength) => arena.scope().bytes(byteLength),
  acquireFilled: (arena, byteLength) =>
    arena.acquireFilled(byteLength, () => {
      throw new Error("write was called");
    }),
  filler: (arena, byteLength) => arena.filler(byteLength),
};

const NO_LENGTHS: [unknown, string][] = [
  [-1, "-1"],
  [-0.5, "-0.5"],
  [0.5, "0.5"],
  [4096.25, "4096.25"],
  [Number.NaN, "NaN"],
  [Number.POSITIVE_INFINITY, "Infinity"],
  [Number.NEGATIVE_INFINITY, "-Infinity"],
  [2 ** 32, "4294967296"],
  [2 ** 32 + 100, "4294967396"],
  [Number.MAX_SAFE_INTEGER, "9007199254740991"],
  [Number.MAX_VALUE, "1.7976931348623157e+308"],
  ["8", '"8"'],
  ["", '""'],
  [null, "null"],
  [undefined, "undefined"],
  [true, "true"],
  [{}, "[object Object]"],
  [[8], "[object Array]"],
  [{ valueOf: () => 8 }, "[object Object]"],
  [() => 8, "a function"],
];

describe.each(MODES)("revoke: %s, a byteLength that is none", (revoke) => {
  test.each(Object.entries(DOORS))("is refused by %s, with its value", (_name, door) => {
    using arena = smallArena({ revoke });
    expectUnharmed(arena, () => {
      for (const [byteLength, shown] of NO_LENGTHS) {
        expectThrow(
          () => door(arena, wrong(byteLength)),
          "ERR_INVALID_ARGUMENT",
          `byteLength is ${shown};`,
          "pass a whole number of bytes from 0 to 4294967295",
        );
      }
    });
  });

  test("is refused by acquireAsync with a rejection, not a throw", async () => {
    using arena = smallArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      for (const [byteLength, shown] of NO_LENGTHS) {
        const lists = [[byteLength], [8, byteLength], [byteLength, 8]];
        // An array is a list of lengths.
        for (const wanted of Array.isArray(byteLength) ? lists : [byteLength, ...lists]) {
          const error = await rejectionOf(arena.acquireAsync(wrong(wanted)));
          expectArenaError(error, "ERR_INVALID_ARGUMENT", `byteLength is ${shown};`, "from 0 to");
        }
      }
    });
  });
});

describe("a byteLength that cannot even be converted to a number", () => {
  test.each(Object.entries(DOORS))("is refused by %s when it is a bigint", (_name, door) => {
    using arena = smallArena();
    expectThrow(() => door(arena, wrong(8n)), "ERR_INVALID_ARGUMENT", "byteLength is 8n", "from 0 to");
  });

  test("is refused by acquire when it is a symbol", () => {
    using arena = smallArena();
    expectThrow(() => arena.acquire(wrong(Symbol("8"))), "ERR_INVALID_ARGUMENT", "byteLength is Symbol(8)");
  });

  test("is refused by acquireAsync when it is a bigint", async () => {
    using arena = smallArena();
    expectArenaError(await rejectionOf(arena.acquireAsync(wrong(8n))), "ERR_INVALID_ARGUMENT", "byteLength is 8n");
  });
});

describe("new Arena", () => {
  test.each<[keyof ArenaOptions, unknown, string, string]>([
    ["maxBytes", SEGMENT_BYTES - 1, "262143", "at least 262144 for one segment"],
    ["maxBytes", 0, "0", "at least 262144"],
    ["maxBytes", -1, "-1", "whole number of bytes"],
    ["maxBytes", 2 ** 20 + 0.5, "1048576.5", "whole number of bytes"],
    ["maxBytes", Number.NaN, "NaN", "whole number of bytes"],
    ["maxBytes", Number.POSITIVE_INFINITY, "Infinity", "whole number of bytes"],
    ["maxBytes", 2 ** 53, "9007199254740992", "whole number of bytes"],
    ["maxBytes", "1048576", '"1048576"', "whole number of bytes"],
    ["maxBytes", 1048576n, "1048576n", "whole number of bytes"],
    ["segmentBytes", 0, "0", "a power of two from 262144 (256 KiB) to 16777216 (16 MiB)"],
    ["segmentBytes", 131072, "131072", "power of two from 262144"],
    ["segmentBytes", 2 ** 25, "33554432", "to 16777216"],
    ["segmentBytes", 300000, "300000", "power of two"],
    ["segmentBytes", -262144, "-262144", "power of two"],
    ["segmentBytes", Number.NaN, "NaN", "power of two"],
    ["segmentBytes", Number.POSITIVE_INFINITY, "Infinity", "power of two"],
    ["segmentBytes", "1 MiB", '"1 MiB"', "power of two"],
    ["revoke", "always", '"always"', '"before-reuse" or "on-release" or "never"'],
    ["revoke", "", '""', '"before-reuse"'],
    ["revoke", true, "true", '"before-reuse"'],
    ["onExhausted", "wait", '"wait"', '"allocate" or "throw"'],
    ["onExhausted", () => {}, "a function", '"allocate" or "throw"'],
    ["guardEvery", -1, "-1", "0 for none, or N for one lease in N"],
    ["guardEvery", 1.5, "1.5", "0 for none"],
    ["guardEvery", Number.NaN, "NaN", "0 for none"],
    ["guardEvery", Number.POSITIVE_INFINITY, "Infinity", "0 for none"],
    ["guardEvery", "3", '"3"', "0 for none"],
    ["guardEvery", true, "true", "0 for none"],
    ["trace", "verbose", '"verbose"', '"off" or "sampled" or "all"'],
    ["trace", true, "true", '"off" or "sampled" or "all"'],
    ["wipeOnRelease", 1, "1", "true or false"],
    ["wipeOnRelease", "true", '"true"', "true or false"],
    ["wipeOnRelease", {}, "[object Object]", "true or false"],
    ["module", null, "null", "a WebAssembly.Module compiled from cleanslab/arena.wasm"],
    ["module", 5, "5", "a WebAssembly.Module"],
    ["module", "arena.wasm", '"arena.wasm"', "a WebAssembly.Module"],
    ["module", {}, "[object Object]", "a WebAssembly.Module"],
    ["module", new Uint8Array(8), "[object Uint8Array]", "a WebAssembly.Module"],
    ["module", new WebAssembly.Memory({ initial: 1 }), "[object WebAssembly.Memory]", "a WebAssembly.Module"],
  ])("refuses %s: %s", (option, value, shown, wanted) => {
    const options: ArenaOptions = { segmentBytes: SEGMENT_BYTES, [option]: value };
    expectThrow(() => new Arena(options), "ERR_INVALID_ARGUMENT", `${option} is ${shown};`, "pass", wanted);
  });

  test("refuses a maxBytes that its segmentBytes do not fit under, and says how much would do", () => {
    const MiB = 1024 * 1024;
    expectThrow(
      () => new Arena({ maxBytes: MiB - 1, segmentBytes: MiB }),
      "ERR_INVALID_ARGUMENT",
      `maxBytes is ${MiB - 1}`,
      `at least ${MiB}`,
    );
    using arena = new Arena({ maxBytes: MiB, segmentBytes: MiB });
    expectUsable(arena);
  });

  /** The eight bytes that every module begins with, and nothing else. */
  const EMPTY_MODULE = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));

  test.each<[string, object]>([
    ["a module that is another program", EMPTY_MODULE],
    ["an object that only says that it is a module", { [Symbol.toStringTag]: "WebAssembly.Module" }],
  ])("refuses %s", (_name, module) => {
    const error = thrownBy(() => new Arena({ segmentBytes: SEGMENT_BYTES, module }));
    expectArenaError(error, "ERR_INVALID_ARGUMENT", "module is [object WebAssembly.Module]", "this version's");
  });

  test.each(MODES)("refuses another program's module in %s mode, if it needs any", (revoke) => {
    // "on-release" has no bookkeeping outside JavaScript.
    const create = (): Arena => new Arena({ segmentBytes: SEGMENT_BYTES, revoke, module: EMPTY_MODULE });
    if (revoke === "on-release") expectUsable(create());
    else expectThrow(create, "ERR_INVALID_ARGUMENT", "this version's cleanslab/arena.wasm");
  });

  test("takes the library's own module, compiled by the caller", () => {
    const module = new WebAssembly.Module(Buffer.from(MODULE_BASE64, "base64"));
    for (const revoke of MODES) {
      using arena = smallArena({ revoke, module });
      expectUsable(arena);
    }
  });

  test.each<[unknown, string]>([
    [null, "null"],
    [5, "5"],
    ["never", '"never"'],
    [false, "false"],
    [() => ({}), "a function"],
    [1n, "1n"],
  ])("refuses %s in place of its options", (options, shown) => {
    expectThrow(() => new Arena(wrong(options)), "ERR_INVALID_ARGUMENT", `options is ${shown}`, "pass an object");
  });

  test.each<[unknown, string]>([
    [262144n, "262144n"],
    ["262144", '"262144"'],
    [[262144], "[object Array]"],
  ])("refuses segmentBytes: %s, which is no number", (segmentBytes, shown) => {
    expectThrow(
      () => new Arena({ segmentBytes: wrong(segmentBytes) }),
      "ERR_INVALID_ARGUMENT",
      `segmentBytes is ${shown}`,
      "power of two",
    );
  });
});
