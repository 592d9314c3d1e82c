/**
 * When a stream is done with a write. Owns which streams may have a lease's own bytes, and
 * what becomes of a write to a stream that does not tell.
 *
 * C1  Only what hands the bytes to the system by Node's own functions gets them without a
 *     copy: sockets, files, and HTTP/1 messages on sockets. They call back when the system
 *     is done, whatever happens. Any other stream may keep a chunk, or pass it on, after it
 *     has called back. An HTTP/2 stream still sends what was queued after its `'close'`.
 * C2  A write always comes to an end: by its callback, by `'drain'` where the callback may
 *     be dropped, or by `'close'`: its socket's, where an HTTP request closes before that.
 * C3  An error that a promise of ours rejects with is not uncaught as well; later ones are the caller's.
 */

import { WriteStream } from "node:fs";
import { OutgoingMessage } from "node:http";
import { Socket } from "node:net";
import { Writable } from "node:stream";
import { invalidArgument } from "../errors.js";

/** What is used of a stream that is not a `Writable` in all cases. */
type Target = Writable & {
  /** Of an HTTP message. `null` while a request waits in its agent's queue. */
  readonly socket?: Target | null;
  /** Of a response of the HTTP/2 compatibility API. */
  readonly stream?: { readonly destroyed?: boolean };
};

/** Called once a write is done. */
export type WriteDone = (error?: Error | null) => void;

const { write: messageWrite } = OutgoingMessage.prototype;
const streamWrites = new Set<unknown>([Writable, Socket, WriteStream].map(({ prototype }) => prototype.write));
/**
 * All by which a stream is given chunks: `_writev` what was corked, and `_writeGeneric` what
 * a socket's other two pass on. As they were at load: what replaces them later may keep chunks.
 */
interface Handover {
  readonly _write: unknown;
  readonly _writev?: unknown;
  readonly _writeGeneric?: unknown;
}
const [socketHandover, fileHandover] = [Socket, WriteStream].map(({ prototype }): Handover => {
  const { _write, _writev, _writeGeneric } = prototype as unknown as Handover;
  return { _write, _writev, _writeGeneric };
}) as [Handover, Handover];

/** C1. False for an ended stream: it calls back with an error before writes that are under way. */
export function isTrusted(stream: Target): boolean {
  if (isGone(stream) || stream.writableEnded) return false;
  if (stream.write === messageWrite) return stream.socket != null && isTrusted(stream.socket);
  if (!streamWrites.has(stream.write)) return false;
  return handsOver(stream, socketHandover) || handsOver(stream, fileHandover);
}

function handsOver({ _write, _writev, _writeGeneric }: Handover, own: Handover): boolean {
  return _write === own._write && _writev === own._writev && _writeGeneric === own._writeGeneric;
}

/** Nothing that is written is taken any more. */
export function isGone(stream: Target): boolean {
  return stream.closed || stream.destroyed || stream.stream?.destroyed === true;
}

/**
 * Writes, and calls `done` once, when the stream is done with the write or has failed; not
 * if the stream closes first. A `write` that is not Node's own may drop the callback, as
 * compression middleware does: then the write is done when the stream takes more.
 *
 * @returns what `write` answers: false if the stream wants you to wait for `'drain'`.
 */
export function writeTo(stream: Target, bytes: Uint8Array, done: WriteDone): boolean {
  if (callsBack(stream)) return stream.write(bytes, done);
  let isDone = false;
  const doneOnce: WriteDone = (error) => {
    if (!isDone) done(error);
    isDone = true;
  };
  // A replaced `write` may answer nothing, too.
  const takesMore = stream.write(bytes, doneOnce) !== false;
  // A request in a queue takes all, and tells nothing, not even that it was destroyed.
  if (takesMore || stream.socket === null) process.nextTick(doneOnce);
  else whenever("drain", stream, doneOnce);
  return takesMore;
}

function callsBack(stream: Target): boolean {
  if (stream.write === messageWrite) return stream.socket != null && callsBack(stream.socket);
  return streamWrites.has(stream.write);
}

