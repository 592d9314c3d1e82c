/**
 * Whether a stream can be believed when it says that a write is done. Where it
 * cannot, the adapters write a copy.
 */

import { Socket } from "node:net";
import { Transform, type Writable } from "node:stream";
import { invalidArgument } from "../errors.js";

/**
 * False for a stream that has ended: it calls back with an error, before writes that are
 * still under way. False for a transform that may pass a chunk on and call back before
 * anyone has read it; Node's compression streams do not. False if `write` was replaced on the stream itself: such a `write` may drop the
 * callback, as compression middleware does. False for an HTTP message without a
 * socket, which waits in its agent's queue: destroyed there, it gets neither a
 * callback nor an event.
 */
export function isTrusted(stream: Writable): boolean {
  if (stream.closed || stream.destroyed || stream.writableEnded || Object.hasOwn(stream, "write")) return false;
  if (stream instanceof Transform && !("bytesWritten" in stream)) return false;
  const { socket } = stream as Writable & { socket?: object | null };
  return !("socket" in stream) || (socket !== null && socket !== undefined);
}

/**
 * True for a socket all of whose bytes the system took at once. Its callbacks come in a
 * later tick; a stream counts in `writableLength` what it was not yet called back for
 * by the socket, the write under way included.
 */
export function hasSentAll(stream: Writable): boolean {
  return stream instanceof Socket && stream.writableLength === 0 && !stream.destroyed;
}

export function requireWritable(stream: Writable): void {
  if (typeof stream?.write === "function" && typeof stream.once === "function") return;
  throw invalidArgument("stream", stream, "a stream.Writable");
}

export function prematureClose(): Error {
  return Object.assign(new Error("the stream was closed before the write was done"), {
    code: "ERR_STREAM_PREMATURE_CLOSE",
  });
}
