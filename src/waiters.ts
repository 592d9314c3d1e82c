/**
 * Who waits for room: first come, first served. Owns the queue, knows nothing of
 * where room comes from.
 */

import type { Lease } from "./lease.js";

/** What is used of an `AbortSignal`. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

interface Waiter {
  readonly byteLength: number;
  resolve(lease: Lease): void;
  reject(reason: unknown): void;
}

export class Waiters {
  readonly #queue = new Set<Waiter>();
  readonly #onChange: (waiting: number) => void;

  constructor(onChange: (waiting: number) => void) {
    this.#onChange = onChange;
  }

  get length(): number {
    return this.#queue.size;
  }

  wait(byteLength: number, signal: AbortSignalLike | undefined): Promise<Lease> {
    return new Promise<Lease>((resolve, reject) => {
      const leave = (): void => {
        this.#queue.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
        this.#onChange(this.#queue.size);
      };
      const waiter: Waiter = {
        byteLength,
        resolve: (lease) => {
          leave();
          resolve(lease);
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      const onAbort = (): void => waiter.reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#queue.add(waiter);
      this.#onChange(this.#queue.size);
    });
  }

  /** Serves from the front for as long as `acquire` has room for whoever stands there. */
  serve(acquire: (byteLength: number) => Lease | null): void {
    for (const waiter of this.#queue) {
      const lease = acquire(waiter.byteLength);
      if (lease === null) return;
      waiter.resolve(lease);
    }
  }

  rejectAll(reason: unknown): void {
    for (const waiter of this.#queue) waiter.reject(reason);
  }
}
