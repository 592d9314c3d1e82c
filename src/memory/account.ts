/**
 * What the arena remembers of its memories. Owns the accounts, one for each memory
 * that is not gone, and the word from the garbage collector when a memory that the
 * arena did not hold was collected.
 *
 *             no slab left              last lease released            room needed: revoke
 *   ACTIVE ───────────────────▶ RETIRED ─────────────────────▶ DRAINED ─────────────▶ ACTIVE
 *     ▲  └─ none live: revoke, start over       │                 │ trim, or idle for long
 *   new, under the cap                          │ unreachable     ▼
 *                                               ▼              DROPPED
 *                                           COLLECTED
 *
 * The arena holds a memory strongly only while it is ACTIVE or DRAINED. A RETIRED
 * one is held by its leases and views alone, so leaked leases are collected like
 * any fresh buffer. A memory of one lease is RETIRED while it is leased and DRAINED
 * while it is idle.
 *
 * M3  An account is in the table from the making of its memory until that memory
 *     is dropped or collected.
 * M4  A buffer keeps its owner alive (`OwnedBuffer`): a memory is collected, and its
 *     leaks reported, only when its leases and all views of it are unreachable.
 */

import { Link } from "../link.js";
import type { ArenaTimeline } from "../options.js";
import type { Book } from "./abi.js";
import type { Budget } from "./budget.js";

export type MemoryKind = "segment" | "one-lease" | "heap";
export type MemoryState = "active" | "retired" | "drained" | "dropped" | "collected";

const TRANSITIONS: Record<MemoryState, readonly MemoryState[]> = {
  // "collected" from "active" and "drained": a `vm` timeout can lose the arena's only reference half way.
  active: ["active", "retired", "drained", "dropped", "collected"],
  retired: ["active", "drained", "dropped", "collected"],
  drained: ["active", "retired", "dropped", "collected"],
  dropped: [],
  collected: [],
};

/** The only writer of `account.state`. */
export function transition(account: Account, to: MemoryState): void {
  if (!TRANSITIONS[account.state].includes(to)) {
    throw new Error(`cleanslab: a ${account.kind} cannot go from ${account.state} to ${to}; please report this`);
  }
  account.state = to;
  account.tell();
}

/** The arena's view of a memory's owner. */
export interface MemoryOwner {
  /** Revokes every view, and refuses everything from now on. */
  close(): void;
}

/** A constructor that returns the object it is given. */
const Same = function (this: unknown, object: object) {
  return object;
} as unknown as new (
  object: object,
) => object;

/**
 * M4. Gives a buffer a private field that nobody else can see or remove. It does what
 * a `WeakMap` from buffers to owners would, and takes a tenth of its time at each revocation.
 */
class OwnedBuffer extends Same {
  #owner: MemoryOwner;

  constructor(buffer: ArrayBuffer, owner: MemoryOwner) {
    super(buffer);
    this.#owner = owner;
  }

  static isOwned(buffer: ArrayBuffer): boolean {
    return #owner in buffer;
  }
}

/** For a memory's new buffer: from now on it keeps `owner` alive. */
export function tie(buffer: ArrayBuffer, owner: MemoryOwner): void {
  // An object takes a private field only once.
  if (!OwnedBuffer.isOwned(buffer)) new OwnedBuffer(buffer, owner);
}

/** One memory: enough to report a leak after the memory is gone. */
export class Account {
  readonly kind: MemoryKind;
  reservedBytes: number;
  state: MemoryState;
  /** Leases out. Counted up after a lease was made, and down after it has ended. */
  live = 0;
  /** Bytes in these leases. */
  liveBytes = 0;
  /** Leases of these that were released, and whose blocks pins keep. */
  pinned = 0;
  /** Reachable from the memory's owner alone. */
  handle: WeakRef<Link<MemoryOwner>> | undefined;
  timeline: ArenaTimeline | undefined;
  /** Of a segment: where the book knows it. */
  entry: { readonly book: Book; readonly number: number } | undefined;