type Listener = (error?: Error) => void;

/** Those who wait for an event of a stream, and the one listener for all of them. */
interface Waiting {
  readonly all: Set<Listener>;
  readonly onEvent: Listener;
}

const waiting = {
  close: new WeakMap<Writable, Waiting>(),
  drain: new WeakMap<Writable, Waiting>(),
  error: new WeakMap<Writable, Waiting>(),
};

function waitingFor(event: keyof typeof waiting, stream: Writable): Waiting {
  const known = waiting[event].get(stream);
  if (known !== undefined) return known;
  const all = new Set<Listener>();
  const onEvent: Listener = (error) => {
    const due = [...all];
    all.clear();
    stream.off(event, onEvent);
    for (const call of due) call(error);
  };
  const made = { all, onEvent };
  waiting[event].set(stream, made);
  return made;
}

/**
 * Calls `fn` at the stream's next event. One listener for all, however many writes are under
 * way, and none when nobody waits: it would hide the caller's errors. C3
 *
 * @returns what to call when `fn` need not be called any more.
 */
export function whenever(event: keyof typeof waiting, stream: Writable, fn: Listener): () => void {
  const { all, onEvent } = waitingFor(event, stream);
  if (all.size === 0) stream.on(event, onEvent);
  all.add(fn);
  return () => {
    if (all.delete(fn) && all.size === 0) stream.off(event, onEvent);
  };
}

/**
 * Calls `fn` once the stream sends nothing more. A request that was answered with an upgrade, or
 * to `CONNECT`, closes while its socket, alive, still sends what was written.
 */
export function whenClosed(stream: Target, fn: () => void): () => void {
  return whenever("close", stream, () => {
    const { socket } = stream;
    if (stream.write !== messageWrite || socket == null || socket.destroyed) fn();
    else whenever("close", socket, fn);
  });
}

/**
 * A promise for what `start` begins and ends by calling `done`. Rejects if the stream closes
 * before, and with an error that comes meanwhile. C2, C3
 *
 * @param what should come before the stream closes.
 * @param endsByError whether an error is the end: `done` may never be called then, and not every
 *   stream closes when it fails. A write's bytes are in use until its callback.
 */
export function settled(
  stream: Target,
  what: string,
  start: (done: WriteDone) => void,
  endsByError = false,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let emitted: Error | undefined;
    let isPending = true;
    const forgetError = whenever("error", stream, (error) => {
      emitted = error;
      if (endsByError) settle(error, false);
    });
    const forgetClose = whenClosed(stream, () => settle(stream.errored ?? prematureClose(what), false));
    /** @param isDue whether the event of a failure may still come: Node calls back first. */
    const settle = (failure: unknown, isDue: boolean): void => {
      if (!isPending) return;
      isPending = false;
      forgetClose();
      if (isDue) whenever("close", stream, forgetError);
      else forgetError();
      if (failure) reject(failure);
      else resolve();
    };
    const done: WriteDone = (error) => settle(error ?? emitted, Boolean(error));
    try {
      if (isGone(stream)) settle(stream.errored ?? prematureClose(what), stream.errored != null);
      else start(done);
    } catch (error) {
      settle(error, true);
    }
  });
}

/**
 * True for a socket all of whose bytes the system took at once. A stream counts in
 * `writableLength` what it was not yet called back for by the socket, the write under
 * way included; its own callbacks come in a later tick.
 */
export function hasSentAll(stream: Writable): boolean {
  return stream instanceof Socket && stream.writableLength === 0 && !stream.destroyed;
}

export function requireWritable(stream: Writable): void {
  if (typeof stream?.write === "function" && typeof stream.on === "function") return;
  throw invalidArgument("stream", stream, "a stream.Writable");
}

/** @param what should have come first. */
export function prematureClose(what = "the write was done"): Error {
  return Object.assign(new Error(`the stream was closed before ${what}`), { code: "ERR_STREAM_PREMATURE_CLOSE" });
}
