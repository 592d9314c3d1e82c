/**
 * Whether a stream can be believed when it says that a write is done. Where it
 * cannot, the adapters write a copy.
 */

import type { Writable } from "node:stream";
import { invalidArgument } from "../errors.js";

/**
 * False if `write` was replaced on the stream itself: such a `write` may drop the
 * callback, as compression middleware does. False for an HTTP message without a
 * socket, which waits in its agent's queue: destroyed there, it gets neither a
 * callback nor an event.
 */
export function isTrusted(stream: Writable): boolean {
  if (Object.hasOwn(stream, "write")) return false;
  const { socket } = stream as Writable & { socket?: object | null };
  return !("socket" in stream) || (socket !== null && socket !== undefined);
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
