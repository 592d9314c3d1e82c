/** Accounts: the table of states, what drops and collections do, and what keeps an owner alive. */

import { afterEach, describe, expect, type MockInstance, test, vi } from "vitest";
import { requireBook } from "../../../src/memory/abi.ts";
import {
  Account,
  type AccountTable,
  type MemoryOwner,
  type MemoryState,
  tie,
  transition,
} from "../../../src/memory/account.ts";
import { collectGarbageUntil, thrownBy } from "../../helpers.ts";
import { arenaModule, openTable } from "../helpers.ts";

const STATES: MemoryState[] = ["active", "retired", "drained", "dropped", "collected"];

/** Which state may follow which, as the diagram in account.ts and what a `vm` timeout can lose say. */
const ALLOWED = new Set([
  ...["active active", "active retired", "active drained", "active dropped", "active collected"],
  ...["retired active", "retired drained", "retired dropped", "retired collected"],
  ...["drained active", "drained retired", "drained dropped", "drained collected"],
]);

afterEach(() => {
  vi.restoreAllMocks();
});

/** An owner of its own, with an account of `byteLength` bytes in `table`. */
function openOwner(table: AccountTable, byteLength = 1000) {
  const buffer = new ArrayBuffer(8);
  const account = new Account("segment", byteLength, "active");
  const owner: MemoryOwner & { account: Account } = { account, close() {} };
  table.open(account, owner, buffer);
  return { account, owner, buffer };
}

test("an account goes from state to state as the diagram says, and no other way", () => {
  for (const from of STATES) {
    for (const to of STATES) {
      const account = new Account("segment", 0, from);
      if (ALLOWED.has(`${from} ${to}`)) transition(account, to);
      else expect(String(thrownBy(() => transition(account, to)))).toContain(`cannot go from ${from} to ${to}`);
      expect(account.state).toBe(ALLOWED.has(`${from} ${to}`) ? to : from);
    }
  }
});

describe("an account", () => {
  test("is in the table, and its bytes under the cap, until it is dropped, once", () => {
    const { table } = openTable();
    const { account, owner } = openOwner(table);
    expect([...table.accounts]).toEqual([account]);
    expect(account.owner).toBe(owner);
    table.lengthen(account, 500);
    expect([account.reservedBytes, table.budget.reservedBytes]).toEqual([1500, 1500]);
    openOwner(table, 70);
    table.drop(account);
    table.drop(account);
    expect([account.state, account.live, account.liveBytes, table.accounts.size]).toEqual(["dropped", 0, 0, 1]);
    expect([table.budget.reservedBytes, table.budget.peakReservedBytes]).toEqual([70, 1570]);
    // A WeakRef keeps its target until the job ends: it must not be the owner.
    expect([account.owner, account.handle?.deref()]).toMatchObject([undefined, { target: undefined }]);
  });

  test("leaves the book when it is dropped, so that its number serves another segment", () => {
    const { table } = openTable();
    const { account } = openOwner(table);
    const book = requireBook(arenaModule, 12, false);
    const number = book.exports.addSegment(0);
    account.entry = { book, number };
    table.drop(account);
    expect([account.entry, book.exports.addSegment(0)]).toEqual([undefined, number]);
  });

  test("whose owner is collected gives its bytes and its number back, and says what was leaked", async () => {
    const { table, heard } = openTable();
    const book = requireBook(arenaModule, 12, false);
    const number = book.exports.addSegment(0);
    (() => {
      const { account } = openOwner(table);
      transition(account, "retired");
      account.entry = { book, number };
      // Also where a torn release left the count too high.
      account.live = 2;
      account.liveBytes = 30;
    })();
    await collectGarbageUntil(() => heard.collected.length > 0);
    expect(heard.collected).toMatchObject([{ state: "collected", live: 2, liveBytes: 30 }]);
    expect([table.leakedLeases, table.budget.reservedBytes, table.accounts.size]).toEqual([2, 0, 0]);
    expect(book.exports.addSegment(0)).toBe(number);
  });

  test("of a buffer that anyone holds is not collected: the buffer keeps its owner, as does each one tied to it", async () => {
    const { table, heard } = openTable();
    const first = (() => openOwner(table).buffer)();
    const next = (() => {
      const { owner } = openOwner(table);
      const buffer = new ArrayBuffer(8);
      tie(buffer, owner);
      tie(buffer, owner);
      return buffer;
    })();
    await collectGarbageUntil(() => heard.collected.length > 0, 10);
    expect([heard.collected, table.budget.reservedBytes]).toEqual([[], 2000]);
    expect([first, next].flatMap(Reflect.ownKeys)).toEqual([]);
  });

  test.each([
    ["is no longer registered, and", (spy: MockInstance) => spy],
    ["though the collector had its callback under way", (spy: MockInstance) => spy.mockReturnValue(true)],
  ])("that was dropped %s is not heard of again when it is collected", async (_, prepare) => {
    const unregister = vi.spyOn(FinalizationRegistry.prototype, "unregister");
    prepare(unregister);
    const { table, heard } = openTable();
    let isCollected = false;
    const registry = new FinalizationRegistry(() => {
      isCollected = true;
    });
    (() => {
      const { account, owner } = openOwner(table);
      registry.register(owner, undefined);
      account.live = 5;
      table.drop(account);
      expect(unregister).toHaveReturnedWith(true);
    })();
    await collectGarbageUntil(() => isCollected);
    await collectGarbageUntil(() => false, 3);
    expect([isCollected, heard.collected]).toEqual([true, []]);
    expect([table.leakedLeases, table.budget.reservedBytes]).toEqual([0, 0]);
  });
});
