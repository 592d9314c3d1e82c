/**
 * Who waits for room: first come, first served. Owns the queue, knows nothing of
 * where room comes from.
 */

import { invalidArgument } from "./errors.js";
import type { Lease } from "./lease.js";

/** What is used of an `AbortSignal`. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `signal` is given and is none. */
export function checkSignal(signal: AbortSignalLike | null | undefined): AbortSignalLike | undefined {
  if (signal === undefined || signal === null) return undefined;
  const { aborted, addEventListener, removeEventListener } = signal;
  if (
    typeof aborted === "boolean" &&
    typeof addEventListener === "function" &&
    typeof removeEventListener === "function"
  ) {
    return signal;
  }
  throw invalidArgument("signal", signal, "an AbortSignal");
}

export interface Wish {
  readonly byteLength: number;
  /** Who asked, if that is traced. */
  readonly callSite: string | undefined;
}

interface Waiter {
  readonly wish: Wish;
  readonly signal: AbortSignalLike | undefined;
  resolve(lease: Lease): void;
  reject(reason: unknown): void;
}

export class Waiters {
  readonly #queue = new Set<Waiter>();
  readonly #onChange: (waiting: number) => void;
  /** How often `serve` was called since the call under way looked at the queue; 0 if none is. */
  #calls = 0;
  /** Set by the arena: a lease if there is room now, else `null`. */
  acquire: (wish: Wish) => Lease | null = () => null;
  /** Set by the arena: why nobody can ever make room, if that is so; asked when there is none. */
  hopeless: (wish: Wish) => Error | undefined = () => undefined;

  constructor(onChange: (waiting: number) => void) {
    this.#onChange = onChange;
  }

  get length(): number {
    return this.#queue.size;
  }

  /** Serving, most often in the middle of somebody's release. */
  get isServing(): boolean {
    return this.#calls > 0;
  }

  wait(wish: Wish, signal: AbortSignalLike | undefined): Promise<Lease> {
    return new Promise<Lease>((resolve, reject) => {
      const leave = (): void => {
        this.#queue.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
        this.#onChange(this.#queue.size);
      };
      const waiter: Waiter = {
        wish,
        signal,
        resolve: (lease) => {
          leave();
          resolve(lease);
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      const onAbort = (): void => {
        waiter.reject(signal?.reason);
        // There may be room for the next one, who asked for less.
        this.serve();
      };
      // In the queue before a signal's own code runs, which may end the arena or abort at once.
      this.#queue.add(waiter);
      this.#onChange(this.#queue.size);
      try {
        signal?.addEventListener("abort", onAbort, { once: true });
      } catch (error) {
        waiter.reject(error);
      }
    });
  }

  /** Serves from the front for as long as there is room for whoever stands there. */
  serve(): void {
    // Looking for room may make room: a damaged segment goes. So may a signal's own code.
    if (this.#calls++ > 0) return;
    try {
      do {
        this.#calls = 1;
        this.#serveFront();
      } while (this.#calls > 1);
    } finally {
      this.#calls = 0;
    }
  }

  #serveFront(): void {
    for (const waiter of this.#queue) {
      // Its own listener may not have been called yet, if several wait with one signal.
      if (waiter.signal?.aborted) {
        waiter.reject(waiter.signal.reason);
        continue;
      }
      // An error is the waiter's: whoever made room is in the middle of a release.
      try {
        const lease = this.acquire(waiter.wish);
        if (lease !== null) {
          waiter.resolve(lease);
          continue;
        }
        const error = this.hopeless(waiter.wish);
        if (error === undefined) return;
        waiter.reject(error);
      } catch (error) {
        waiter.reject(error);
      }
    }
  }

  rejectAll(reason: unknown): void {
    for (const waiter of this.#queue) waiter.reject(reason);
  }
}
