/**
 * From leases to Node's streams of bytes. A stream cannot say when its reader has
 * done with a chunk, so what goes in here is copied once into a buffer of Node's
 * own, and the lease released at once. Where the copy hurts, write with
 * `writeAndRelease` or `pipeLeases` instead.
 */

import { Readable, Transform, type TransformCallback, type TransformOptions } from "node:stream";
import {
  checkFunction,
  checkSignal,
  requireHighWaterMark,
  requireKnown,
  requireLease,
  requireLeases,
} from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { AnyLease } from "../lease/lease.js";
import type { Leases } from "./write.js";

/**
 * A readable stream of the leases' bytes, one chunk each. Each lease is copied and released as it is read. If the
 * stream is destroyed, read from or not, an iterator is closed by its `return`, which
 * has to release what it has not yielded yet.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT` if `leases` cannot be iterated.
 */
export function readableFrom(leases: Leases): Readable {
  return Readable.from(copies(iteratorOf(leases)), { objectMode: false });
}

/** No generator: one that has not run yet would end without closing `leases`. */
function copies(leases: Iterator<AnyLease> | AsyncIterator<AnyLease>): AsyncIterableIterator<Buffer> {
  let isDone = false;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      let result: IteratorResult<AnyLease, unknown> | undefined;
      try {
        result = await leases.next();
      } finally {
        // What threw is over, and not to be closed.
        isDone = result === undefined || result.done === true;
      }
      return result.done ? { done: true, value: undefined } : { done: false, value: copyAndRelease(result.value) };
    },
    async return() {
      if (!isDone) await leases.return?.();
      isDone = true;
      return { done: true, value: undefined };
    },
  };
}

function iteratorOf(leases: Leases): Iterator<AnyLease> | AsyncIterator<AnyLease> {
  requireLeases(leases);
  const iterable: Partial<Iterable<AnyLease> & AsyncIterable<AnyLease>> = leases;
  const iterator = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]?.();
  if (typeof iterator?.next !== "function") throw invalidArgument("leases", leases, "an iterable of leases");
  return iterator;
}

/** Takes a lease, whose bytes go on as a chunk, and releases it. */
export type PushLease = (lease: AnyLease) => void;

export interface LeaseTransformOptions extends Pick<TransformOptions, "highWaterMark" | "signal"> {
  /**
   * Takes each chunk that comes, valid during the call or until the promise it
   * returns settles, and pushes as many leases as it likes.
   */
  transform: (chunk: Buffer, push: PushLease) => void | Promise<void>;
  /** Called when no more chunks come. */
  flush?: ((push: PushLease) => void | Promise<void>) | undefined;
  /** Called when the stream ends early or late: the place to release what is still held. */
  release?: (() => void) | undefined;
}

/**
 * A `Transform` between streams of bytes, whose work is done in leases: an encoder
 * or a framer with an `arena.writer()` in a `pipeline`. Leases pushed are copied and
 * released. An error thrown by a function of `options` destroys the stream.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, also from `push` for what is no lease.
 */
export class LeaseTransform extends Transform {
  readonly #options: LeaseTransformOptions;
  readonly #push: PushLease = (lease) => {
    this.push(copyAndRelease(lease));
  };

  constructor(options: LeaseTransformOptions) {
    requireTransform(options);
    const { highWaterMark, signal } = options;
    super({ ...(highWaterMark !== undefined && { highWaterMark }), ...(signal !== undefined && { signal }) });
    this.#options = options;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    run(() => this.#options.transform(chunk, this.#push), done);
  }

  override _flush(done: TransformCallback): void {
    run(() => this.#options.flush?.(this.#push), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    run(
      () => this.#options.release?.(),
      (own) => done(error ?? own ?? null),
    );
  }
}

function requireTransform(options: LeaseTransformOptions): void {
  const { transform, flush, release, highWaterMark, signal } = Object(options) as LeaseTransformOptions;
  if (typeof transform !== "function") {
    throw invalidArgument("options.transform", transform, "a function of a chunk and push");
  }
  checkFunction("options.flush", flush, "a function of push");
  checkFunction("options.release", release, "a function");
  requireHighWaterMark(highWaterMark);
  checkSignal(signal);
  requireKnown(options, ["transform", "flush", "release", "highWaterMark", "signal"]);
}

/** Calls `done` once `fn` has returned and what it returned has settled. */
function run(fn: () => unknown, done: (error?: Error | null) => void): void {
  let result: unknown;
  try {
    result = fn();
  } catch (error) {
    done(toError(error));
    return;
  }
  // Whatever a short function happens to return: `release: () => held.delete(lease)`.
  if (typeof Object(result).then !== "function") done();
  else
    Promise.resolve(result).then(
      () => done(),
      (error: unknown) => done(toError(error)),
    );
}

export function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error });
}

function copyAndRelease(lease: AnyLease): Buffer {
  requireLease(lease);
  try {
    return Buffer.from(lease.bytes);
  } finally {
    lease[Symbol.dispose]();
  }
}
