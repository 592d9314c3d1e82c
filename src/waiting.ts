/**
 * The queue of those who wait: for room, first come, first served, and for the moment
 * when no lease is out. Must not know where room comes from. It is served in a
 * microtask, after the release that made room: what a caller's promise or signal
 * runs never finds the arena in the middle of something.
 *
 * Q1  The head of the queue blocks the others, however little they want.
 * Q2  A waiter is out of the queue before any of its own code runs.
 */

import { type AbortSignalLike, checkSignal } from "./checks.js";
import type { ArenaError } from "./errors.js";
import type { AnyLease, Lease } from "./lease/lease.js";

/** What the queue asks of the arena. */
export interface Room<L> {
  /** Leases of all these lengths, or `null` and none of them. */
  take(request: RoomRequest): L[] | null;
  /** Why nobody can ever make room for these lengths, asked when there is none. */
  cannotServe(request: RoomRequest): ArenaError | undefined;
  /** Leases out. */
  liveLeases(): number;
  /** A call that asked at `since`, by `performance.now()`, waits no longer. */
  waited(request: RoomRequest, since: number, isServed: boolean): void;
  /** The queue should be served soon. */
  wake(): void;
}

export interface RoomRequest {
  readonly byteLengths: readonly number[];
  /** Whether the bytes are to be zero. */
  readonly isZeroed: boolean;
  /** The caller's stack, if that is traced. */
  readonly callSite: object | undefined;
}

export interface WaitCounts {
  /** Calls that had to wait and were served. */
  count: number;
  /** How long they waited together, in milliseconds. */
  totalMs: number;
  /** How long the longest of them waited, in milliseconds. */
  longestMs: number;
}

/** A promise that `signal` can give up. */
class Waiter<T> {
  readonly promise: Promise<T>;
  readonly signal: AbortSignalLike | undefined;
  readonly since = performance.now();
  #resolve: (value: T) => void = () => {};
  #reject: (reason: unknown) => void = () => {};
  #onAbort: (() => void) | undefined;

  constructor(signal: AbortSignalLike | undefined) {
    this.signal = signal;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Runs the signal's own code. The waiter is in its queue already: the code may abort at once. */
  listen(onAbort: () => void): void {
    this.#onAbort = onAbort;
    this.signal?.addEventListener("abort", onAbort, { once: true });
  }

  /** Runs the signal's own code. */
  leave(): void {
    if (this.#onAbort !== undefined) this.signal?.removeEventListener("abort", this.#onAbort);
    this.#onAbort = undefined;
  }

  resolve(value: T): void {
    this.#resolve(value);
  }

  reject(reason: unknown): void {
    this.#reject(reason);
  }
}

class RoomWaiter<L> extends Waiter<L[]> {
  readonly request: RoomRequest;

  constructor(request: RoomRequest, signal: AbortSignalLike | undefined) {
    super(signal);
    this.request = request;
  }
}

export class WaitQueue<L extends AnyLease = Lease> {
  readonly #room: Room<L>;
  readonly #queue = new Set<RoomWaiter<L>>();
  readonly #drainers = new Set<Waiter<void>>();
  readonly counts: WaitCounts = { count: 0, totalMs: 0, longestMs: 0 };

  constructor(room: Room<L>) {
    this.#room = room;
  }

  /** Calls waiting for room now. */
  get length(): number {
    return this.#queue.size;
  }

  /** Bytes that they ask for. */
  get byteLength(): number {
    let sum = 0;
    for (const { request } of this.#queue) for (const byteLength of request.byteLengths) sum += byteLength;
    return sum;
  }

  /** How long the first in line has waited, in milliseconds; 0 if nobody waits. */
  get headMs(): number {
    for (const { since } of this.#queue) return performance.now() - since;
    return 0;
  }

  /** Callers waiting for anything, room or drain. A plain field: asked at each release that may have made room. */
  waiters = 0;

  /** As the room's own. */
  wake(): void {
    this.#room.wake();
  }

  waitForRoom(request: RoomRequest, signal: AbortSignalLike | undefined): Promise<L[]> {
    return this.#enter(this.#queue, new RoomWaiter(request, signal));
  }

  /** @param signal checked here. */
  waitUntilDrained(signal: AbortSignalLike | undefined): Promise<void> {
    const checked = checkSignal(signal);
    if (checked?.aborted) return Promise.reject(checked.reason);
    if (this.#room.liveLeases() <= 0) return Promise.resolve();
    return this.#enter(this.#drainers, new Waiter<void>(checked));
  }

  /** Serves from the front for as long as there is room. */
  serve(): void {
    for (const waiter of this.#queue) {
      // Its own listener may not have been called yet, if several wait with one signal.
      let leases: L[] | null;
      try {
        if (waiter.signal?.aborted) throw waiter.signal.reason;
        leases = this.#room.take(waiter.request);
      } catch (error) {
        this.#reject(this.#queue, waiter, error);
        continue;
      }
      if (leases === null) {
        const error = this.#room.cannotServe(waiter.request);
        if (error === undefined) break;
        this.#reject(this.#queue, waiter, error);
      } else {
        this.#resolve(waiter, leases);
      }
    }
    this.#serveDrainers();
  }

  /** The arena has ended. */
  close(reason: ArenaError): void {
    for (const waiter of this.#queue) this.#reject(this.#queue, waiter, reason);
    this.#serveDrainers();
  }

  #enter<T, W extends Waiter<T>>(queue: Set<W>, waiter: W): Promise<T> {
    queue.add(waiter);
    this.waiters++;
    try {
      waiter.listen(() => {
        this.#reject(queue, waiter, waiter.signal?.reason);
        // There may be room for the next one, which asked for less.
        this.#room.wake();
      });
      // The caller's code may have run since the signal was first asked.
      if (waiter.signal?.aborted) this.#reject(queue, waiter, waiter.signal.reason);
    } catch (error) {
      this.#reject(queue, waiter, error);
    }
    return waiter.promise;
  }

  #serveDrainers(): void {
    if (this.#drainers.size === 0 || this.#room.liveLeases() > 0) return;
    for (const waiter of this.#drainers) {
      this.#drainers.delete(waiter);
      this.waiters--;
      if (this.#leave(waiter)) waiter.resolve();
    }
  }

  #resolve(waiter: RoomWaiter<L>, leases: L[]): void {
    this.#queue.delete(waiter);
    this.waiters--;
    const waitedMs = performance.now() - waiter.since;
    this.counts.count++;
    this.counts.totalMs += waitedMs;
    this.counts.longestMs = Math.max(this.counts.longestMs, waitedMs);
    this.#room.waited(waiter.request, waiter.since, true);
    if (this.#leave(waiter)) waiter.resolve(leases);
    else for (const lease of leases) lease[Symbol.dispose]();
  }

  #reject<W extends { leave(): void; reject(reason: unknown): void }>(queue: Set<W>, waiter: W, reason: unknown): void {
    if (!queue.delete(waiter)) return;
    this.waiters--;
    if (waiter instanceof RoomWaiter) this.#room.waited(waiter.request, waiter.since, false);
    if (this.#leave(waiter)) waiter.reject(reason);
  }

  /** False if the signal's own code threw: the waiter then rejects with that. */
  #leave(waiter: { leave(): void; reject(reason: unknown): void }): boolean {
    try {
      waiter.leave();
      return true;
    } catch (error) {
      waiter.reject(error);
      return false;
    }
  }
}
