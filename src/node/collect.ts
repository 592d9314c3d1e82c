/** Bodies: a whole stream as one lease. Owns how a stream ends, well or badly; lengths are the collector's. */

import type { Readable } from "node:stream";
import { type LeaseArena, leasesFor, leaseWhenRoom } from "../arena.js";
import { type CollectOptions, Collector } from "../bytes/collector.js";
import { requireArena } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { AnyLease, Lease } from "../lease/lease.js";
import { chunkFreer, type FreeChunk, type FreeChunksOption } from "./chunks.js";
import { prematureClose } from "./completion.js";

export type NodeCollectOptions = CollectOptions & FreeChunksOption;

/**
 * Reads `stream` to its end into one lease, exactly as long as what came; it is
 * yours to release. With `byteLength` the body goes straight into that lease;
 * otherwise it is built in a block that grows, as that of an `arena.writer()`.
 *
 * If it fails nothing stays leased. At the limit, on abort and when the arena has
 * no room the stream is paused, not destroyed, so that a server can still answer:
 * send `connection: close` and destroy the request afterwards.
 *
 * @param arena an `Arena`, or a `SharedArena`, whose leases go to other threads without a copy.
 * @returns a promise that rejects with an ArenaError (`ERR_LIMIT_EXCEEDED`,
 *   `ERR_LENGTH_MISMATCH`, `ERR_INVALID_ARGUMENT`, as `arena.acquire`), the signal's
 *   reason, or the error of the stream: `ERR_STREAM_PREMATURE_CLOSE` or `ECONNRESET` if
 *   the other side went away. A stream made with `emitClose: false` tells nobody that it
 *   was destroyed: give a `signal`, too.
 */
export async function collect<L extends AnyLease = Lease>(
  stream: Readable,
  arena: LeaseArena<L>,
  options: NodeCollectOptions,
): Promise<L> {
  requireArena(arena);
  const collector = new Collector(leasesFor(arena), options, ["freeChunks"]);
  requireReadable(stream);
  const { signal, waitForRoom } = options;
  const free = chunkFreer(options.freeChunks, stream);
  const wait = (leaving: AbortSignal): Promise<L> => leaseWhenRoom(arena, collector.mostBytes, leaving);
  return gather(stream, collector, free, signal, waitForRoom ? wait : null);
}

/** @param wait for a lease to gather into: a client that goes away, or the signal, leaves the queue to those behind. */
function gather<L extends AnyLease>(
  stream: Readable,
  collector: Collector<L>,
  free: FreeChunk,
  signal: CollectOptions["signal"],
  wait: ((leaving: AbortSignal) => Promise<L>) | null,
): Promise<L> {
  return new Promise((resolve, reject) => {
    let isOpen = true;
    let leaving: AbortController | undefined;
    const close = (): void => {
      isOpen = false;
      leaving?.abort();
      stream.off("data", add).off("end", end).off("close", closed);
      signal?.removeEventListener("abort", abort);
    };
    const fail = (error: unknown): void => {
      if (!isOpen) return;
      close();
      collector.discard();
      reject(error);
    };
    const giveUp = (error: unknown): void => {
      fail(error);
      stream.pause();
    };
    const abort = (): void => giveUp(signal?.reason);
    const closed = (): void => fail(stream.errored ?? prematureClose("its end"));
    const add = (chunk: unknown): void => {
      // Another listener of this chunk may have aborted.
      if (!isOpen) return;
      try {
        collector.add(chunk);
      } catch (error) {
        giveUp(error);
        return;
      }
      // Acquiring may run hooks of `async_hooks`, which abort.
      if (isOpen) free(chunk as Uint8Array);
      else collector.discard();
    };
    const end = (): void => {
      try {
        const lease = collector.take();
        if (!isOpen) lease[Symbol.dispose]();
        close();
        resolve(lease);
      } catch (error) {
        fail(error);
      }
    };
    const read = (): void => {
      stream.on("data", add);
      stream.resume();
    };
    const readInto = (lease: L): void => {
      if (!isOpen) {
        lease[Symbol.dispose]();
        return;
      }
      collector.begin(lease);
      read();
    };
    if (signal?.aborted) {
      fail(signal.reason);
      return;
    }
    // First, because the signal's own code may throw.
    try {
      signal?.addEventListener("abort", abort, { once: true });
    } catch (error) {
      fail(error);
      return;
    }
    stream.on("end", end);
    // This stays after giving up, so that a client which then goes away is no uncaught error.
    stream.on("error", fail);
    stream.on("close", closed);
    // A stream that does not destroy itself when it fails says nothing any more, either.
    if (stream.destroyed || stream.errored) {
      closed();
      return;
    }
    if (wait === null) {
      read();
      return;
    }
    leaving = new AbortController();
    wait(leaving.signal).then(readInto, fail);
  });
}

function requireReadable(stream: Readable): void {
  if (typeof stream?.resume !== "function" || typeof stream.on !== "function") {
    throw invalidArgument("stream", stream, "a stream.Readable");
  }
  if (stream.readableEnded) throw invalidArgument("stream", stream, "one that was not read to its end before");
}
