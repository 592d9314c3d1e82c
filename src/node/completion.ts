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

const waiting = { close: new WeakMap<Writable, Set<() => void>>(), drain: new WeakMap<Writable, Set<() => void>>() };

/**
 * Calls `fn` at the stream's next event. One listener for all, however many writes are under way.
 *
 * @returns what to call when `fn` need not be called any more.
 */
export function whenever(event: "close" | "drain", stream: Writable, fn: () => void): () => void {
  let all = waiting[event].get(stream);
  if (all === undefined) {
    const each = new Set<() => void>();
    stream.on(event, () => {
      const due = [...each];
      each.clear();
      for (const call of due) call();
    });
    waiting[event].set(stream, each);
    all = each;
  }
  all.add(fn);
  return () => all.delete(fn);
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

const holds = new WeakMap<Writable, ErrorHold>();

/**
 * Listens to a stream's `'error'` while promises are pending that reject with it, so that it
 * is not an uncaught one as well. One listener for all promises of a stream.
 */
export class ErrorHold {
  /** What came meanwhile. */
  error: Error | null = null;
  readonly #stream: Writable;
  #promises = 0;
  /** A promise has rejected before the event came: Node calls back first. */
  #isDue = false;

  /** For one promise more: call `end` once it is settled. */
  static of(stream: Writable): ErrorHold {
    const hold = holds.get(stream) ?? new ErrorHold(stream);
    hold.#promises++;
    return hold;
  }

  private constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("error", this.#onError);
    holds.set(stream, this);
  }

  /** @param isFailure whether the promise rejects with the stream's error, whose event may still come. */
  end(isFailure: boolean): void {
    this.#promises--;
    if (isFailure && this.error === null && !this.#isDue) {
      this.#isDue = true;
      whenever("close", this.#stream, () => this.#settle());
    }
    this.#stopIfDone();
  }

  readonly #onError = (error: Error): void => {
    this.error ??= error;
    this.#settle();
  };

  #settle(): void {
    this.#isDue = false;
    this.#stopIfDone();
  }

  #stopIfDone(): void {
    if (this.#promises > 0 || this.#isDue) return;
    this.#stream.off("error", this.#onError);
    holds.delete(this.#stream);
  }
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
