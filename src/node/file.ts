/**
 * Files read as leases: one callback per lease for loops, an async iterator for
 * people. Owns the file while it is read, the reads under way and their leases;
 * each lease is the reader's once it was handed on.
 *
 * The reads are `fs.read` with its callback: no promise and no generator step per chunk.
 */

import { close, fstat, open, type PathLike, read } from "node:fs";
import { type Arena, type CallerLeases, leasesFor } from "../arena.js";
import {
  type AbortSignalLike,
  checkSignal,
  chunkLength,
  isLength,
  isThenable,
  requireArena,
  requireHighWaterMark,
  requireOptions,
} from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease/lease.js";

export interface FileRange {
  /** Offset of the first byte to read. Default 0. */
  start?: number | undefined;
  /** Offset behind the last byte to read. Default the file's end. */
  end?: number | undefined;
}

export interface ReadFileOptions extends FileRange {
  /** Bytes in every lease but the last, which has the rest. Default 64 KiB. */
  chunkBytes?: number | undefined;
  /** Bytes read ahead, in whole chunks. Default one chunk; 0 reads only what is asked for. */
  highWaterMark?: number | undefined;
  /** Gives up, before the file is open or before the next chunk: rejects with its reason. */
  signal?: AbortSignalLike | undefined;
}

/** What `onLease` of `eachFileLease` answers to end the reading. */
export const STOP: unique symbol = Symbol.for("cleanslab.stop");

const OPTIONS = ["start", "end", "chunkBytes", "highWaterMark", "signal"];

/**
 * The file's bytes, lease after lease, in order: `for await (using lease of …)`,
 * or with a `lease.release()` at the end of the body. Each is read into without a
 * copy, is exactly as long as what was read, and is yours to release.
 *
 * Leave early and the file is closed, and what was read ahead released. Chunks may
 * be kept while the next are read: only what is read ahead is bounded, by `highWaterMark`.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, as `arena.acquire`; the signal's
 *   reason; the error of opening, reading or closing the file.
 */
export function readFileLeases(
  path: PathLike,
  arena: Arena,
  options: ReadFileOptions = {},
): AsyncGenerator<Lease, void, undefined> {
  const plan = planOf(path, arena, options);
  return leases(plan);
}

/**
 * The same for loops: calls `onLease` with each lease, in order. Each is yours to
 * release. A promise that `onLease` returns is awaited before the next lease.
 *
 * @param onLease returning `STOP`, or a promise of it, ends the reading. If it throws, or
 *   its promise rejects, the reading ends with that error; the lease stays yours.
 * @returns a promise for bytes read. Rejects as `readFileLeases` throws, and if `onLease`
 *   answers a boolean, as a stream's `write` does: that wants a wait.
 */
export async function eachFileLease(
  path: PathLike,
  arena: Arena,
  options: ReadFileOptions,
  // biome-ignore lint/suspicious/noConfusingVoidType: no boolean, which is what `write` of a stream answers
  onLease: (lease: Lease) => void | typeof STOP | PromiseLike<void | typeof STOP>,
): Promise<number> {
  const plan = planOf(path, arena, options);
  if (typeof onLease !== "function") throw invalidArgument("onLease", onLease, "a function that takes the lease");
  const file = await FileReading.open(plan);
  let byteLength = 0;
  try {
    for (;;) {
      const lease = file.take() ?? (await file.next());
      if (lease === null) return byteLength;
      byteLength += lease.byteLength;
      const answer = onLease(lease);
      if (isStop(isThenable(answer) ? await answer : answer)) return byteLength;
    }
  } finally {
    await file.close();
  }
}

function isStop(answer: unknown): boolean {
  if (typeof answer !== "boolean") return answer === STOP;
  const wanted = "one that answers nothing or STOP: if (!sink.write(lease)) await sink.ready()";
  throw invalidArgument("what onLease answered", answer, wanted);
}

interface Plan {
  readonly path: PathLike;
  readonly leases: CallerLeases;
  readonly chunkBytes: number;
  /** Chunks read ahead. */
  readonly ahead: number;
  readonly start: number;
  readonly end: number;
  readonly signal: AbortSignalLike | undefined;
}

function planOf(path: PathLike, arena: Arena, options: ReadFileOptions): Plan {
  if (typeof path !== "string" && !(path instanceof Uint8Array) && typeof path?.href !== "string") {
    throw invalidArgument("path", path, "a string, Buffer or URL");
  }
  requireArena(arena);
  requireOptions(options, OPTIONS);
  const { highWaterMark, signal, start = 0, end = Number.MAX_SAFE_INTEGER } = options;
  checkSignal(signal);
  const chunkBytes = chunkLength(options.chunkBytes);
  requireHighWaterMark(highWaterMark);
  if (!isLength(start)) throw invalidArgument("start", start, "an offset in the file, in bytes");
  if (!isLength(end) || end < start) throw invalidArgument("end", end, `an offset from start = ${start} on, in bytes`);
  const ahead = Math.ceil((highWaterMark ?? chunkBytes) / chunkBytes);
  return { path, leases: leasesFor(arena), chunkBytes, ahead, start, end, signal };
}

