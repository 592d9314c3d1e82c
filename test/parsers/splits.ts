/**
 * What the parsers' tests share: input in every split, arenas that must be empty
 * afterwards, and outcomes as plain values that can be compared.
 */

import { isDeepStrictEqual } from "node:util";
import { Arena, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { expect } from "vitest";
import { ParseError, type ParseErrorCode } from "../../examples/parsing/errors.ts";
import type { IncrementalParser } from "../../examples/parsing/incremental.ts";
import { seed } from "../seeded.ts";

/** What came of an input: everything handed out, and the error that ended it. */
export interface Outcome {
  given: unknown[];
  error: ParseErrorCode | null;
}

/** Makes a parser that puts plain copies of all it hands out into `given`, and releases. */
export type MakeParser = (arena: Arena, given: unknown[]) => IncrementalParser;

export const arenas = Object.fromEntries(
  (["before-reuse", "on-release", "never"] as const).map((revoke) => [
    revoke,
    // Traced, so that a write after release is found.
    new Arena({ revoke, trace: "all" }),
  ]),
) as Record<RevokeMode, Arena>;

/** Parses `chunks` to the end; the arena is empty again, or this throws. */
export function outcomeOf(make: MakeParser, chunks: readonly Uint8Array[], arena = arenas["before-reuse"]): Outcome {
  const given: unknown[] = [];
  const parser = make(arena, given);
  let error: ParseErrorCode | null = null;
  try {
    for (const chunk of chunks) {
      // The chunk's bytes change as soon as write has returned: nothing may be kept of it.
      const mine = Uint8Array.from(chunk);
      parser.write(mine);
      mine.fill(0xa5);
    }
    parser.end();
  } catch (thrown) {
    if (!(thrown instanceof ParseError)) throw thrown;
    error = thrown.code;
  } finally {
    parser.destroy();
  }
  arena.assertDrained();
  expect(arena.stats().dirtyBlocks).toBe(0);
  return { given, error };
}

export function split(bytes: Uint8Array, points: readonly number[]): Uint8Array[] {
  const sorted = [0, ...[...points].sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, each) => bytes.subarray(sorted[each], end));
}

/** Megabytes are compared as memory: `toEqual` looks at each byte, and is asked only for the words when they differ. */
export function expectSame(outcome: Outcome, wanted: Outcome, what: string): void {
  if (!isDeepStrictEqual(outcome, wanted)) expect(outcome, what).toEqual(wanted);
}

/** Whole, byte by byte and cut in two at every point: always the same. */
export function expectSameAtEverySplit(make: MakeParser, bytes: Uint8Array, step = 1): Outcome {
  const whole = outcomeOf(make, [bytes]);
  const everyByte = Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1));
  expectSame(outcomeOf(make, everyByte), whole, "byte by byte");
  for (let at = 0; at <= bytes.length; at += step) {
    expectSame(outcomeOf(make, split(bytes, [at])), whole, `cut at ${at}`);
  }
  return whole;
}

/** Cut at random points: always the same, in every mode. */
export function expectSameAtRandomSplits(make: MakeParser, bytes: Uint8Array, numRuns = 60): Outcome {
  const whole = outcomeOf(make, [bytes]);
  const points = fc.array(fc.nat(bytes.length), { maxLength: 40 });
  const mode = fc.constantFrom<RevokeMode>("before-reuse", "on-release", "never");
  fc.assert(
    fc.property(points, mode, (cuts, revoke) => {
      expectSame(outcomeOf(make, split(bytes, cuts), arenas[revoke]), whole, `cut at ${cuts} in ${revoke}`);
    }),
    { seed, numRuns },
  );
  return whole;
}

/** A few bytes of `bytes` overwritten, and perhaps its end cut off. */
export function mutated(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(fc.nat(Math.max(0, bytes.length - 1)), fc.nat(255));
  return fc.tuple(fc.array(change, { maxLength: 6 }), fc.nat(bytes.length), fc.boolean()).map(([changes, end, cut]) => {
    const copy = Uint8Array.from(bytes);
    for (const [at, value] of changes) copy[at] = value;
    return cut ? copy.subarray(0, end) : copy;
  });
}

/** Whatever comes, it ends with a value or a typed error, the same for two splits, and with nothing leaked. */
export function expectNoLeakFrom(make: MakeParser, input: fc.Arbitrary<Uint8Array>, numRuns = 400): void {
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });
  fc.assert(
    fc.property(input, cuts, (bytes, shares) => {
      const points = shares.map((share) => Math.floor(share * bytes.length));
      expectSame(outcomeOf(make, split(bytes, points)), outcomeOf(make, [bytes]), `cut at ${points}`);
    }),
    { seed, numRuns },
  );
}

/** The code of the ParseError that `fn` throws. */
export function codeOf(fn: () => unknown): ParseErrorCode {
  try {
    fn();
  } catch (error) {
    if (error instanceof ParseError) return error.code;
    throw error;
  }
  throw new Error("expected a ParseError, and nothing was thrown");
}

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
}

/** Bytes that are the same for the same seed, and no two stretches alike. */
export function noise(byteLength: number, start = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(byteLength);
  let state = start >>> 0 || 1;
  for (let at = 0; at < byteLength; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
}
