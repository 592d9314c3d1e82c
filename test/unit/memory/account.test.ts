/** Accounts: the table of states, and what is left of one whose memory is gone. What keeps a memory alive is promises/6-leaks.test.ts's. */

import { afterEach, expect, test, vi } from "vitest";
import { requireBook } from "../../../src/memory/abi.ts";
import {
  Account,
  type AccountTable,
  type MemoryOwner,
  type MemoryState,
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

/** An owner of its own, with an account in `table`. */
function openOwner(table: AccountTable) {
  const account = new Account("segment", 1000, "active");
  const owner: MemoryOwner & { account: Account } = { account, close() {} };
  table.open(account, owner, new ArrayBuffer(8));
  return { account, owner };
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

test.each(["dropped", "collected"])(
  "an account that is %s leaves the book: its number serves another segment",
  async (how) => {
    const { table, heard } = openTable();
    const book = requireBook(arenaModule, 12, false);
    const number = book.exports.addSegment(0);
    (() => {
      const { account } = openOwner(table);
      account.entry = { book, number };
      if (how === "dropped") table.drop(account);
      else transition(account, "retired");
    })();
    if (how === "collected") await collectGarbageUntil(() => heard.collected.length > 0);
    expect([table.accounts.size, table.budget.reservedBytes, book.exports.addSegment(0)]).toEqual([0, 0, number]);
  },
);

test("an account that was dropped while the collector had its callback under way is not heard of again", async () => {
  // Does nothing, as then.
  const unregister = vi.spyOn(FinalizationRegistry.prototype, "unregister").mockReturnValue(true);
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
    expect(unregister).toHaveBeenCalledWith(account);
    // A WeakRef keeps its target until the job ends: it must not be the owner.
    expect([account.owner, account.handle?.deref()]).toMatchObject([undefined, { target: undefined }]);
  })();
  await collectGarbageUntil(() => isCollected);
  await collectGarbageUntil(() => false, 3);
  expect([isCollected, heard.collected]).toEqual([true, []]);
  expect([table.leakedLeases, table.budget.reservedBytes]).toEqual([0, 0]);
});