async function* leases(plan: Plan): AsyncGenerator<Lease, void, undefined> {
  const file = await FileReading.open(plan);
  try {
    for (;;) {
      const lease = file.take() ?? (await file.next());
      if (lease === null) return;
      yield lease;
    }
  } finally {
    await file.close();
  }
}

/** One file being read: some leases ahead, one read under way. */
export class FileReading {
  readonly #fd: number;
  readonly #plan: Plan;
  readonly #ready: Lease[] = [];
  #at: number;
  /** The lease that the read under way writes into. */
  #reading: Lease | null = null;
  #filled = 0;
  #isAtEnd = false;
  #error: unknown;
  #hasFailed = false;
  /** Called when a lease is ready, or the file's end or an error. */
  #notify: (() => void) | null = null;

  static open(plan: Plan): Promise<FileReading> {
    return new Promise((resolve, reject) => {
      const { signal } = plan;
      // A pipe opens once somebody writes to it, which may be never.
      const abort = (): void => reject(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      open(plan.path, "r", (error, fd) => {
        signal?.removeEventListener("abort", abort);
        if (error !== null) reject(error);
        else if (signal?.aborted) close(fd, abort);
        else resolve(new FileReading(fd, plan));
      });
    });
  }

  constructor(fd: number, plan: Plan) {
    this.#fd = fd;
    this.#plan = plan;
    this.#at = plan.start;
    if (plan.ahead > 0) this.#read();
  }

  /** The next lease, if it was read already; `null` if not. */
  take(): Lease | null {
    const lease = this.#ready.shift() ?? null;
    if (lease !== null && this.#ready.length < this.#plan.ahead) this.#read();
    return lease;
  }

  /** A promise of the next lease, of `null` at the file's end. */
  async next(): Promise<Lease | null> {
    const { signal } = this.#plan;
    for (;;) {
      const lease = this.take();
      if (lease !== null) return lease;
      if (this.#hasFailed) throw this.#error;
      if (this.#isAtEnd) return null;
      if (signal?.aborted) throw signal.reason;
      this.#read();
      // A read may have failed at once.
      if (this.#reading !== null) await this.#readEnds();
    }
  }

  /**
   * Releases what was read ahead and closes the file, once no read is under way. A read
   * of a pipe may never end: then both are left to its callback.
   */
  async close(): Promise<void> {
    this.#isAtEnd = true;
    for (const lease of this.#ready.splice(0)) lease[Symbol.dispose]();
    if (this.#reading !== null && !(await this.#isRegular())) {
      this.#notify = () => this.close();
      return;
    }
    while (this.#reading !== null) await this.#readEnds();
    for (const lease of this.#ready.splice(0)) lease[Symbol.dispose]();
    await new Promise<void>((resolve, reject) => {
      close(this.#fd, (error) => (error ? reject(error) : resolve()));
    });
  }

  #isRegular(): Promise<boolean> {
    return new Promise((resolve) => fstat(this.#fd, (error, stats) => resolve(error !== null || stats.isFile())));
  }

  /** Settles when the read under way has ended, or the signal aborts. */
  #readEnds(): Promise<void> {
    const { signal } = this.#plan;
    return new Promise((resolve) => {
      const ended = (): void => {
        this.#notify = null;
        signal?.removeEventListener("abort", ended);
        resolve();
      };
      this.#notify = ended;
      signal?.addEventListener("abort", ended, { once: true });
    });
  }

  #read(): void {
    if (this.#reading !== null || this.#isAtEnd || this.#hasFailed) return;
    const { leases, chunkBytes, end, signal } = this.#plan;
    try {
      if (signal?.aborted) throw signal.reason;
      const byteLength = Math.min(chunkBytes, end - this.#at);
      if (byteLength === 0) {
        this.#isAtEnd = true;
        return;
      }
      this.#reading = leases.acquireUnzeroed(byteLength);
      this.#filled = 0;
      this.#readOn(this.#reading.bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #readOn(bytes: Uint8Array): void {
    // A pipe has no positions: it is read from where it is.
    const position = this.#plan.start > 0 ? this.#at : null;
    read(this.#fd, bytes, this.#filled, bytes.length - this.#filled, position, (error, bytesRead) => {
      const lease = this.#reading;
      if (lease === null) return;
      if (error !== null) {
        this.#fail(error);
      } else if (bytesRead === 0) {
        this.#isAtEnd = true;
        this.#finish(lease);
      } else {
        this.#at += bytesRead;
        this.#filled += bytesRead;
        this.#goOn(lease);
      }
      this.#notify?.();
    });
  }

  /** The arena may have been disposed during the read. */
  #goOn(lease: Lease): void {
    try {
      const { bytes } = lease;
      if (this.#filled === bytes.length || this.#isAtEnd) this.#finish(lease);
      else this.#readOn(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #finish(lease: Lease): void {
    this.#reading = null;
    try {
      if (this.#filled === 0) {
        lease.release();
        return;
      }
      lease.resize(this.#filled);
      this.#ready.push(lease);
      if (this.#ready.length < this.#plan.ahead) this.#read();
    } catch (error) {
      lease[Symbol.dispose]();
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#reading?.[Symbol.dispose]();
    this.#reading = null;
    this.#hasFailed = true;
    this.#error = error;
  }
}
