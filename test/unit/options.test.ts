/** Defaults and what follows from the options. What else is refused is test/misuse/arguments.test.ts's. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type ArenaOptions, resolveOptions } from "../../src/options.ts";
import { Timeline } from "../../src/watch/timeline.ts";
import { expectThrow, wrong } from "../helpers.ts";

const KiB = 1024;
const MiB = 1024 * 1024;

beforeEach(() => {
  vi.stubEnv("CLEANSLAB_TRACE", undefined);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

const DEFAULTS = {
  maxBytes: 64 * MiB,
  segmentBytes: MiB,
  revoke: "before-reuse",
  wipeOnRelease: false,
  onExhausted: "allocate",
  guardEvery: 0,
  trace: "off",
  sampleBytes: 512 * KiB,
  timeline: undefined,
  module: undefined,
};

describe("options", () => {
  test("have the documented defaults when there are none, or undefined ones", () => {
    expect(resolveOptions()).toEqual(DEFAULTS);
    expect(resolveOptions({})).toEqual(DEFAULTS);
    const undefinedOnes = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, undefined]));
    expect(resolveOptions(undefinedOnes)).toEqual(DEFAULTS);
  });

  test("are taken as they are given, and unknown ones passed over", () => {
    const options: Required<ArenaOptions> = {
      maxBytes: 5 * MiB + 1,
      segmentBytes: 512 * KiB,
      revoke: "on-release",
      wipeOnRelease: true,
      onExhausted: "throw",
      guardEvery: 1000,
      trace: "sampled",
      sampleBytes: 1,
      timeline: new Timeline(),
      module: {},
    };
    expect(resolveOptions(wrong({ ...options, colour: "green" }))).toEqual(options);
  });

  test.each([256 * KiB, 512 * KiB, MiB, 2 * MiB, 4 * MiB, 8 * MiB, 16 * MiB])(
    "take segmentBytes: %i, under a cap of exactly one of them, and not a byte less",
    (segmentBytes) => {
      expect(resolveOptions({ segmentBytes, maxBytes: segmentBytes })).toMatchObject({ segmentBytes });
      expectThrow(
        () => resolveOptions({ segmentBytes, maxBytes: segmentBytes - 1 }),
        "ERR_INVALID_ARGUMENT",
        "maxBytes",
        segmentBytes,
      );
    },
  );

  test.each([0, 1, 128 * KiB, 300_000, 32 * MiB, -MiB, 2.5, Number.NaN, Number.POSITIVE_INFINITY, "1048576", null])(
    "refuse segmentBytes: %s",
    (segmentBytes) => {
      if (segmentBytes === null) expect(resolveOptions(wrong({ segmentBytes })).segmentBytes).toBe(MiB);
      else expectThrow(() => resolveOptions(wrong({ segmentBytes })), "ERR_INVALID_ARGUMENT", "segmentBytes");
    },
  );

  test("take any cap that is a safe integer", () => {
    expect(resolveOptions({ maxBytes: Number.MAX_SAFE_INTEGER }).maxBytes).toBe(Number.MAX_SAFE_INTEGER);
    for (const maxBytes of [Number.MAX_SAFE_INTEGER + 1, 1.5e6 + 0.5, -1, 0, "67108864"]) {
      expectThrow(() => resolveOptions(wrong({ maxBytes })), "ERR_INVALID_ARGUMENT", "maxBytes");
    }
  });

  test.each([
    [256 * KiB, 256 * KiB],
    [4 * MiB, 256 * KiB],
    [8 * MiB, 512 * KiB],
    [16 * MiB, MiB],
    [1024 * MiB, MiB],
  ])("choose under a cap of %i segments of %i bytes", (maxBytes, segmentBytes) => {
    expect(resolveOptions({ maxBytes }).segmentBytes).toBe(segmentBytes);
  });

  test("choose longer segments where memories are few, so that a cap up to 512 MiB needs no more than 32, up to 16 MiB", () => {
    for (const maxBytes of [256 * KiB, 16 * MiB, 64 * MiB, 100 * MiB, 128 * MiB, 500 * MiB, 1024 * MiB]) {
      const { segmentBytes } = resolveOptions({ maxBytes }, true);
      expect(maxBytes / segmentBytes).toBeLessThanOrEqual(maxBytes <= 512 * MiB ? 32 : 64);
      expect(resolveOptions({ maxBytes, segmentBytes: 256 * KiB }, true).segmentBytes).toBe(256 * KiB);
    }
    expect(resolveOptions({ maxBytes: 4096 * MiB }, true).segmentBytes).toBe(16 * MiB);
  });

  test("are refused by name, value and what they may be", () => {
    const refused: [string, unknown, string][] = [
      ["revoke", "always", '"before-reuse" or "on-release" or "never"'],
      ["wipeOnRelease", 1, "true or false"],
      ["onExhausted", "wait", '"allocate" or "throw"'],
      ["sampleBytes", 0, "at least 1"],
      ["sampleBytes", Number.NaN, "at least 1"],
      ["timeline", {}, "new Timeline()"],
      ["timeline", null, "new Timeline()"],
      ["guardEvery", -1, "one lease in N"],
      ["guardEvery", 0.5, "one lease in N"],
      ["trace", "loud", '"off" or "sampled" or "all"'],
      ["module", "arena.wasm", "WebAssembly.Module"],
    ];
    for (const [name, value, wanted] of refused) {
      expectThrow(() => resolveOptions(wrong({ [name]: value })), "ERR_INVALID_ARGUMENT", `${name} is `, wanted);
    }
    for (const none of [null, 5, "options"]) {
      expectThrow(() => resolveOptions(wrong(none)), "ERR_INVALID_ARGUMENT", "options is ");
    }
  });
});

describe("CLEANSLAB_TRACE", () => {
  test.each(["off", "sampled", "all"] as const)("is %s where trace is unset", (level) => {
    vi.stubEnv("CLEANSLAB_TRACE", level);
    expect(resolveOptions().trace).toBe(level);
    expect(resolveOptions({ trace: undefined }).trace).toBe(level);
  });

  test("gives way to the option", () => {
    vi.stubEnv("CLEANSLAB_TRACE", "all");
    expect(resolveOptions({ trace: "off" }).trace).toBe("off");
    expect(resolveOptions({ trace: "sampled" }).trace).toBe("sampled");
  });

  test("means off when it is empty, and is read anew for each arena", () => {
    vi.stubEnv("CLEANSLAB_TRACE", "");
    expect(resolveOptions().trace).toBe("off");
    vi.stubEnv("CLEANSLAB_TRACE", "all");
    expect(resolveOptions().trace).toBe("all");
  });

  test("is refused with its value when it is no level, unless the option is set", () => {
    vi.stubEnv("CLEANSLAB_TRACE", "1");
    expectThrow(
      () => resolveOptions(),
      "ERR_INVALID_ARGUMENT",
      'the environment variable CLEANSLAB_TRACE is "1"; pass "off" or "sampled" or "all"',
    );
    expect(resolveOptions({ trace: "off" }).trace).toBe("off");
  });

  test("is off where there is no process, as in a browser", () => {
    vi.stubGlobal("process", undefined);
    try {
      expect(resolveOptions().trace).toBe("off");
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
