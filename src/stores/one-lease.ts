/**
 * Memories that serve one lease at a time: leases too long for a segment, every
 * lease of `revoke: "on-release"`, and guards. Owns the idle ones, the choice among
 * them, and their zeroing.
 *
 * O1  No view of an idle memory works, unless the store does not revoke.
 * O2  In an idle memory, bytes from usedBytes on are zero. A lease is zeroed up to
 *     there when it is handed out, or, where the store wipes, all of it at release.
 */

import { arenaDisposed } from "../errors.js";
import { Lease } from "../lease/lease.js";
import type { BlockOwner, LeaseOrigin } from "../lease/owner.js";
import type { LeaseSource } from "../lease/source.js";
import { type Memory, PAGE_BYTES } from "../memory/abi.js";
import { type AccountTable, transition } from "../memory/account.js";
import { ArenaMemory, firstDirty, nextStagger, provideMemory } from "../memory/arena-memory.js";
import { IdleStack } from "../memory/idle.js";
import { AnyLengthStore, type StoreHost } from "./store.js";

/** Pages of a 32-bit memory, at most. */
const MOST_PAGES = 65536;

export interface OneLeaseOptions {
  readonly origin: LeaseOrigin;
  /** Whether a release revokes. Not in `"never"`. */
  readonly revokes: boolean;
  /** Zero the whole memory at release, and start leases at offset 0: `"on-release"`, where nobody may see a neighbour. */
  readonly isolates: boolean;
  /** Memories beyond which none is made: guards everywhere, long leases where memories are few. */
  readonly most: number;
  /** Whether idle memories of other leases may be dropped for a new one. */
  readonly mayDrop: boolean;
}

/** A memory that serves one lease at a time. */
export class OneLeaseMemory extends ArenaMemory implements BlockOwner {
  readonly #stagger: number;
  readonly #store: OneLeaseStore;
  idleSince = 0;
  /** Under which policy the idle memory was wiped whole. */
  cleanEpoch = -1;

  constructor(memory: Memory, pages: number, stagger: number, table: AccountTable, store: OneLeaseStore) {
    super(memory, "one-lease", pages, "retired", table);
    this.#stagger = stagger;
    this.#store = store;
  }

  get origin(): LeaseOrigin {
    return this.#store.options.origin;
  }

  get source(): LeaseSource {
    return this.#store.host.source;
  }

  ended(_ptr: number, byteLength: number): void {
    this.account.liveBytes -= byteLength;
    this.account.live--;
    this.#store.takeBack(this);
  }

  blockBytes(ptr: number): number {
    return this.reservedBytes - ptr;
  }

  reaches(end: number): void {
    if (end > this.usedBytes) this.usedBytes = end;
  }

  /** Where a lease of `byteLength` bytes begins: at the memory's stagger if it fits behind it. */
  startFor(byteLength: number): number {
    return this.#stagger + byteLength <= this.reservedBytes ? this.#stagger : 0;
  }
}

export class OneLeaseStore extends AnyLengthStore {
  readonly options: OneLeaseOptions;
  readonly host: StoreHost;
  readonly #table: AccountTable;
  readonly #maxPages: number;
  readonly #idle: IdleStack<OneLeaseMemory>;

  constructor(table: AccountTable, host: StoreHost, options: OneLeaseOptions) {
    super();
    this.#table = table;
    this.host = host;
    this.options = options;
    this.#idle = new IdleStack(table.budget);
    this.#maxPages = Math.min(MOST_PAGES, Math.floor(table.budget.maxBytes / PAGE_BYTES));
  }

  acquire(byteLength: number): Lease | null {
    const memory = this.#take(byteLength);
    if (memory === null) return null;
    const ptr = memory.startFor(byteLength);
    memory.zero(ptr, Math.min(ptr + byteLength, memory.usedBytes));
    return this.#lease(memory, byteLength);
  }

  acquireUnzeroed(byteLength: number): Lease | null {
    const memory = this.#take(byteLength);
    return memory === null ? null : this.#lease(memory, byteLength);
  }

