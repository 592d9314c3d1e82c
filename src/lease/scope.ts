/**
 * Leases that end together. Owns the list, nothing else.
 */

import { ArenaError, throwAll } from "../errors.js";
import type { AnyLease, Lease } from "./lease.js";

/** Where a scope's leases come from. */
export interface ScopeSource<L> {
  acquire(byteLength: number): L;
  acquireAsync(byteLengths: readonly number[], options?: object): Promise<L[]>;
}

/** Leases released together, last acquired first. Made by `arena.scope()`. */
export class Scope<L extends AnyLease = Lease> {
  readonly #source: ScopeSource<L>;
  #leases: L[] | null = [];
  /** How many there may be before those released early are let go of. */
  #most = 64;

  /** @internal */
  constructor(source: ScopeSource<L>) {
    this.#source = source;
  }

  /**
   * A lease that ends with the scope, or earlier by its own `release()`.
   *
   * @param byteLength bytes, as for `arena.acquire`.
   * @throws ArenaError as `arena.acquire` does, and `ERR_LEASE_RELEASED` once the scope has ended.
   */
  acquire(byteLength: number): L {
    if (this.#leases === null) throw scopeEnded();
    const lease = this.#source.acquire(byteLength);
    // Acquiring may have run hooks of `async_hooks`, which ended the scope.
    if (this.#leases === null) {
      lease[Symbol.dispose]();
      throw scopeEnded();
    }
    this.#add(lease);
    return lease;
  }

  /**
   * Several leases at once or none, as `arena.acquireAsync` gives them; they end with the scope.
   *
   * @returns a promise that rejects as `arena.acquireAsync`, and with `ERR_LEASE_RELEASED`
   *   if the scope has ended meanwhile: nothing is leased then.
   */
  async acquireAsync(byteLengths: readonly number[], options?: object): Promise<L[]> {
    if (this.#leases === null) throw scopeEnded();
    const leases = await this.#source.acquireAsync(byteLengths, options);
    if (this.#leases === null) {
      for (const lease of leases) lease[Symbol.dispose]();
      throw scopeEnded();
    }
    for (const lease of leases) this.#add(lease);
    return leases;
  }

  /**
   * `byteLength` zeroed bytes, yours until the scope ends.
   *
   * @throws ArenaError as `acquire` does.
   */
  bytes(byteLength: number): L["bytes"] {
    return this.acquire(byteLength).bytes;
  }

  /**
   * Releases every lease not yet released, and ends the scope. Goes through all
   * of them even if one cannot be released, then throws its error; an
   * `AggregateError` if there are several.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` on a second call; as `lease.release` does.
   */
  release(): void {
    if (this.#leases === null) throw scopeEnded();
    const leases = this.#leases;
    this.#leases = null;
    const errors: unknown[] = [];
    for (let each = leases.length - 1; each >= 0; each--) {
      try {
        leases[each]?.[Symbol.dispose]();
      } catch (error) {
        errors.push(error);
      }
    }
    throwAll(errors, "several leases of the scope could not be released");
  }

  /** Releases unless already released. */
  [Symbol.dispose](): void {
    if (this.#leases !== null) this.release();
  }

  #add(lease: L): void {
    if (this.#leases === null) return;
    this.#leases.push(lease);
    if (this.#leases.length < this.#most) return;
    this.#leases = this.#leases.filter((each) => !each.released);
    this.#most = Math.max(64, 2 * this.#leases.length);
  }
}

function scopeEnded(): ArenaError {
  return new ArenaError("ERR_LEASE_RELEASED", "this scope has ended and its leases with it; open a new one");
}
