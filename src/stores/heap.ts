/**
 * Leases past the cap: a fresh buffer on the JavaScript heap, used once. Freshly
 * allocated, so it is zero; detached at release where the mode revokes at all, so a
 * stale view of it dies as early as any.
 */

import { Bytes, bufferByteLength, fillBytes } from "../builtins.js";
import { arenaDisposed } from "../errors.js";
import { Lease } from "../lease/lease.js";
import type { BlockOwner, LeaseOrigin, LinearMemory } from "../lease/owner.js";
import type { LeaseSource } from "../lease/source.js";
import { Account, type AccountTable, type MemoryOwner } from "../memory/account.js";
import { AnyLengthStore, type StoreHost } from "./store.js";

const { transfer } = ArrayBuffer.prototype as { transfer?: (this: ArrayBuffer, newByteLength: number) => ArrayBuffer };
const clone = globalThis.structuredClone;

class HeapBuffer implements BlockOwner, MemoryOwner {
  readonly origin: LeaseOrigin = "heap";
  readonly memory: LinearMemory | undefined = undefined;
  closed = false;
  readonly account: Account;
  readonly #buffer: ArrayBuffer;
  readonly #store: HeapStore;

  constructor(buffer: ArrayBuffer, account: Account, store: HeapStore) {
    this.#buffer = buffer;
    this.account = account;
    this.#store = store;
  }

  get source(): LeaseSource {
    return this.#store.host.source;
  }

  ended(): void {
    if (this.closed) throw arenaDisposed("release");
    this.account.live = this.account.liveBytes = 0;
    this.#store.end(this, this.#buffer);
  }

  blockBytes(): number {
    return bufferByteLength(this.#buffer);
  }

  view(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    return new Bytes(this.#buffer, ptr, byteLength);
  }

  close(): void {
    this.closed = true;
    // In every mode: the arena lets go of its memory.
    if (bufferByteLength(this.#buffer) > 0) detach(this.#buffer);
    this.#store.end(this, this.#buffer);
  }
}

export class HeapStore extends AnyLengthStore {
  readonly host: StoreHost;
  /** Leases handed out. */
  acquired = 0;
  readonly #table: AccountTable;
  readonly #revokes: boolean;

  constructor(table: AccountTable, host: StoreHost, revokes: boolean) {
    super();
    this.#table = table;
    this.host = host;
    this.#revokes = revokes;
  }

  /** Throws a `RangeError` where the heap has no room. */
  acquire(byteLength: number): Lease {
    const bytes = new Bytes(byteLength);
    const account = new Account("heap", 0, "retired");
    const owner = new HeapBuffer(bytes.buffer, account, this);
    this.#table.open(account, owner, bytes.buffer);
    this.acquired++;
    this.count(byteLength);
    const lease = new Lease(bytes, owner, 0, byteLength);
    account.live = 1;
    account.liveBytes = byteLength;
    return lease;
  }

  acquireUnzeroed(byteLength: number): Lease {
    return this.acquire(byteLength);
  }

  end(owner: HeapBuffer, buffer: ArrayBuffer): void {
    this.#table.drop(owner.account);
    // A view of length 0 is already all there is to see; and a holder may have transferred the buffer.
    if (bufferByteLength(buffer) > 0) {
      if (this.host.policy.wipes) fillBytes(new Bytes(buffer), 0);
      if (this.#revokes) detach(buffer);
    }
    // It may have been the last lease out: then a waiter learns that waiting is hopeless.
    this.host.roomMade();
  }
}

function detach(buffer: ArrayBuffer): void {
  try {
    if (transfer !== undefined) transfer.call(buffer, 0);
    else clone(buffer, { transfer: [buffer] });
  } catch {
    // Its holder marked it as untransferable: then it stays as a fresh array does.
  }
}
