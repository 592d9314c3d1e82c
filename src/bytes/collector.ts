/**
 * Chunks gathered into one lease, under a limit. Shared by cleanslab/node and
 * cleanslab/web. Must not know either's streams.
 *
 * G1  It holds a block only between `begin`, or the first chunk, and `take` or `discard`.
 * G2  With an announced length, the bytes go straight into the lease that `take` gives.
 */

import { lengthOf } from "../builtins.js";
import { type AbortSignalLike, checkSignal, isLength, requireArena, requireOptions } from "../checks.js";
import { ArenaError, invalidArgument } from "../errors.js";
import { bytesUnder } from "../lease/filled.js";
import type { Lease } from "../lease/lease.js";
import type { ByteFiller } from "./filler.js";
import type { ByteWriter } from "./writer.js";

export interface CollectOptions {
  /** Bytes: one more is an error, `ERR_LIMIT_EXCEEDED`. Default: `byteLength`, which is then needed. */
  limit?: number | undefined;
  /**
   * The exact length in bytes, for instance from `content-length`. The body goes straight
   * into a lease of that length. A body of another length is an error, `ERR_LENGTH_MISMATCH`;
   * over `limit` it is refused before anything is read.
   */
  byteLength?: number | undefined;
  /** Bytes to expect, if that is a guess: room for them is made at once. */
  byteLengthHint?: number | undefined;
  /**
   * Called with each chunk after it was copied, while its bytes are warm: to hash or to
   * parse. Valid during the call. If it throws, the promise rejects with that.
   */
  onChunk?: ((chunk: Uint8Array) => void) | undefined;
  /** Gives up: the promise rejects with its reason. */
  signal?: AbortSignalLike | undefined;
}

/** The part of an arena that is used. */
export interface CollectSource {
  acquire(byteLength: number): Lease;
  filler(byteLength: number): ByteFiller;
  writer(byteLength?: number): ByteWriter;
}

export class Collector {
  readonly #arena: CollectSource;
  readonly #limit: number;
  readonly #byteLength: number | undefined;
  readonly #hint: number;
  readonly #onChunk: ((chunk: Uint8Array) => void) | undefined;
  #target: ByteWriter | ByteFiller | null = null;
  #length = 0;

  /** @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED` for an announced length; the signal's reason. */
  constructor(arena: CollectSource, options: CollectOptions) {
    requireArena(arena);
    requireOptions(options);
    const { byteLength, byteLengthHint, onChunk, signal } = options;
    for (const [name, value] of Object.entries({ byteLength, byteLengthHint })) {
      if (value === undefined || isLength(value)) continue;
      throw invalidArgument(name, value, "a whole number of bytes, or nothing if it is not known");
    }
    const limit = options.limit ?? byteLength;
    if (!isLength(limit)) throw invalidArgument("limit", limit, "the longest body to take, in bytes");
    if (onChunk !== undefined && typeof onChunk !== "function") {
      throw invalidArgument("onChunk", onChunk, "a function of a chunk, or nothing");
    }
    checkSignal(signal);
    if (Math.max(byteLength ?? 0, byteLengthHint ?? 0) > limit) throw limitExceeded(limit);
    if (signal?.aborted) throw signal.reason;
    this.#arena = arena;
    this.#limit = limit;
    this.#byteLength = byteLength;
    this.#hint = byteLengthHint ?? 0;
    this.#onChunk = onChunk;
  }

  /** Gathers into `filler`, which is as long as was announced, instead of one of its own. */
  begin(filler: ByteFiller): void {
    this.#target = filler;
  }

  /**
   * @throws ArenaError `ERR_LIMIT_EXCEEDED`, `ERR_LENGTH_MISMATCH`, `ERR_INVALID_ARGUMENT` if
   *   it is no bytes; as `arena.acquire`; what `onChunk` throws.
   */
  add(chunk: unknown): void {
    if (!ArrayBuffer.isView(chunk)) {
      throw invalidArgument("a chunk of the stream", chunk, "a stream of bytes: no setEncoding, no object mode");
    }
    const bytes = bytesUnder(chunk);
    const length = this.#length + lengthOf(bytes);
    if (this.#byteLength !== undefined && length > this.#byteLength) throw lengthMismatch(this.#byteLength, length);
    if (length > this.#limit) throw limitExceeded(this.#limit);
    this.#target ??= this.#open(lengthOf(bytes));
    if ("put" in this.#target) this.#target.put(bytes);
    else this.#target.writeBytes(bytes);
    this.#length = length;
    this.#onChunk?.(chunk as Uint8Array);
  }

  /**
   * A lease of exactly what was added.
   *
   * @throws ArenaError `ERR_LENGTH_MISMATCH` if less came than was announced.
   */
  take(): Lease {
    if (this.#byteLength !== undefined && this.#length !== this.#byteLength) {
      throw lengthMismatch(this.#byteLength, this.#length);
    }
    const target = this.#target;
    if (target === null) return this.#arena.acquire(0);
    this.#target = null;
    try {
      return target.take();
    } catch (error) {
      target[Symbol.dispose]();
      throw error;
    }
  }

  discard(): void {
    const target = this.#target;
    this.#target = null;
    target?.[Symbol.dispose]();
  }

  #open(chunkBytes: number): ByteWriter | ByteFiller {
    if (this.#byteLength !== undefined) return this.#arena.filler(this.#byteLength);
    return this.#arena.writer(Math.max(this.#hint, chunkBytes));
  }
}

function limitExceeded(limit: number): ArenaError {
  return new ArenaError("ERR_LIMIT_EXCEEDED", `more than limit = ${limit} bytes; refuse the sender or raise the limit`);
}

function lengthMismatch(announced: number, came: number): ArenaError {
  return new ArenaError(
    "ERR_LENGTH_MISMATCH",
    `${came > announced ? "more" : `${came}`} bytes came where byteLength = ${announced} were announced; refuse the sender`,
  );
}
