/** Defaults and what follows from the options. What is refused is test/misuse/arguments.test.ts's. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type ArenaOptions, resolveOptions } from "../../src/options.ts";
import { PAGE_BYTES, SEGMENT_BYTES, SEGMENT_MEMORY_BYTES, thrownBy, wrong } from "../helpers.ts";

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
  slabShift: 14,
  revoke: "before-reuse",
  onExhausted: "allocate",
  guardEvery: 0,
  trace: "off",
};

describe("options", () => {
  test("have the documented defaults when there are none", () => {
    expect(resolveOptions()).toEqual(DEFAULTS);
    expect(resolveOptions(undefined)).toEqual(DEFAULTS);
    expect(resolveOptions({})).toEqual(DEFAULTS);
  });

  test("have their default where they are undefined", () => {
    expect(
      resolveOptions({
        maxBytes: undefined,
        segmentBytes: undefined,
        revoke: undefined,
        onExhausted: undefined,
        guardEvery: undefined,
        trace: undefined,
      }),
    ).toEqual(DEFAULTS);
  });

  test("are taken as they are given", () => {
    const options: ArenaOptions = {
      maxBytes: 5 * MiB + 1,
      segmentBytes: 512 * KiB,
      revoke: "on-release",
      onExhausted: "throw",
      guardEvery: 1000,
      trace: "sampled",
    };
    expect(resolveOptions(options)).toEqual({ ...options, slabShift: 13 });
  });

  test.each([
    [256 * KiB, 12],
    [512 * KiB, 13],
    [MiB, 14],
    [2 * MiB, 15],
    [4 * MiB, 16],
    [8 * MiB, 17],
    [16 * MiB, 18],
  ])("take segmentBytes: %i, which makes slabs of 2 ** %i bytes", (segmentBytes, slabShift) => {
    expect(resolveOptions({ segmentBytes })).toMatchObject({ segmentBytes, slabShift });
    expect(2 ** slabShift * 64).toBe(segmentBytes);
  });

  test.each([
    [256 * KiB, SEGMENT_MEMORY_BYTES],
    [MiB, MiB + PAGE_BYTES],
    // From here on the bookkeeping takes more than a page.
    [2 * MiB, 2 * MiB + 2 * PAGE_BYTES],
    [16 * MiB, 16 * MiB + 9 * PAGE_BYTES],
  ])(
    "take a maxBytes of exactly one segment of %i bytes and its bookkeeping, and not a byte less",
    (segmentBytes, least) => {
      expect(resolveOptions({ segmentBytes, maxBytes: least })).toMatchObject({ maxBytes: least });
      expect(thrownBy(() => resolveOptions({ segmentBytes, maxBytes: least - 1 }))).toMatchObject({
        code: "ERR_INVALID_ARGUMENT",
      });
    },
  );

  test("take any cap that is a safe integer", () => {
    expect(resolveOptions({ maxBytes: Number.MAX_SAFE_INTEGER }).maxBytes).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("that are unknown are passed over", () => {
    expect(resolveOptions(wrong({ segmentBytes: SEGMENT_BYTES, colour: "green" }))).toEqual({
      ...DEFAULTS,
      segmentBytes: SEGMENT_BYTES,
      slabShift: 12,
    });
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

  test("means off when it is empty", () => {
    vi.stubEnv("CLEANSLAB_TRACE", "");
    expect(resolveOptions().trace).toBe("off");
  });

  test("is read anew for each arena", () => {
    vi.stubEnv("CLEANSLAB_TRACE", "all");
    expect(resolveOptions().trace).toBe("all");
    vi.stubEnv("CLEANSLAB_TRACE", "sampled");
    expect(resolveOptions().trace).toBe("sampled");
  });

  test("is refused with its value when it is no level, unless the option is set", () => {
    vi.stubEnv("CLEANSLAB_TRACE", "1");
    const error = thrownBy(() => resolveOptions());
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(String(error)).toContain(
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
