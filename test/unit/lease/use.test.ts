/** Lending bytes to a function, and what becomes of errors. Otherwise: test/misuse/nonsense.test.ts and test/contract/ways.ts. */

import { expect, test } from "vitest";
import { lend } from "../../../src/lease/use.ts";
import { rejectionOf, thrownBy } from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

const mine = new Error("mine");
const fail = (): never => {
  throw mine;
};

test("lending tells of the release that failed, and of both errors in one where the function failed too", async () => {
  const owner = new FakeOwner();
  owner.error = new Error("the release");
  const both = { errors: [mine, owner.error] };
  expect(thrownBy(() => lend(owner.lease(10), () => 5))).toBe(owner.error);
  expect(thrownBy(() => lend(owner.lease(10), fail))).toMatchObject(both);
  expect(await rejectionOf(lend(owner.lease(10), async () => 5))).toBe(owner.error);
  expect(await rejectionOf(lend(owner.lease(10), async () => fail()))).toMatchObject(both);
  expect(owner.ends).toHaveLength(4);
});