  constructor(kind: MemoryKind, reservedBytes: number, state: MemoryState) {
    this.kind = kind;
    this.reservedBytes = reservedBytes;
    this.state = state;
  }

  /** Its state, to the time line if there is one. */
  tell(): void {
    if (this.timeline === undefined) return;
    const { kind, state: to, reservedBytes, live: liveLeases, liveBytes } = this;
    this.timeline.moved(this, { kind, to, reservedBytes, liveLeases, liveBytes });
  }

  /** The memory's owner, while anyone can reach it. */
  get owner(): MemoryOwner | undefined {
    return this.handle?.deref()?.target;
  }
}

/** Told of what happens to memories. Runs none of the caller's code. */
export interface MemoryListener {
  /** The garbage collector took a memory. `account.live` leases in it were never released. */
  collected(account: Account): void;
  /** Every view of a memory was detached. */
  revoked(account: Account): void;
}

/**
 * One for all arenas, and never collected: on Node 20 to 24, a registry that is
 * collected with callbacks due stops the callbacks of every registry in the process.
 */
const registry = new FinalizationRegistry<{ account: Account; table: WeakRef<Link<AccountTable>> }>(
  ({ account, table }) => table.deref()?.target?.collected(account),
);

export class AccountTable {
  readonly budget: Budget;
  readonly accounts = new Set<Account>();
  revocations = 0;
  leakedLeases = 0;
  leakedBytes = 0;
  /** Memories, and buffers on the heap. */
  memoriesMade = 0;
  readonly #listener: MemoryListener;
  readonly #timeline: ArenaTimeline | undefined;
  readonly #link = new Link<AccountTable>(this);
  readonly #handles = new WeakMap<MemoryOwner, Link<MemoryOwner>>();

  constructor(budget: Budget, listener: MemoryListener, timeline?: ArenaTimeline) {
    this.budget = budget;
    this.#listener = listener;
    this.#timeline = timeline;
  }

  /** Remembers `owner` without holding it. */
  open(account: Account, owner: MemoryOwner, buffer: ArrayBuffer): void {
    const handle = new Link(owner);
    this.#handles.set(owner, handle);
    account.handle = handle.weak;
    registry.register(handle, { account, table: this.#link.weak }, account);
    tie(buffer, owner);
    // Nothing may come between these two: M1.
    this.accounts.add(account);
    this.budget.reservedBytes += account.reservedBytes;
    this.budget.noticePeak();
    this.memoriesMade++;
    account.timeline = this.#timeline;
    account.tell();
  }

  /** The memory was lengthened by `byteLength` bytes. */
  lengthen(account: Account, byteLength: number): void {
    account.reservedBytes += byteLength;
    this.budget.reservedBytes += byteLength;
    this.budget.noticePeak();
  }

  revoked(account: Account): void {
    this.revocations++;
    this.#listener.revoked(account);
    this.#timeline?.revoked(account);
  }

  /** The arena itself let go of the memory; leases still in it have ended. */
  drop(account: Account): void {
    if (!this.accounts.delete(account)) return;
    this.budget.reservedBytes -= account.reservedBytes;
    transition(account, "dropped");
    const handle = account.handle?.deref();
    if (handle !== undefined) handle.target = undefined;
    registry.unregister(account);
    leaveBook(account);
    account.live = account.liveBytes = account.pinned = 0;
  }

  /** The arena was disposed: nothing here keeps it. */
  close(): void {
    this.#link.target = undefined;
  }

  /** The garbage collector took the memory. */
  collected(account: Account): void {
    if (!this.accounts.delete(account)) return;
    this.budget.reservedBytes -= account.reservedBytes;
    transition(account, "collected");
    leaveBook(account);
    this.leakedLeases += Math.max(0, account.live);
    this.leakedBytes += Math.max(0, account.liveBytes);
    this.#listener.collected(account);
  }
}

function leaveBook(account: Account): void {
  account.entry?.book.exports.dropSegment(account.entry.number);
  account.entry = undefined;
}
