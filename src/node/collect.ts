/** Bodies: a whole stream as one lease. Owns how a stream ends, well or badly; the limit is the collector's. */

import { finished, type Readable } from "node:stream";
import type { Arena } from "../arena.js";
import { type CollectOptions, Collector } from "../collector.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease.js";

/**
 * Reads `stream` to its end into one lease, exactly as long as what came; it is
 * yours to release. Built by an `arena.writer()`, so its block may be up to twice
 * as long; with a right `byteLengthHint` it is not.
 *
 * If it fails nothing stays leased. At the limit, on abort and when the arena has
 * no room the stream is paused, not destroyed, so that a server can still answer:
 * send `connection: close` and destroy the request afterwards.
 *
 * @returns a promise that rejects with an ArenaError (`ERR_LIMIT_EXCEEDED`,
 *   `ERR_INVALID_ARGUMENT`, as `arena.acquire`), the signal's reason, or the error
 *   of the stream: `ERR_STREAM_PREMATURE_CLOSE` or `ECONNRESET` if the other side went away.
 */
export async function collect(stream: Readable, arena: Arena, options: CollectOptions): Promise<Lease> {
  const collector = new Collector(arena, options);
  requireReadable(stream);
  const { signal } = options;
  return new Promise((resolve, reject) => {
    let isOpen = true;
    const close = (): void => {
      isOpen = false;
      stream.off("data", add);
      signal?.removeEventListener("abort", abort);
    };
    const fail = (error: unknown): void => {
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
      // Told of the chunk under which another listener aborted, for instance.
      if (!isOpen) return;
      try {
        collector.add(chunk);
      } catch (error) {
        giveUp(error);
      }
    };
    const end = (): void => {
      close();
      resolve(collector.take());
    };
    // First, because this one may throw.
    signal?.addEventListener("abort", abort, { once: true });
    // Its listeners stay after giving up, so that a client who then goes away is no uncaught error.
    finished(stream, { writable: false }, (error) => {
      if (!isOpen) return;
      if (error) fail(error);
      else attempt(end, fail);
    });
    stream.on("data", add);
    stream.resume();
  });
}

function attempt(fn: () => void, onError: (error: unknown) => void): void {
  try {
    fn();
  } catch (error) {
    onError(error);
  }
}

function requireReadable(stream: Readable): void {
  if (typeof stream?.resume !== "function" || typeof stream.on !== "function") {
    throw invalidArgument("stream", stream, "a stream.Readable");
  }
  if (stream.readableEnded) throw invalidArgument("stream", stream, "one that was not read to its end before");
}
