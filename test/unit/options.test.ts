/** Options of an arena: defaults, what follows from them, and what is refused. */

import { Arena } from "cleanslab";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type ArenaOptions, resolveOptions } from "../../src/options.ts";
import { Timeline } from "../../src/watch/timeline.ts";
import { expectThrow, KiB, MiB, wrong } from "../helpers.ts";

beforeEach(() => {
  vi.stubEnv("CLEANSLAB_TRACE", undefined);
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
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
    const undefinedOnes = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, undefined]));
    expect(resolveOptions(undefinedOnes)).toEqual(DEFAULTS);
  });

  test("are taken as they are given; one that there is not is refused, as it may be misspelt", () => {
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
    expect(resolveOptions(options)).toEqual(options);
    const misspelt = { ...options, revok: "on-release" };
    expectThrow(() => new Arena(wrong(misspelt)), "ERR_INVALID_ARGUMENT", 'options.revok is "on-release"', "revoke");
    expect(resolveOptions({ maxBytes: Number.MAX_SAFE_INTEGER }).maxBytes).toBe(Number.MAX_SAFE_INTEGER);
  });

  test.each([256 * KiB, 512 * KiB, MiB, 16 * MiB])(
    "take segmentBytes: %i, under a cap of exactly one of them, and not a byte less",
    (segmentBytes) => {
      expect(resolveOptions({ segmentBytes, maxBytes: segmentBytes })).toMatchObject({ segmentBytes });
      const options = { segmentBytes, maxBytes: segmentBytes - 1 };
      expectThrow(() => new Arena(options), "ERR_INVALID_ARGUMENT", "maxBytes", `at least ${segmentBytes}`);
    },
  );

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

  test.each<[string, string, unknown[]]>([
    ["maxBytes", "whole number of bytes", [0, -1, 2 ** 20 + 0.5, Number.NaN, 2 ** 53, "1048576", 1048576n]],
    [
      "segmentBytes",
      "a power of two from 262144",
      [0, 131072, 2 ** 25, 300000, -262144, Number.NaN, "1 MiB", [262144]],
    ],
    ["segmentBytes", "a power of two from 262144", [2 ** 20 * (1 + 2 ** -52), 262144n, Number.POSITIVE_INFINITY]],
    ["revoke", '"before-reuse" or "on-release" or "never"', ["always", "", true]],
    ["onExhausted", '"allocate" or "throw"', ["wait", () => {}]],
    ["guardEvery", "0 for none, or N for one lease in N", [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "3", true]],
    ["trace", '"off" or "sampled" or "all"', ["verbose", true]],
    ["wipeOnRelease", "true or false", [1, "true", {}]],
    ["module", "a WebAssembly.Module compiled from cleanslab/arena.wasm", [null, 5, {}, new Uint8Array(8)]],
  ])("refuse %s that is not %s, with its value", (name, wanted, values) => {
    for (const value of values) {
      const options = { segmentBytes: 256 * KiB, [name]: value };
      expectThrow(() => new Arena(options), "ERR_INVALID_ARGUMENT", `${name} is `, `; pass `, wanted);
    }
  });
});

describe("CLEANSLAB_TRACE", () => {
  test.each(["off", "sampled", "all"] as const)("is %s where trace is unset, and gives way to the option", (level) => {
    vi.stubEnv("CLEANSLAB_TRACE", level);
    expect([resolveOptions().trace, resolveOptions({ trace: undefined }).trace]).toEqual([level, level]);
    for (const trace of ["off", "sampled"] as const) expect(resolveOptions({ trace }).trace).toBe(trace);
  });

  test("is off when it is empty or where there is no process, as in a browser, and refused when it is no level", () => {
    vi.stubEnv("CLEANSLAB_TRACE", "");
    expect(resolveOptions().trace).toBe("off");
    vi.stubEnv("CLEANSLAB_TRACE", "1");
    const says = 'the environment variable CLEANSLAB_TRACE is "1"; pass "off" or "sampled" or "all"';
    expectThrow(() => resolveOptions(), "ERR_INVALID_ARGUMENT", says);
    expect(resolveOptions({ trace: "off" }).trace).toBe("off");
    vi.stubGlobal("process", undefined);
    expect(resolveOptions().trace).toBe("off");
  });
});
