/**
 * Stand-ins for what a part is given: an owner for a lease, a table of memories, a host
 * for a store. They show what they were asked, and can be made to fail in the middle.
 */

import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { Lease } from "../../src/lease/lease.ts";
import type { BlockOwner, LeaseOrigin, LinearMemory } from "../../src/lease/owner.ts";
import type { LeaseSource } from "../../src/lease/source.ts";
import { type Book, type Memory, resolveModule } from "../../src/memory/abi.ts";
import { type Account, AccountTable } from "../../src/memory/account.ts";
import { Budget } from "../../src/memory/budget.ts";
import { type Store, type StoreHost, WipePolicy } from "../../src/stores/store.ts";
import { SEGMENT_BYTES } from "../helpers.ts";

const zero = (bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void => void bytes.fill(0, start, end);

/** The owner of blocks of 1024 bytes in one buffer. */
export class FakeOwner implements BlockOwner {
  readonly origin: LeaseOrigin = "arena";
  readonly memory: LinearMemory | undefined = undefined;
  readonly account = { liveBytes: 0, pinned: 0 };
  /** Leases that ended, as `[ptr, byteLength]`. */
  readonly ends: [number, number][] = [];
  trapLooks = 0;
  /** What `ended` throws. */
  error: Error | undefined;
  /** Where a lease that moves goes. */
  target: FakeOwner | undefined;

  constructor(readonly buffer = new ArrayBuffer(16384)) {}

  get closed(): boolean {
    return false;
  }

  get source(): LeaseSource {
    return {
      acquireUnzeroed: (byteLength: number): Lease => {
        if (this.target === undefined) throw new Error("no room");
        return this.target.lease(byteLength, 2048);
      },
      zero,
    };
  }

  ended(ptr: number, byteLength: number): void {
    this.ends.push([ptr, byteLength]);
    if (this.error !== undefined) throw this.error;
  }

  blockBytes(): number {
    return 1024;
  }

  view(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer, ptr, byteLength);
  }

  reaches(_end: number): void {}

  inspectTrap(): void {
    this.trapLooks++;
  }

  lease(byteLength: number, ptr = 0): Lease {
    return new Lease(this.view(ptr, byteLength), this, ptr, byteLength);
  }
}

/** A table under a cap of `segments` of the shortest segments. */
export function openTable(segments = 4) {
  const heard = { collected: [] as Account[], revoked: [] as Account[] };
  const table = new AccountTable(new Budget(segments * SEGMENT_BYTES), {
    collected: (account) => heard.collected.push(account),
    revoked: (account) => heard.revoked.push(account),
  });
  return { table, heard };
}

/** The host of a store, which the store to serve from is told afterwards. */
class FakeHost implements StoreHost {
  readonly policy: WipePolicy;
  readonly strayAt: number[] = [];
  store: Store | undefined;

  constructor(wipes = false) {
    this.policy = new WipePolicy(wipes);
  }

  get source(): LeaseSource {
    return {
      acquireUnzeroed: (byteLength) => present(this.store?.acquireUnzeroed(byteLength)),
      zero,
    };
  }

  roomMade(): void {}

  held(): void {}

  dirty(): void {}

  strayWrite(_account: Account, byteOffset: number): void {
    this.strayAt.push(byteOffset);
  }
}

/** A store under a cap of `segments` of the shortest segments, with its table and its host. */
export function openStore<S extends Store>(
  make: (table: AccountTable, host: StoreHost) => S,
  { segments = 4, wipes = false } = {},
) {
  const opened = openTable(segments);
  const host = new FakeHost(wipes);
  const store = make(opened.table, host);
  host.store = store;
  return { ...opened, host, store };
}

/** Leases of `byteLength` until the store has no room. */
export function fill({ store }: { store: Store }, byteLength = 4096): Lease[] {
  const leases: Lease[] = [];
  for (let lease = store.acquire(byteLength); lease !== null; lease = store.acquire(byteLength)) leases.push(lease);
  return leases;
}

export function problemsOf({ store }: { store: Store }): string[] {
  const problems: string[] = [];
  store.audit(problems);
  return problems;
}

export const arenaModule = resolveModule(undefined);

/** The number constants of a file of the module's sources, which only its own compiler can read. */
export function constantsOf(file: "layout" | "status"): Record<string, number> {
  const source = readFileSync(new URL(`../../assembly/${file}.ts`, import.meta.url), "utf8");
  const found = source.matchAll(/^export const (\w+): \w+ = (-?\w+);/gm);
  return Object.fromEntries([...found].map(([, name = "", value = ""]) => [name, Number(value)]));
}

/** `value`, which the test knows to be there. */
export function present<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("expected a value");
  return value;
}

/** Stopped in the middle, as a `vm` timeout would. */
export class Stopped extends Error {}

export function stop(): never {
  throw new Stopped("stopped");
}

/** `fn` is stopped on its way. */
export function expectStopped(fn: () => unknown): void {
  expect(fn).toThrow(Stopped);
}

/** The book that the newest segment in `table` is entered in. */
export function bookOf(table: AccountTable): Book {
  const books = [...table.accounts].flatMap(({ entry }) => (entry === undefined ? [] : [entry.book]));
  return present(books.at(-1));
}

/** Stops after the book's export `name` did its work for the `calls`th time, once. */
export function stopAfter(book: Book, name: keyof Book["exports"], calls = 1): void {
  let left = calls;
  const exports = { ...book.exports };
  const original = exports[name] as (...args: number[]) => number;
  Reflect.set(exports, name, (...args: number[]) => {
    const answer = original(...args);
    if (--left > 0) return answer;
    Reflect.set(exports, name, original);
    return stop();
  });
  Reflect.set(book, "exports", exports);
}

/** Sets the busy word of `book`, as a call does that is stopped half way. */
export function tear(book: Book): void {
  const { buffer, byteOffset } = book.exchange;
  const { EXCHANGE = Number.NaN, BUSY_WORD = Number.NaN } = constantsOf("layout");
  new Uint32Array(buffer, byteOffset - EXCHANGE + BUSY_WORD, 1)[0] = 1;
  expect(book.exports.isBusy()).not.toBe(0);
}

/** Runs `before` ahead of the revocation of `memory`, and `after` behind it, once. */
export function aroundRevoke(
  memory: { revoke(): boolean },
  { before = () => {}, after = () => {} }: { before?: () => void; after?: () => void },
): void {
  const { revoke } = memory;
  Reflect.set(memory, "revoke", () => {
    Reflect.deleteProperty(memory, "revoke");
    before();
    const isRevoked = revoke.call(memory);
    after();
    return isRevoked;
  });
}

/** No two of these leases have a byte in common. */
export function expectApart(leases: readonly Lease[]): void {
  const marks = new Map([...leases.entries()].map(([each, lease]) => [lease, each % 255]));
  for (const [lease, mark] of marks) lease.bytes.fill(mark + 1);
  for (const [lease, mark] of marks) expect(lease.bytes.every((byte) => byte === mark + 1)).toBe(true);
}

/** The owner of `lease`'s block, as its store made it. */
export function ownerOf<T extends object>(table: AccountTable, lease: Lease): T & { readonly account: Account } {
  for (const account of table.accounts) {
    const owner = account.owner as (T & { memory?: Memory; account: Account }) | undefined;
    if (owner !== undefined && owner.memory === (lease.memory as unknown)) return owner;
  }
  throw new Error("no account has the lease's memory");
}