  takeBack(memory: OneLeaseMemory): void {
    if (memory.closed) throw arenaDisposed("release");
    const { revokes, isolates } = this.options;
    const { policy } = this.host;
    // One that cannot be revoked is charged until it is collected: other code may still write to it.
    if (!revokes || memory.revoke()) {
      if (isolates || policy.wipes) {
        // Whole, where nobody may see what another lease left: its holder may have written past its end.
        memory.zero(0, isolates ? memory.reservedBytes : memory.usedBytes);
        // Without a revocation, other code may write here yet.
        if (revokes) memory.usedBytes = 0;
        memory.cleanEpoch = policy.stamp;
      }
      transition(memory.account, "drained");
      if (memory.isGrown) memory.drop();
      else this.#idle.push(memory);
    }
    // Notices come last.
    if (revokes) this.#table.revoked(memory.account);
    this.host.roomMade();
  }

  override bytesFor(byteLengths: readonly number[]): number {
    return byteLengths.reduce((sum, byteLength) => sum + this.pagesFor(byteLength) * PAGE_BYTES, 0);
  }

  override trim(): void {
    this.#idle.trim();
  }

  override dispose(): void {
    this.#idle.clear();
  }

  /** Pages of the memory that a lease of `byteLength` bytes gets, when it gets a new one. */
  pagesFor(byteLength: number): number {
    const pages = Math.max(1, Math.ceil(byteLength / PAGE_BYTES));
    if (this.options.isolates || pages * PAGE_BYTES - byteLength >= 4096) return pages;
    // A further page for the stagger only where as many leases fit under the cap with it.
    const fit = Math.floor(this.#maxPages / pages);
    return Math.floor(this.#maxPages / (pages + 1)) === fit ? pages + 1 : pages;
  }

  #lease(memory: OneLeaseMemory, byteLength: number): Lease {
    const ptr = memory.startFor(byteLength);
    const bytes = memory.view(ptr, byteLength);
    memory.reaches(ptr + byteLength);
    this.count(byteLength);
    const lease = new Lease(bytes, memory, ptr, byteLength);
    memory.account.live = 1;
    memory.account.liveBytes = byteLength;
    return lease;
  }

  /** An idle memory that fits, a shorter one lengthened, or a new one; `null` if there is no room. */
  #take(wanted: number): OneLeaseMemory | null {
    const pages = this.pagesFor(wanted);
    this.#table.budget.turnOver(pages * PAGE_BYTES);
    const byteLength = pages * PAGE_BYTES;
    // Up to twice the need: a short lease in a long memory would keep long ones out.
    const fitting = this.#idle.takeShortest(byteLength, 2 * byteLength) ?? this.#lengthened(pages);
    if (fitting !== null) return this.#reuse(fitting);
    const created = this.#create(pages);
    if (created !== null) return created;
    const any = this.#idle.takeShortest(byteLength, Number.POSITIVE_INFINITY);
    return any === undefined ? null : this.#reuse(any);
  }

  #reuse(memory: OneLeaseMemory): OneLeaseMemory {
    transition(memory.account, "retired");
    if (this.host.policy.looksForDirty) this.#lookForDirty(memory);
    return memory;
  }

  /** The longest idle memory below `pages` pages, lengthened. It is warm, and one memory fewer. */
  #lengthened(pages: number): OneLeaseMemory | null {
    if (this.options.isolates || !this.options.mayDrop) return null;
    const memory = this.#idle.takeLongest(pages * PAGE_BYTES);
    if (memory === undefined) return null;
    if (this.#table.budget.makeRoom((pages - memory.pages) * PAGE_BYTES) && memory.lengthen(pages)) return memory;
    this.#idle.push(memory);
    return null;
  }

  #create(pages: number): OneLeaseMemory | null {
    const { budget } = this.#table;
    if (this.#memories() >= this.options.most) return null;
    if (!this.options.mayDrop && budget.reservedBytes + pages * PAGE_BYTES > budget.maxBytes) return null;
    const memory = provideMemory(this.#table, pages, this.options.isolates ? pages : this.#maxPages);
    if (memory === null) return null;
    return new OneLeaseMemory(memory, pages, this.options.isolates ? 0 : nextStagger(), this.#table, this);
  }

  /** Memories of one lease there are, of any store, idle ones included. */
  #memories(): number {
    if (this.options.most === Number.POSITIVE_INFINITY) return 0;
    let count = 0;
    for (const { kind } of this.#table.accounts) if (kind === "one-lease") count++;
    return count;
  }

  #lookForDirty(memory: OneLeaseMemory): void {
    if (memory.cleanEpoch !== this.host.policy.epoch) return;
    const at = firstDirty(memory, 0, memory.reservedBytes);
    if (at < 0) return;
    memory.usedBytes = memory.reservedBytes;
    this.host.dirty(memory.account, at);
  }
}
