/**
 * Memories that serve one lease at a time: every lease of `revoke: "on-release"`,
 * one in N of `guardEvery`, and leases longer than a segment in any mode.
 *
 * D1  The set holds a memory strongly only while it is idle. One that is leased
 *     is held by its lease alone, so a leaked one is collected.
 * D2  No view of an idle memory works, unless the mode is `"never"` and the lease
 *     was no guard. It is all zeros, but for what a caller vouched was never
 *     written, and for what lies behind a guard, where nobody had anything to
 *     write: that is wiped when the memory is next leased so far.
 */

import { Bytes, type Memory, PAGE_BYTES, revoke, wipeBytes } from "./abi.js";
import { arenaDisposed } from "./errors.js";
import { IdleStack } from "./idle.js";
import { type Aftermath, type BlockOwner, Lease, type LeaseOrigin } from "./lease.js";
import { Anchor, type Ledger, type MemoryOwner, Tally } from "./ledger.js";
import type { RevokeMode } from "./options.js";

/** Memories of one lease beyond which none is made for a guard: a Chromium process has 123 memories in all. */
const MAX_GUARDS = 32;

class DedicatedMemory implements BlockOwner, MemoryOwner {
  readonly memory: Memory;
  readonly tally: Tally;
  readonly anchor = new Anchor();
  readonly #set: DedicatedMemories;
  origin: LeaseOrigin = "arena";
  closed = false;
  /** Bytes from the start that are known to be zero. */
  #wiped: number;

  constructor(memory: Memory, tally: Tally, set: DedicatedMemories) {
    this.memory = memory;
    this.tally = tally;
    this.#set = set;
    this.#wiped = tally.reservedBytes;
  }

  lease(byteLength: number, origin: LeaseOrigin): Lease {
    this.origin = origin;
    this.tally.state = "active";
    const { buffer } = this.memory;
    if (this.#set.ledger.tracesAll) this.#inspect();
    const end = this.#endOf(byteLength);
    if (this.#wiped < end) wipeBytes(new Bytes(buffer, this.#wiped, end - this.#wiped), 0);
    const bytes = new Bytes(buffer, 0, byteLength);
    const { ledger } = this.#set;
    ledger.took(this.tally, byteLength, ledger.rowOf(byteLength));
    const lease = new Lease(bytes, this, 0, byteLength);
    // As if watched, so that at release the engine need not expect this owner where all others are segments.
    return origin === "guard" ? Lease.watch(lease, (owner) => owner) : lease;
  }

  release(_ptr: number, byteLength: number, written: number): Aftermath | undefined {
    if (this.closed) throw arenaDisposed("release");
    // Revoked first: what is wiped after that, no view can write to.
    const isRevoked = this.#set.mode !== "never" || this.origin === "guard" ? this.revoke() : true;
    this.#wiped = Math.min(written >>> 0, this.#endOf(byteLength));
    wipeBytes(new Bytes(this.memory.buffer, 0, this.#wiped), 0);
    this.#set.ledger.gaveBack(this.tally, byteLength);
    if (isRevoked) this.#set.takeBack(this);
    else this.#set.drop(this);
    return this.#set.ledger.afterRelease;
  }

  /**
   * How far this memory must be zero for a lease of `byteLength` bytes: to its end. But
   * where other leases lie in segments, whose `.buffer` shows more than the lease, a
   * guard need be no better: to wipe 64 KiB for each would be most of what it costs.
   */
  #endOf(byteLength: number): number {
    return this.origin === "guard" && this.#set.mode !== "on-release" ? byteLength : this.tally.reservedBytes;
  }

  /** Looks for what was written where all was wiped: by a read still under way, or in `"never"` mode by a stale view. */
  #inspect(): void {
    const { buffer } = this.memory;
    const words = new Uint32Array(buffer, 0, this.#wiped >>> 2);
    const { length } = words;
    let at = 0;
    while (at < length && words[at] === 0) at++;
    if (at === length) return;
    this.#wiped = 0;
    this.#set.ledger.onDirty?.(
      this.tally,
      new Bytes(buffer).findIndex((byte) => byte !== 0),
    );
  }

  revoke(): boolean {
    this.#set.ledger.revoked(this.tally);
    return revoke(this.memory);
  }

  close(): void {
    this.closed = true;
    this.revoke();
  }
}

export class DedicatedMemories {
  readonly ledger: Ledger;
  readonly mode: RevokeMode;
  /** By length in pages. */
  readonly #idle = new Map<number, IdleStack<DedicatedMemory>>();

  constructor(ledger: Ledger, mode: RevokeMode) {
    this.ledger = ledger;
    this.mode = mode;
  }

  /** A lease with a memory of its own, or `null` if cap or engine have no room. */
  acquire(byteLength: number, origin: LeaseOrigin): Lease | null {
    const pages = pagesFor(byteLength);
    this.ledger.turnOver(pages * PAGE_BYTES);
    const mayCreate = origin !== "guard" || this.ledger.dedicated < MAX_GUARDS;
    const memory = this.#idle.get(pages)?.pop() ?? (mayCreate ? this.#create(pages * PAGE_BYTES, origin) : null);
    return memory === null ? null : memory.lease(byteLength, origin);
  }

  /** Bytes of linear memory that a lease of `byteLength` would take. */
  reservedFor(byteLength: number): number {
    return pagesFor(byteLength) * PAGE_BYTES;
  }

  takeBack(memory: DedicatedMemory): void {
    const pages = memory.tally.reservedBytes / PAGE_BYTES;
    let idle = this.#idle.get(pages);
    if (idle === undefined) {
      idle = new IdleStack((dropped) => this.ledger.drop(dropped.tally));
      this.#idle.set(pages, idle);
    }
    memory.tally.state = "drained";
    idle.push(memory);
  }

  /** For a memory that cannot be revoked, and so not be used again. */
  drop({ tally }: DedicatedMemory): void {
    this.ledger.drop(tally);
  }

  dropColdest(): boolean {
    for (const idle of this.#idle.values()) {
      if (idle.dropColdest()) return true;
    }
    return false;
  }

  trim(): void {
    while (this.dropColdest());
  }

  shrink(): void {
    for (const idle of this.#idle.values()) idle.shrink();
  }

  clear(): void {
    this.#idle.clear();
  }

  #create(reservedBytes: number, origin: LeaseOrigin): DedicatedMemory | null {
    // A guard is a luxury: nothing idle is given up for it.
    const memory = this.ledger.provide(reservedBytes, origin !== "guard");
    if (memory === null) return null;
    const tally = new Tally("dedicated", reservedBytes);
    const dedicated = new DedicatedMemory(memory, tally, this);
    this.ledger.open(tally, dedicated);
    return dedicated;
  }
}

/** Whole pages, four lengths to each doubling, so that lengths close to each other share memories. */
function pagesFor(byteLength: number): number {
  const pages = Math.max(1, Math.ceil(byteLength / PAGE_BYTES));
  if (pages <= 4) return pages;
  const step = 2 ** (29 - Math.clz32(pages - 1));
  return Math.ceil(pages / step) * step;
}
