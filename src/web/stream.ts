/** Streams of bytes into leases. Owns the reader while it reads; the limit is the collector's. */

import { type LeaseArena, leasesFor, leaseWhenRoom } from "../arena.js";
import { type CollectOptions, Collector } from "../bytes/collector.js";
import { type AbortSignalLike, checkSignal, requireArena, requireOptions } from "../checks.js";
import { invalidArgument } from "../errors.js";
import { leaseCopy } from "../lease/filled.js";
import type { AnyLease, Lease } from "../lease/lease.js";
import { byteLengthOf, readerOf, type Source, type StreamReaderLike } from "./source.js";

/**
 * Reads a stream, body, blob or file to its end into one lease, exactly as long as
 * what came; it is yours to release. A blob's length is used as `byteLengthHint`.
 *
 * If it fails nothing stays leased, and the source is cancelled.
 *
 * @returns a promise that rejects with an ArenaError (`ERR_LIMIT_EXCEEDED`,
 *   `ERR_INVALID_ARGUMENT`, as `arena.acquire`), the signal's reason, or the stream's error.
 */
export async function collect<L extends AnyLease = Lease>(
  source: Source,
  arena: LeaseArena<L>,
  options: CollectOptions,
): Promise<L> {
  const byteLengthHint = options?.byteLengthHint ?? byteLengthOf(source);
  const reader = readerOf(source);
  let collector: Collector<L> | undefined;
  try {
    requireArena(arena);
    const body = new Collector(leasesFor(arena), { ...options, byteLengthHint });
    collector = body;
    const { signal, waitForRoom } = options;
    const wait = async (): Promise<void> => body.begin(await leaseWhenRoom(arena, body.mostBytes, signal));
    for await (const chunk of chunksOf(reader, signal, waitForRoom ? wait : undefined)) body.add(chunk);
    return body.take();
  } catch (error) {
    if (collector === undefined) cancel(reader, error);
    else collector.discard();
    throw error;
  }
}

/**
 * The source's bytes as leases, one for each chunk that comes: `for await (using
 * lease of …)`, or with a `lease.release()` at the end of the body. Each is a copy
 * and yours to release. (The platform refuses to read into WebAssembly memory, so
 * there is no way without a copy.) Leave early and the source is cancelled.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, as `arena.acquire`; the signal's
 *   reason; the stream's error.
 */
export async function* readLeases<L extends AnyLease = Lease>(
  source: Source,
  arena: LeaseArena<L>,
  options: { signal?: AbortSignalLike | undefined } = {},
): AsyncGenerator<L, void, undefined> {
  requireArena(arena);
  requireOptions(options, ["signal"]);
  const leases = leasesFor(arena);
  for await (const chunk of chunksOf(readerOf(source), options.signal)) yield leaseCopy(leases, requireBytes(chunk));
}

async function* chunksOf(
  reader: StreamReaderLike | null,
  signal: AbortSignalLike | undefined,
  ready?: () => Promise<void>,
): AsyncGenerator<unknown, void, undefined> {
  if (reader === null) return;
  let isDone = false;
  try {
    checkSignal(signal);
    await ready?.();
    for (;;) {
      const { done, value } = await readUnlessAborted(reader, signal);
      isDone = done;
      if (done) return;
      yield value;
    }
  } finally {
    if (isDone) reader.releaseLock();
    else cancel(reader, signal?.reason);
  }
}

/** Not awaited: a source may take its time to end, or never do, and has nothing more to say to us. */
function cancel(reader: StreamReaderLike | null, reason: unknown): void {
  reader?.cancel(reason).catch(() => {});
  reader?.releaseLock();
}

/** The next chunk; rejects with the signal's reason as soon as it aborts, even while nothing comes. */
function readUnlessAborted(
  reader: StreamReaderLike,
  signal: AbortSignalLike | undefined,
): ReturnType<StreamReaderLike["read"]> {
  if (signal == null) return reader.read();
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    reader
      .read()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", abort));
  });
}

function requireBytes(chunk: unknown): ArrayBufferView {
  if (ArrayBuffer.isView(chunk)) return chunk;
  throw invalidArgument("a chunk of the stream", chunk, "a stream of bytes");
}
