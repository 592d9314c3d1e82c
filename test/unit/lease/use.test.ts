/** Lending bytes to a function, and what becomes of errors. Otherwise: test/misuse/nonsense.test.ts and test/contract/ways.ts. */

import { expect, test } from "vitest";
import { lend } from "../../../src/lease/use.ts";
import { expectArenaError, rejectionOf, thrownBy } from "../../helpers.ts";
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

test("lending refuses to give back a view of the lent bytes, which would be stale at once, and releases", async () => {
  const owner = new FakeOwner();
  const refused: [name: string, of: (bytes: Uint8Array<ArrayBuffer>) => unknown][] = [
    ["the bytes", (bytes) => bytes.fill(1)],
    ["a part", (bytes) => bytes.subarray(9)],
    ["a view", (bytes) => new DataView(bytes.buffer, bytes.byteOffset, 1)],
    ["all of the memory", (bytes) => new Uint8Array(bytes.buffer)],
  ];
  for (const [name, of] of refused) {
    const words = ["what fn returned", "bytes.slice()"];
    expectArenaError(
      thrownBy(() => lend(owner.lease(10), of)),
      "ERR_INVALID_ARGUMENT",
      ...words,
    );
    const later = lend(owner.lease(10), async (bytes: Uint8Array<ArrayBuffer>) => of(bytes));
    expectArenaError(await rejectionOf(later), "ERR_INVALID_ARGUMENT", ...words);
    expect(owner.ends.splice(0), name).toHaveLength(2);
  }
  const neighbour = owner.lease(10, 2048).bytes;
  const mine = new Uint8Array(3);
  for (const value of [neighbour, mine]) expect(lend(owner.lease(10), () => value)).toBe(value);
  expect(lend(owner.lease(10), (bytes) => bytes.slice(2))).toHaveLength(8);
  expect(lend(owner.lease(10), (bytes) => ({ bytes })).bytes).toBeInstanceOf(Uint8Array);
});
