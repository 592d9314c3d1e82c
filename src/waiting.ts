/**
 * The queue of those who wait: for room, first come, first served, and for the moment
 * when no lease is out. Must not know where room comes from. It is served in a
 * microtask, after the release that made room: what a caller's promise or signal
 * runs never finds the arena in the middle of something.
 *
 * Q1  The head of the queue blocks the others, however little they want.
 * Q2  A waiter is out of the queue before any of its own code runs.
 */

import type { AbortSignalLike } from "./checks.js";
import type { ArenaError } from "./errors.js";
import type { AnyLease, Lease } from "./lease/lease.js";
import type { WaitCounts } from "./options.js";

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

/** A caller that waits, until `signal` gives up. */
interface Waiter<L> {
  /** `undefined` if it waits for the moment when no lease is out. */
  readonly request: RoomRequest | undefined;
  readonly signal: AbortSignalLike | undefined;
  readonly since: number;
  readonly resolve: (leases: L[]) => void;
  readonly reject: (reason: unknown) => void;
  readonly onAbort: () => void;
}

export class WaitQueue<L extends AnyLease = Lease> {
  readonly #room: Room<L>;
  readonly #queue = new Set<Waiter<L>>();
  readonly #drainers = new Set<Waiter<L>>();
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
    for (const { request } of this.#queue) for (const byteLength of request?.byteLengths ?? []) sum += byteLength;
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
    return this.#enter(request, signal);
  }

  async waitUntilDrained(signal: AbortSignalLike | undefined): Promise<void> {
    if (this.#room.liveLeases() > 0) await this.#enter(undefined, signal);
  }

  /** Serves from the front for as long as there is room. */
  serve(): void {
    for (const waiter of this.#queue) {
      const { signal, request } = waiter;
      if (request === undefined) continue;
      let leases: L[] | null;
      try {
        // Its own listener may not have been called yet, if several wait with one signal.
        if (signal?.aborted) throw signal.reason;
        leases = this.#room.take(request);
        if (leases === null) {
          const error = this.#room.cannotServe(request);
          if (error === undefined) break;
          throw error;
        }
      } catch (error) {
        this.#reject(waiter, error);
        continue;
      }
      this.#resolve(waiter, leases);
    }
    this.#serveDrainers();
  }

  /** The arena has ended. */
  close(reason: ArenaError): void {
    for (const waiter of this.#queue) this.#reject(waiter, reason);
    this.#serveDrainers();
  }

  #serveDrainers(): void {
    if (this.#drainers.size === 0 || this.#room.liveLeases() > 0) return;
    for (const waiter of this.#drainers) this.#resolve(waiter, []);
  }

  #enter(request: RoomRequest | undefined, signal: AbortSignalLike | undefined): Promise<L[]> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#reject(waiter, signal?.reason);
        // There may be room for the next one, which asked for less.
        this.#room.wake();
      };
      const waiter: Waiter<L> = { request, signal, since: performance.now(), resolve, reject, onAbort };
      this.#queueOf(waiter).add(waiter);
      this.waiters++;
      try {
        // Runs the signal's own code, which may abort at once.
        signal?.addEventListener("abort", onAbort, { once: true });
        if (signal?.aborted) this.#reject(waiter, signal.reason);
      } catch (error) {
        this.#reject(waiter, error);
      }
    });
  }

  #queueOf(waiter: Waiter<L>): Set<Waiter<L>> {
    return waiter.request === undefined ? this.#drainers : this.#queue;
  }

  #resolve(waiter: Waiter<L>, leases: L[]): void {
    if (waiter.request !== undefined) {
      const waitedMs = performance.now() - waiter.since;
      this.counts.count++;
      this.counts.totalMs += waitedMs;
      this.counts.longestMs = Math.max(this.counts.longestMs, waitedMs);
    }
    if (this.#leave(waiter, true)) waiter.resolve(leases);
    else for (const lease of leases) lease[Symbol.dispose]();
  }

  #reject(waiter: Waiter<L>, reason: unknown): void {
    if (this.#leave(waiter, false)) waiter.reject(reason);
  }

  /** Q2. False if it had left before, or its signal's own code threw: it then rejects with that. */
  #leave(waiter: Waiter<L>, isServed: boolean): boolean {
    const { request, signal, since, onAbort } = waiter;
    if (!this.#queueOf(waiter).delete(waiter)) return false;
    this.waiters--;
    if (request !== undefined) this.#room.waited(request, since, isServed);
    try {
      signal?.removeEventListener("abort", onAbort);
      return true;
    } catch (error) {
      waiter.reject(error);
      return false;
    }
  }
}
