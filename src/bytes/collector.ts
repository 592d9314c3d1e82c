/**
 * Chunks gathered into one lease, under a limit. Shared by cleanslab/node and
 * cleanslab/web. Must not know either's streams.
 *
 * G1  It holds a block only between `begin`, or the first chunk, and `take` or `discard`.
 * G2  With an announced length, the bytes go straight into the lease that `take` gives.
 * G3  What `begin` is given is as long as the body may be: nothing is acquired after it.
 */

import { lengthOf } from "../builtins.js";
import { type AbortSignalLike, checkBoolean, checkFunction, checkSignal, isLength, requireOptions } from "../checks.js";
import { ArenaError, invalidArgument } from "../errors.js";
import { bytesUnder } from "../lease/filled.js";
import type { AnyLease } from "../lease/lease.js";
import type { LeaseSource } from "../lease/source.js";
import { GrowingBlock } from "./growing.js";

export interface CollectSettings {
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
  /**
   * Waits for room for the whole body before it is read, first come, first served, as
   * `arena.acquireAsync` does: for `byteLength` bytes, or, where that is not known, for
   * `limit`, of which the rest comes back at the body's end. Meanwhile the source is not
   * read, so that its sender waits too. Default false.
   */
  waitForRoom?: boolean | undefined;
}

/** One of `limit` and `byteLength` is needed. */
export type CollectOptions = CollectSettings & ({ limit: number } | { byteLength: number });

const OPTIONS = ["limit", "byteLength", "byteLengthHint", "onChunk", "signal", "waitForRoom"];

export class Collector<L extends AnyLease> {
  readonly #leases: Pick<LeaseSource<L>, "acquireUnzeroed">;
  readonly #limit: number;
  readonly #byteLength: number | undefined;
  readonly #hint: number;
  readonly #onChunk: ((chunk: Uint8Array) => void) | undefined;
  #block: GrowingBlock<L> | null = null;
  #length = 0;

  /**
   * @param others names of options that are not ours.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED` for an announced length; the signal's reason.
   */
  constructor(
    leases: Pick<LeaseSource<L>, "acquireUnzeroed">,
    options: CollectOptions,
    others: readonly string[] = [],
  ) {
    requireOptions(options, [...OPTIONS, ...others]);
    const { byteLength, byteLengthHint, onChunk, signal, waitForRoom } = options;
    for (const [name, value] of Object.entries({ byteLength, byteLengthHint })) {
      if (value === undefined || isLength(value)) continue;
      throw invalidArgument(name, value, "a whole number of bytes, or nothing if it is not known");
    }
    const limit = options.limit ?? byteLength;
    if (!isLength(limit)) throw invalidArgument("limit", limit, "the longest body to take, in bytes");
    checkFunction("onChunk", onChunk, "a function of a chunk");
    checkBoolean("waitForRoom", waitForRoom);
    checkSignal(signal);
    if (Math.max(byteLength ?? 0, byteLengthHint ?? 0) > limit) throw limitExceeded(limit);
    if (signal?.aborted) throw signal.reason;
    this.#leases = leases;
    this.#limit = limit;
    this.#byteLength = byteLength;
    this.#hint = byteLengthHint ?? 0;
    this.#onChunk = onChunk;
  }

  /** Bytes that may come. */
  get mostBytes(): number {
    return this.#byteLength ?? this.#limit;
  }

  /** Gathers into `lease`, of `mostBytes` bytes, which nobody has seen. */
  begin(lease: L): void {
    this.#block = new GrowingBlock({ acquireUnzeroed: () => lease }, lease.byteLength);
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
    this.#block ??= new GrowingBlock(this.#leases, this.#byteLength ?? Math.max(this.#hint, lengthOf(bytes)));
    this.#block.append(bytes);
    this.#length = length;
    this.#onChunk?.(chunk as Uint8Array);
  }

  /**
   * A lease of exactly what was added.
   *
   * @throws ArenaError `ERR_LENGTH_MISMATCH` if less came than was announced.
   */
  take(): L {
    if (this.#byteLength !== undefined && this.#length !== this.#byteLength) {
      throw lengthMismatch(this.#byteLength, this.#length);
    }
    this.#block ??= new GrowingBlock(this.#leases, 0);
    const lease = this.#block.take();
    this.#block = null;
    return lease;
  }

  discard(): void {
    const block = this.#block;
    this.#block = null;
    block?.dispose();
  }
}

function limitExceeded(limit: number): ArenaError {
  return new ArenaError(
    "ERR_LIMIT_EXCEEDED",
    `more than limit = ${limit} bytes; raise it, or refuse the sender: 413 with "connection: close", then destroy the request`,
  );
}

function lengthMismatch(announced: number, came: number): ArenaError {
  return new ArenaError(
    "ERR_LENGTH_MISMATCH",
    `${came > announced ? "more" : `${came}`} bytes came where byteLength = ${announced} were announced; refuse the sender`,
  );
}
