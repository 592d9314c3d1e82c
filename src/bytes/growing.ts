/**
 * A message in a block that grows, or may not: the memory half of `ByteWriter` and of
 * `ByteFiller`. Owns one lease at a time and how much of it was written. Knows of the
 * arena only how to acquire. Must not know how values are coded.
 *
 *   bytes  ┌ written ┬ anyone's bytes ┐
 *          0         └ length         └ bytes.length
 *
 * W1  Bytes behind `length` may be those of earlier leases. Nobody outside sees them:
 *     `length` rises only over bytes that were set, and `take` cuts the rest off.
 * W2  A write makes room first, then sets bytes, then raises `length`. One that throws
 *     leaves what was written before it.
 * W3  `bytes` is the whole block while it can be written to. Ended or revoked, it has
 *     length 0: a write finds no room there, and growing says why. A write of no bytes
 *     has to `require` the lease itself.
 * W4  Acquiring and releasing may run hooks of `async_hooks`, which may use this very
 *     writer. So nothing read before either of them is relied on after it.
 */

import { lengthOf, setBytes, subarrayOf } from "../builtins.js";
import { MAX_BYTE_LENGTH } from "../checks.js";
import { ArenaError } from "../errors.js";
import { detachedSource } from "../lease/filled.js";
import { type AnyLease, type Lease, wasReplaced } from "../lease/lease.js";
import type { LeaseSource } from "../lease/source.js";

/** The shortest block worth growing to. */
const LEAST_BYTE_LENGTH = 64;
/** Blocks are whole multiples of this long. */
const GRAIN = 16;

const NO_BYTES = new Uint8Array(0);

type BlockSource<L extends AnyLease> = Pick<LeaseSource<L>, "acquireUnzeroed">;

export class GrowingBlock<L extends AnyLease = Lease> {
  readonly #source: BlockSource<L>;
  /** What may not grow is a filler's. */
  readonly #grows: boolean;
  #lease: L | null;
  #view: DataView | null = null;
  /** W3. Another object after growing. */
  bytes: Uint8Array<ArrayBufferLike>;
  /** Bytes written. */
  length = 0;

  constructor(source: BlockSource<L>, byteLength: number, grows = true) {
    this.#source = source;
    this.#grows = grows;
    this.#lease = source.acquireUnzeroed(byteLength);
    this.bytes = this.#lease.bytes;
  }

  get ended(): boolean {
    return this.#lease === null;
  }

