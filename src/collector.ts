/**
 * Chunks gathered into one lease, under a limit. Shared by cleanslab/node and
 * cleanslab/web; knows of neither's streams.
 *
 * C1  It holds a block only between its first chunk and `take` or `discard`.
 */

import type { Arena } from "./arena.js";
import { isLength, requireArena, requireOptions } from "./checks.js";
import { ArenaError, invalidArgument } from "./errors.js";
import type { Lease } from "./lease.js";
import { type AbortSignalLike, checkSignal } from "./waiters.js";
import type { ByteWriter } from "./writer.js";

export interface CollectOptions {
  /** Bytes: one more is an error, `ERR_LIMIT_EXCEEDED`. */
  limit: number;
  /**
   * Bytes to expect, for instance from `content-length`: room for so many is made
   * at once. Over `limit` it is refused before anything is read.
   */
  byteLengthHint?: number | undefined;
  /** Gives up: the promise rejects with its reason. */
  signal?: AbortSignalLike | undefined;
}

export class Collector {
  readonly #arena: Arena;
  readonly #limit: number;
  readonly #hint: number | undefined;
  #writer: ByteWriter | null = null;

  /** @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED` for the hint; the signal's reason. */
  constructor(arena: Arena, options: CollectOptions) {
    requireArena(arena);
    requireOptions(options);
    const { limit, byteLengthHint, signal } = options;
    if (!isLength(limit)) throw invalidArgument("limit", limit, "the longest body to take, in bytes");
    if (byteLengthHint !== undefined && !isLength(byteLengthHint)) {
      throw invalidArgument("byteLengthHint", byteLengthHint, "a whole number of bytes, or nothing if it is not known");
    }
    checkSignal(signal);
    if (byteLengthHint !== undefined && byteLengthHint > limit) throw limitExceeded(limit);
    if (signal?.aborted) throw signal.reason;
    this.#arena = arena;
    this.#limit = limit;
    this.#hint = byteLengthHint;
  }

  /** @throws ArenaError `ERR_LIMIT_EXCEEDED`, `ERR_INVALID_ARGUMENT` if it is no bytes, and as `arena.acquire`. */
  add(chunk: unknown): void {
    if (!ArrayBuffer.isView(chunk)) {
      throw invalidArgument("a chunk of the stream", chunk, "a stream of bytes: no setEncoding, no object mode");
    }
    const byteLength = this.#writer?.byteLength ?? 0;
    if (byteLength + chunk.byteLength > this.#limit) throw limitExceeded(this.#limit);
    this.#writer ??= this.#arena.writer(Math.max(this.#hint ?? 0, chunk.byteLength));
    this.#writer.writeBytes(chunk);
  }

  /** A lease of exactly what was added. */
  take(): Lease {
    const writer = this.#writer;
    if (writer === null) return this.#arena.acquire(0);
    this.#writer = null;
    try {
      return writer.take();
    } catch (error) {
      writer[Symbol.dispose]();
      throw error;
    }
  }

  discard(): void {
    const writer = this.#writer;
    this.#writer = null;
    writer?.[Symbol.dispose]();
  }
}

function limitExceeded(limit: number): ArenaError {
  return new ArenaError("ERR_LIMIT_EXCEEDED", `more than limit = ${limit} bytes; refuse the sender or raise the limit`);
}
