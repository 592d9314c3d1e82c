/**
 * A linear memory of the arena: a segment, or a memory of one lease. Owns its buffer
 * and its revocation. Must not know what lies in it.
 */

import { Bytes, bufferByteLength, fillBytes } from "../builtins.js";
import { bufferOf, createMemory, dropMemory, growMemory, type Memory, PAGE_BYTES, revoke } from "./abi.js";
import { Account, type AccountTable, type MemoryOwner, type MemoryState, tie } from "./account.js";

const NO_BYTES = new Bytes(0);

export abstract class ArenaMemory implements MemoryOwner {
  /** `null` once the arena was disposed: leases that are kept must not keep it. */
  #memory: Memory | null;
  readonly account: Account;
  readonly table: AccountTable;
  buffer: ArrayBuffer;
  /** All of the memory. */
  #whole: Uint8Array<ArrayBuffer>;
  closed = false;
  /** Bytes from the start that may be other than zero: nobody was ever given a byte beyond. */
  usedBytes = 0;

  constructor(memory: Memory, kind: "segment" | "one-lease", pages: number, state: MemoryState, table: AccountTable) {
    this.#memory = memory;
    this.table = table;
    this.buffer = bufferOf(memory);
    this.#whole = new Bytes(this.buffer);
    this.account = new Account(kind, pages * PAGE_BYTES, state);
    table.open(this.account, this, this.buffer);
  }

  get memory(): Memory | undefined {
    return this.#memory ?? undefined;
  }

  get reservedBytes(): number {
    return this.account.reservedBytes;
  }

  view(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    try {
      return new Bytes(this.buffer, ptr, byteLength);
    } catch (error) {
      // Code that holds lease.memory can revoke it too; the bytes are where they were.
      if (!this.#renew()) throw error;
      return new Bytes(this.buffer, ptr, byteLength);
    }
  }

  /** Detaches every view ever made of this memory; its bytes stay. False if that cannot be done any more. */
  revoke(): boolean {
    if (this.#memory === null) return true;
    const isRevoked = revoke(this.#memory);
    this.#renew();
    return isRevoked;
  }

  /** Whether other code has grown the memory. */
  get isGrown(): boolean {
    return this.#memory !== null && bufferByteLength(bufferOf(this.#memory)) > this.account.reservedBytes;
  }

  get pages(): number {
    return this.account.reservedBytes / PAGE_BYTES;
  }

  /** Lengthens the memory to `pages`. What is new is zero. Only without leases. */
  lengthen(pages: number): boolean {
    const deltaPages = pages - this.pages;
    if (this.#memory === null || !growMemory(this.#memory, deltaPages)) return false;
    this.table.lengthen(this.account, deltaPages * PAGE_BYTES);
    this.#renew();
    return true;
  }

  /** Zeroes [from, to). */
  zero(from: number, to: number): void {
    if (from >= to) return;
    // Code that holds lease.memory can revoke it too.
    if (this.#whole.length === 0) this.#renew();
    fillBytes(this.#whole, 0, from, to);
  }

  /** Revoked as well, so that a stale view does not keep the memory from the system. */
  drop(): void {
    this.table.drop(this.account);
    this.revoke();
    this.table.revoked(this.account);
    if (this.#memory !== null) dropMemory(this.#memory);
  }

  close(): void {
    this.closed = true;
    // The account last: dispose goes through the accounts that are left.
    this.revoke();
    this.table.drop(this.account);
    if (this.#memory !== null) dropMemory(this.#memory);
    this.#memory = null;
    this.#whole = NO_BYTES;
    this.buffer = NO_BYTES.buffer;
  }

  #renew(): boolean {
    if (this.#memory === null) return false;
    const buffer = bufferOf(this.#memory);
    if (buffer === this.buffer) return false;
    this.#whole = new Bytes(buffer);
    // After: a stack overflow in between must not leave a view of the old one.
    this.buffer = buffer;
    tie(buffer, this);
    return true;
  }
}

/**
 * Makes a memory; `null` if the cap or the engine has no room. Where the engine
 * refuses, one idle memory is dropped for another try. The account that is opened
 * for it reserves its bytes.
 */
export function provideMemory({ budget }: AccountTable, pages: number, maxPages: number): Memory | null {
  if (!budget.makeRoom(pages * PAGE_BYTES)) return null;
  const memory = createMemory(pages, maxPages);
  if (memory !== null || !budget.dropColdest()) return memory;
  return createMemory(pages, maxPages);
}

/**
 * Where blocks start in each memory, modulo 4096, in multiples of 64. On Node 24 and
 * 26, copies of 4 KiB and more run 20 times slower where destination minus source is
 * 1 to 63 modulo 4096 (`rep movsb` in glibc's memmove). Memories that all began their
 * blocks alike would meet that with every small header.
 */
let colour = 0;

/** A start for the next memory: 64 to 4032. */
export function nextStagger(): number {
  colour = (colour + 1216) & 4032;
  return colour === 0 ? nextStagger() : colour;
}

/** Offset of the first byte that is not zero in [from, to), both multiples of 4; -1 if all are. */
export function firstDirty(memory: ArenaMemory, from: number, to: number): number {
  const bytes = memory.view(from, to - from);
  const words = new Int32Array(bytes.buffer, from, (to - from) >>> 2);
  const { length } = words;
  let at = 0;
  // Four at a time: with trace "all" this goes over whole segments.
  for (; at + 4 <= length; at += 4) {
    const pair = (words[at] as number) | (words[at + 1] as number);
    if ((pair | (words[at + 2] as number) | (words[at + 3] as number)) !== 0) break;
  }
  while (at < length && words[at] === 0) at++;
  if (at === length) return -1;
  for (at <<= 2; bytes[at] === 0; at++);
  return from + at;
}
