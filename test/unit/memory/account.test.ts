/** Accounts: the table of states, what drops and collections do, and what keeps an owner alive. */

import { afterEach, describe, expect, type MockInstance, test, vi } from "vitest";
import { requireBook } from "../../../src/memory/abi.ts";
import { Account, type MemoryOwner, type MemoryState, tie, transition } from "../../../src/memory/account.ts";
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
function openOwner(table: ReturnType<typeof openTable>["table"], byteLength = 1000) {
  const buffer = new ArrayBuffer(8);
  const account = new Account("segment", byteLength, "active");
  const owner: MemoryOwner & { account: Account } = { account, close() {} };
  table.open(account, owner, buffer);
  return { account, owner, buffer };
}

describe("a transition", () => {
  test.each(STATES.flatMap((from) => STATES.map((to) => [from, to] as const)))("from %s to %s", (from, to) => {
    const account = new Account("segment", 0, from);
    if (ALLOWED.has(`${from} ${to}`)) {
      transition(account, to);
      expect(account.state).toBe(to);
    } else {
      expect(String(thrownBy(() => transition(account, to)))).toContain(`cannot go from ${from} to ${to}`);
      expect(account.state).toBe(from);
    }
  });
});

describe("an account", () => {
  test("is in the table, and its bytes under the cap, until it is dropped", () => {
    const { table } = openTable();
    const { account, owner } = openOwner(table);
    expect([...table.accounts]).toEqual([account]);
    expect(account.owner).toBe(owner);
    expect(table.budget.reservedBytes).toBe(1000);
    table.lengthen(account, 500);
    expect([account.reservedBytes, table.budget.reservedBytes, table.budget.peakReservedBytes]).toEqual([
      1500, 1500, 1500,
    ]);
    table.drop(account);
    expect([...table.accounts]).toEqual([]);
    expect([account.state, account.owner, account.live, account.liveBytes]).toEqual(["dropped", undefined, 0, 0]);
    expect([table.budget.reservedBytes, table.budget.peakReservedBytes]).toEqual([0, 1500]);
  });

  test("is dropped once: a second drop gives nothing back", () => {
    const { table } = openTable();
    const { account } = openOwner(table);
    openOwner(table, 70);
    table.drop(account);
    table.drop(account);
    expect(table.budget.reservedBytes).toBe(70);
  });

  test("leaves the book when it is dropped, so that its number serves another segment", () => {
    const { table } = openTable();
    const { account } = openOwner(table);
    const book = requireBook(arenaModule, 12, false);
    const number = book.exports.addSegment(0);
    account.entry = { book, number };
    table.drop(account);
    expect(account.entry).toBeUndefined();
    expect(book.exports.addSegment(0)).toBe(number);
  });

  test("whose owner is collected gives its bytes back, and says what was leaked", async () => {
    const { table, heard } = openTable();
    (() => {
      const { account } = openOwner(table);
      transition(account, "retired");
      account.live = 2;
      account.liveBytes = 30;
    })();
    await collectGarbageUntil(() => heard.collected.length > 0);
    expect(heard.collected).toMatchObject([{ state: "collected", live: 2, liveBytes: 30 }]);
    expect([table.leakedLeases, table.budget.reservedBytes, table.accounts.size]).toEqual([2, 0, 0]);
  });

  test("of a buffer that anyone holds is not collected: the buffer keeps its owner", async () => {
    const { table, heard } = openTable();
    const buffer = (() => openOwner(table).buffer)();
    await collectGarbageUntil(() => heard.collected.length > 0, 10);
    expect(heard.collected).toEqual([]);
    expect(table.budget.reservedBytes).toBe(1000);
    expect(buffer.byteLength).toBe(8);
  });

  test("is kept by a new buffer that is tied to it, and tying twice is nothing", async () => {
    const { table, heard } = openTable();
    const next = (() => {
      const { owner } = openOwner(table);
      const buffer = new ArrayBuffer(8);
      tie(buffer, owner);
      tie(buffer, owner);
      return buffer;
    })();
    await collectGarbageUntil(() => heard.collected.length > 0, 10);
    expect(heard.collected).toEqual([]);
    expect(Object.keys(next)).toEqual([]);
    expect(Reflect.ownKeys(next)).toEqual([]);
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
    expect(isCollected).toBe(true);
    expect(heard.collected).toEqual([]);
    expect([table.leakedLeases, table.budget.reservedBytes]).toEqual([0, 0]);
  });

  test("that was dropped does not reach its owner in the job that dropped it", () => {
    // A WeakRef keeps its target until the job ends: it must not be the owner.
    const { table } = openTable();
    const { account } = openOwner(table);
    expect(account.owner).toBeDefined();
    table.drop(account);
    expect(account.owner).toBeUndefined();
    expect(account.handle?.deref()).toMatchObject({ owner: undefined });
  });
});

test("a count left too high heals when its memory is collected", async () => {
  const { table, heard } = openTable();
  (() => {
    const { account } = openOwner(table);
    account.live = 1;
    transition(account, "retired");
  })();
  await collectGarbageUntil(() => heard.collected.length > 0);
  expect(table.budget.reservedBytes).toBe(0);
});