  /** Of `bytes`. Look it up after `room`, never before. */
  get view(): DataView {
    if (this.#view !== null) return this.#view;
    const { buffer, byteOffset, length } = this.bytes;
    this.#view = new DataView(buffer, byteOffset, length);
    return this.#view;
  }

  /** The lease, attached and ours. Otherwise its own error says what became of it. */
  require(action: string): L {
    const lease = this.#lease;
    if (lease === null) throw this.#ended(action);
    // Of no bytes and detached, it is another object now.
    this.bytes = lease.bytes;
    return lease;
  }

  /** Room for `byteLength` more bytes, at the offset that this answers. At least 1. */
  room(byteLength: number): number {
    // Not `if`: W4
    while (this.length + byteLength > this.bytes.length) this.#grow(byteLength, null);
    return this.length;
  }

  /** As `room`; false if the arena has none. */
  tryRoom(byteLength: number): boolean {
    try {
      this.room(byteLength);
      return true;
    } catch (error) {
      if (isExhausted(error)) return false;
      throw error;
    }
  }

  /** Writes `source`, which may lie in this very block. */
  append(source: Uint8Array): void {
    const byteLength = lengthOf(source);
    if (byteLength === 0) {
      this.require("write");
      return;
    }
    while (this.length + byteLength > this.bytes.length) {
      if (this.#grow(byteLength, source)) return;
    }
    putBytes(this.bytes, source, this.length, byteLength);
    this.length += byteLength;
  }

  /** A lease of exactly what was written; nothing is left here. */
  take(): L {
    const lease = this.require("take what was written");
    // Resizing may move the block, and acquires for that. The lease must not be ours then: W4
    this.#end();
    try {
      lease.resize(this.length);
    } catch (error) {
      this.#lease = lease;
      this.bytes = attachedBytes(lease);
      throw error;
    }
    return lease;
  }

  release(): void {
    const lease = this.#lease;
    if (lease === null) throw this.#ended("release");
    try {
      lease.release();
    } finally {
      if (lease.released) this.#end();
    }
  }

  dispose(): void {
    const lease = this.#lease;
    try {
      lease?.[Symbol.dispose]();
    } finally {
      if (lease?.released) this.#end();
    }
  }

  /** Moves to a longer block. True if `source` was written there too: it may have lain in the old one. */
  #grow(byteLength: number, source: Uint8Array | null): boolean {
    const old = this.require("write");
    const { length } = this;
    if (!this.#grows) throw doesNotFit(`${byteLength} bytes do`, this.bytes.length - length, this.bytes.length);
    const lease = acquireLonger(this.#source, length + byteLength, this.bytes.length);
    if (this.#lease !== old || this.length !== length) {
      // W4: what the new block is too short for, or the writer's end, is found on the next try.
      lease[Symbol.dispose]();
      return false;
    }
    const end = source === null ? length : length + byteLength;
    let bytes: L["bytes"];
    try {
      bytes = lease.bytes;
      setBytes(bytes, subarrayOf(old.bytes, 0, length));
      if (source !== null) putBytes(bytes, source, length, byteLength);
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
    this.#lease = lease;
    this.bytes = bytes;
    this.#view = null;
    this.length = end;
    try {
      wasReplaced(old);
      old.release();
    } catch (error) {
      // W2
      if (this.length === end) this.length = length;
      throw error;
    }
    return source !== null;
  }

  #end(): void {
    this.#lease = null;
    this.bytes = NO_BYTES;
    this.#view = null;
  }

  #ended(action: string): ArenaError {
    const what = this.#grows ? "writer" : "filler";
    return new ArenaError(
      "ERR_LEASE_RELEASED",
      `cannot ${action}: this ${what} has ended; ask the arena for a new one`,
    );
  }
}

export function doesNotFit(what: string, rest: number, byteLength: number): ArenaError {
  return new ArenaError("ERR_OUT_OF_BOUNDS", `${what} not fit in the ${rest} bytes left of ${byteLength}`);
}

/**
 * Puts all of `source` at `at`. Acquiring `target` may have revoked what `source` is a
 * view of, and other code may have shortened it.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT` if fewer than `byteLength` bytes were left.
 */
export function putBytes(target: Uint8Array, source: Uint8Array, at: number, byteLength: number): void {
  try {
    setBytes(target, source, at);
  } catch (error) {
    if (lengthOf(source) === byteLength) throw error;
  }
  if (lengthOf(source) === byteLength) return;
  throw detachedSource(source);
}

/** Lengths to try once there was no room for twice as much, longest first: the less spare, the better the chance. */
export function smallerSteps(needed: number, blockBytes: number): number[] {
  const sixteenth = Math.floor(needed / 16);
  const ofBlock = [2, 4, 8].map((part) => blockBytes + Math.floor(blockBytes / part));
  const steps = ofBlock.filter((step) => step > needed + Math.max(sixteenth, GRAIN));
  // Each leaves a quarter of the spare room of the one before. So even the way through the last bytes has few moves.
  for (let spare = sixteenth; spare >= GRAIN; spare = Math.floor(spare / 4)) steps.push(needed + spare);
  steps.push(Math.ceil(needed / GRAIN) * GRAIN);
  return steps.filter((step) => step > needed && step <= MAX_BYTE_LENGTH);
}

/** Twice as much if there is room for it. Near the cap less, and exactly `needed` bytes only as the last resort. */
function acquireLonger<L extends AnyLease>(source: BlockSource<L>, needed: number, blockBytes: number): L {
  const doubled = Math.min(Math.max(2 * blockBytes, LEAST_BYTE_LENGTH), MAX_BYTE_LENGTH);
  let lease: L | null | undefined = doubled > needed ? acquireIfRoom(source, doubled) : undefined;
  if (lease === null) {
    for (const byteLength of smallerSteps(needed, blockBytes)) {
      lease = acquireIfRoom(source, byteLength);
      if (lease !== null) break;
    }
  }
  return lease ?? source.acquireUnzeroed(needed);
}

function acquireIfRoom<L extends AnyLease>(source: BlockSource<L>, byteLength: number): L | null {
  try {
    return source.acquireUnzeroed(byteLength);
  } catch (error) {
    if (isExhausted(error)) return null;
    throw error;
  }
}

function isExhausted(error: unknown): boolean {
  return (Object(error) as { code?: unknown }).code === "ERR_ARENA_EXHAUSTED";
}

function attachedBytes(lease: AnyLease): Uint8Array<ArrayBufferLike> {
  try {
    return lease.bytes;
  } catch {
    return NO_BYTES;
  }
}
