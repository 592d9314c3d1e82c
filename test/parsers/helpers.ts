/**
 * What the parsers' tests share: input in every split, an arena that must be empty
 * afterwards, outcomes as plain values that can be compared, and each format's parser
 * with a sink that copies what it is given and releases it.
 */

import { isDeepStrictEqual } from "node:util";
import { Arena, type Lease, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { expect } from "vitest";
import { ParseError, type ParseErrorCode } from "../../examples/parsing/errors.ts";
import type { IncrementalParser } from "../../examples/parsing/incremental.ts";
import { type RespLimits, RespParser } from "../../examples/resp/parser.ts";
import { type RespReply, releaseReply } from "../../examples/resp/reply.ts";
import type { TarEntry } from "../../examples/tar/entry.ts";
import { type TarLimits, TarParser } from "../../examples/tar/parser.ts";
import { WebSocketParser } from "../../examples/websocket/parser.ts";
import { WebSocketError } from "../../examples/websocket/protocol.ts";
import { thrownBy } from "../helpers.ts";
import { seed } from "../seeded.ts";

/** What came of an input: everything handed out, and the code and message of the error that ended it. */
export interface Outcome {
  readonly given: unknown[];
  readonly error: string | null;
}

/** Makes a parser that puts plain copies of all it hands out into `given`, and releases. */
export type MakeParser = (arena: Arena, given: unknown[]) => IncrementalParser;

const MODES = ["before-reuse", "on-release", "never"] as const;
// Traced, so that a write after release is found.
const arenas = MODES.map((revoke: RevokeMode) => new Arena({ revoke, trace: "all" }));

/** Parses `chunks` to the end; the arena is empty again, or this throws. */
export function outcomeOf(make: MakeParser, chunks: readonly Uint8Array[], arena = arenas[0] as Arena): Outcome {
  const given: unknown[] = [];
  const parser = make(arena, given);
  let error: string | null = null;
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
    error = `${thrown instanceof WebSocketError ? thrown.closeCode : thrown.code}: ${thrown.message}`;
  } finally {
    parser.destroy();
  }
  arena.assertDrained();
  expect(arena.stats().dirtyBlocks).toBe(0);
  return { given, error };
}

export function split(bytes: Uint8Array, points: readonly number[]): Uint8Array[] {
  const ends = [...[...points].sort((a, b) => a - b), bytes.length];
  return ends.map((end, each) => bytes.subarray(ends[each - 1] ?? 0, end));
}

/** Where to cut something of any length. */
export const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });
export function splitAtShares(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  return split(
    bytes,
    cuts.map((share) => Math.floor(share * bytes.length)),
  );
}

/** Megabytes are compared as memory: `toEqual` looks at each byte, and is asked only for the words when they differ. */
export function expectSame(actual: unknown, wanted: unknown, what = ""): void {
  if (!isDeepStrictEqual(actual, wanted)) expect(actual, what).toEqual(wanted);
}

/** Whole, byte by byte and cut in two at every point: always the same values, and the same words in the same error. */
export function readAtEverySplit(make: MakeParser, bytes: Uint8Array, step = 1): Outcome {
  const whole = outcomeOf(make, [bytes]);
  const everyByte = Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1));
  expectSame(outcomeOf(make, everyByte), whole, "byte by byte");
  for (let at = 0; at <= bytes.length; at += step) {
    expectSame(outcomeOf(make, split(bytes, [at])), whole, `cut at ${at}`);
  }
  return whole;
}

/** Cut at random points: always the same, in every mode. */
export function readAtRandomSplits(make: MakeParser, bytes: Uint8Array, numRuns = 30): Outcome {
  const whole = outcomeOf(make, [bytes]);
  const points = fc.array(fc.nat(bytes.length), { maxLength: 40 });
  const property = fc.property(points, fc.constantFrom(...arenas), (cuts, arena) => {
    expectSame(outcomeOf(make, split(bytes, cuts), arena), whole, `cut at ${cuts}`);
  });
  fc.assert(property, { seed, numRuns });
  return whole;
}

