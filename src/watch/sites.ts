/** Leases added up by the call site that acquired them. */

/** Leases of one call site. */
export interface TraceSite {
  /** How many. */
  readonly leases: number;
  /** Bytes in them together. */
  readonly byteLength: number;
  /** The stack of their `acquire`, from the caller's frame on. */
  readonly stack: string;
}

export class Sites {
  readonly #byStack = new Map<string, { leases: number; byteLength: number; stack: string }>();

  add(stack: string, leases: number, byteLength: number): void {
    const site = this.#byStack.get(stack) ?? { leases: 0, byteLength: 0, stack };
    site.leases += leases;
    site.byteLength += byteLength;
    this.#byStack.set(stack, site);
  }

  /** Most bytes first. */
  list(): TraceSite[] {
    return [...this.#byStack.values()].sort((a, b) => b.byteLength - a.byteLength || b.leases - a.leases);
  }
}
