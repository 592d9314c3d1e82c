/** Bodies: a whole stream as one lease. Owns how a stream ends, well or badly; lengths are the collector's. */

import type { Readable } from "node:stream";
import { type Arena, fillerWhenRoom, leasesFor } from "../arena.js";
import { type CollectOptions, Collector } from "../bytes/collector.js";
import type { ByteFiller } from "../bytes/filler.js";
import { requireArena } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease/lease.js";
import { chunkFreer, type FreeChunk, type FreeChunksOption } from "./chunks.js";

export type NodeCollectOptions = CollectOptions &
  FreeChunksOption & {
    /**
     * Waits for room for the whole body before it is read, first come, first served, as
     * `arena.acquireAsync` does. Needs `byteLength`. Meanwhile the stream is not read, so
     * that its sender waits too.
     */
    waitForRoom?: boolean | undefined;
  };

/**
 * Reads `stream` to its end into one lease, exactly as long as what came; it is
 * yours to release. With `byteLength` the body goes straight into that lease;
 * otherwise it is built by an `arena.writer()`, which grows.
 *
 * If it fails nothing stays leased. At the limit, on abort and when the arena has
 * no room the stream is paused, not destroyed, so that a server can still answer:
 * send `connection: close` and destroy the request afterwards.
 *
 * @returns a promise that rejects with an ArenaError (`ERR_LIMIT_EXCEEDED`,
 *   `ERR_LENGTH_MISMATCH`, `ERR_INVALID_ARGUMENT`, as `arena.acquire`), the signal's
 *   reason, or the error of the stream: `ERR_STREAM_PREMATURE_CLOSE` or `ECONNRESET` if
 *   the other side went away. A stream made with `emitClose: false` tells nobody that it
 *   was destroyed: give a `signal`, too.
 */
export async function collect(stream: Readable, arena: Arena, options: NodeCollectOptions): Promise<Lease> {
  requireArena(arena);
  const collector = new Collector(leasesFor(arena), options);
  requireReadable(stream);
  const { byteLength, signal, waitForRoom } = options;
  const free = chunkFreer(options.freeChunks, stream);
  if (waitForRoom !== undefined && typeof waitForRoom !== "boolean") {
    throw invalidArgument("waitForRoom", waitForRoom, "true or false");
  }
  if (waitForRoom === true) {
    if (byteLength === undefined) throw invalidArgument("byteLength", byteLength, "the body's length to wait for");
    collector.begin(await fillerInTurn(arena, byteLength, stream, signal));
  }
  return gather(stream, collector, free, signal);
}

/** A filler once there is room. A client that goes away, or the signal, leaves the queue to those behind. */
async function fillerInTurn(
  arena: Arena,
  byteLength: number,
  stream: Readable,
  signal: CollectOptions["signal"],
): Promise<ByteFiller> {
  const leaving = new AbortController();
  const closed = (): void => leaving.abort(stream.errored ?? prematureClose());
  const aborted = (): void => leaving.abort(signal?.reason);
  if (stream.destroyed || stream.errored) closed();
  // Stays after giving up, as those of `gather`.
  stream.on("error", (error) => leaving.abort(error));
  stream.once("close", closed);
  try {
    signal?.addEventListener("abort", aborted, { once: true });
    return await fillerWhenRoom(arena, byteLength, leaving.signal);
  } finally {
    signal?.removeEventListener("abort", aborted);
    stream.off("close", closed);
  }
}

function gather(
  stream: Readable,
  collector: Collector,
  free: FreeChunk,
  signal: CollectOptions["signal"],
): Promise<Lease> {
  return new Promise((resolve, reject) => {
    let isOpen = true;
    const close = (): void => {
      isOpen = false;
      stream.off("data", add);
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
    const add = (chunk: unknown): void => {
      // Another listener of this chunk may have aborted.
      if (!isOpen) return;
      try {
        collector.add(chunk);
      } catch (error) {
        giveUp(error);
        return;
      }
      free(chunk as Uint8Array);
    };
    const end = (): void => {
      if (!isOpen) return;
      try {
        const lease = collector.take();
        close();
        resolve(lease);
      } catch (error) {
        fail(error);
      }
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
    // These stay after giving up, so that a client which then goes away is no uncaught error.
    stream.on("error", fail);
    stream.on("close", () => {
      if (isOpen) fail(stream.errored ?? prematureClose());
    });
    // A stream that does not destroy itself when it fails says nothing any more, either.
    if (stream.destroyed || stream.errored) {
      fail(stream.errored ?? prematureClose());
      return;
    }
    stream.on("data", add);
    stream.resume();
  });
}

function prematureClose(): Error {
  return Object.assign(new Error("the stream was closed before its end"), { code: "ERR_STREAM_PREMATURE_CLOSE" });
}

function requireReadable(stream: Readable): void {
  if (typeof stream?.resume !== "function" || typeof stream.on !== "function") {
    throw invalidArgument("stream", stream, "a stream.Readable");
  }
  if (stream.readableEnded) throw invalidArgument("stream", stream, "one that was not read to its end before");
}