/** Whatever comes ends with a value or a typed error, the same for two splits, and with nothing leaked. */
export function expectNoLeakFrom(make: MakeParser, input: fc.Arbitrary<Uint8Array>, numRuns = 200): void {
  const property = fc.property(input, shares, (bytes, cuts) => {
    expectSame(outcomeOf(make, splitAtShares(bytes, cuts)), outcomeOf(make, [bytes]), `cut at ${cuts}`);
  });
  fc.assert(property, { seed, numRuns });
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

/** The code of the ParseError that `fn` throws. */
export function codeOf(fn: () => unknown): ParseErrorCode {
  const error = thrownBy(fn);
  if (error instanceof ParseError) return error.code;
  throw error;
}

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
}

export function respParser(limits: RespLimits = {}) {
  return (arena: Arena, given: unknown[]): RespParser => {
    const onReply = (reply: RespReply): void => {
      given.push(plain(reply));
      releaseReply(reply);
    };
    return new RespParser(arena, onReply, limits);
  };
}

/** What `reply` says, in plain values. */
export function plain(reply: RespReply): unknown {
  const value = plainValue(reply);
  if (reply.attributes === undefined) return value;
  return { value, attributes: reply.attributes.map((pair) => pair.map(plain)) };
}

function plainValue(reply: RespReply): unknown {
  const raw = "raw" in reply ? reply.raw : "rawFormat" in reply ? reply.rawFormat : undefined;
  const asSent = raw === undefined ? {} : { raw: Buffer.from(raw).toString("hex") };
  const bytes = "lease" in reply ? Buffer.from(reply.lease.bytes) : Buffer.alloc(0);
  switch (reply.kind) {
    case "bulk":
      return bytes;
    case "bulk-error":
      return { error: bytes.toString() };
    case "verbatim":
      return { format: reply.format, bytes, ...asSent };
    case "malformed":
      return { malformed: reply.type, bytes, message: reply.error.message };
    case "error":
      return { error: reply.text, ...asSent };
    case "simple":
      return raw === undefined ? reply.text : { text: reply.text, ...asSent };
    case "null":
      return null;
    case "array":
      return reply.items.map(plain);
    case "set":
    case "push":
      return { [reply.kind]: reply.items.map(plain) };
    case "map":
      return { map: reply.pairs.map((pair) => pair.map(plain)) };
    default:
      return reply.value;
  }
}

export type Role = "server" | "client";

export function wsParser(role: Role, maxMessageBytes = 1024 * 1024) {
  return (arena: Arena, given: unknown[]): WebSocketParser => {
    const options = { role, maxMessageBytes };
    return new WebSocketParser(
      arena,
      (message) => {
        if (message.kind === "close") {
          given.push(message);
          return;
        }
        given.push({ kind: message.kind, bytes: Buffer.from(message.lease.bytes) });
        message.lease.release();
      },
      options,
    );
  };
}

/** An entry of a tar archive; the lengths of the pieces its data came in, and all of it. */
export interface Read {
  readonly entry: TarEntry;
  readonly pieces: number[];
  readonly bytes: Buffer;
}

export function tarParser(limits: TarLimits = {}) {
  return (arena: Arena, given: unknown[]): TarParser => {
    let pieces: Buffer[] = [];
    const sink = {
      entry(): undefined {
        pieces = [];
      },
      data(lease: Lease): void {
        pieces.push(Buffer.from(lease.bytes));
        lease.release();
      },
      entryEnd(entry: TarEntry): void {
        const bytes = Buffer.concat(pieces);
        given.push({ entry, pieces: pieces.map(({ length }) => length), bytes } satisfies Read);
      },
    };
    return new TarParser(arena, sink, limits);
  };
}

/** All entries of `archive`, which must have no error; the same at every `step`th split, if there is a step. */
export function entriesOf(archive: Uint8Array, step?: number): Read[] {
  const make = tarParser();
  const { given, error } = step === undefined ? outcomeOf(make, [archive]) : readAtEverySplit(make, archive, step);
  expect(error).toBeNull();
  return given as Read[];
}

/** The whole file of a sparse entry, holes and all. */
export function expanded({ entry, bytes }: Read): Buffer {
  if (entry.sparse === null) return bytes;
  const file = Buffer.alloc(entry.sparse.byteLength);
  let at = 0;
  for (const { offset, byteLength } of entry.sparse.regions) {
    bytes.copy(file, offset, at, at + byteLength);
    at += byteLength;
  }
  return file;
}
