/** Leases written before anyone sees them: exactly what was written, or nothing. */

import { describe, expect, test } from "vitest";
import { leaseCopy, leaseFilled } from "../../../src/lease/filled.ts";
import type { Lease } from "../../../src/lease/lease.ts";
import { expectArenaError, expectThrow, rejectionOf, wrong } from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

/** A source of leases full of old bytes. */
function open(whileAcquiring = (): void => {}) {
  const owner = new FakeOwner();
  new Uint8Array(owner.buffer).fill(0xdd);
  const acquire = (byteLength: number): Lease => {
    whileAcquiring();
    return owner.lease(byteLength);
  };
  return { owner, source: { ...owner.source, acquire, acquireUnzeroed: acquire } };
}

/** A Uint8Array that says it has another length, another buffer, other methods. */
class Liar extends Uint8Array<ArrayBuffer> {
  static lie = 0;
  override get length(): number {
    return Liar.lie;
  }
  override get byteLength(): number {
    return Liar.lie;
  }
  override get byteOffset(): number {
    return 4;
  }
  override get buffer(): ArrayBuffer {
    return new ArrayBuffer(Liar.lie);
  }
  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(Liar.lie);
  }
  override *[Symbol.iterator](): ArrayIterator<number> {}
}

describe("a copy", () => {
  test.each([0, 3, 20])("of a view that says it has %i bytes has those that it has", (lie) => {
    const liar = new Liar(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer);
    Liar.lie = lie;
    expect([...leaseCopy(open().source, liar).bytes]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("of a view that acquiring its lease detached or shortened is refused, and the lease is released", () => {
    // The types know no resizable buffers yet.
    const resizable = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 8 }]) as ArrayBuffer & {
      resize(to: number): void;
    };
    const plain = new ArrayBuffer(8);
    for (const [buffer, change] of [
      [plain, () => structuredClone(plain, { transfer: [plain] })],
      // No byte of the lease may be shown that was not copied.
      [resizable, () => resizable.resize(3)],
    ] as const) {
      const { source, owner } = open(change);
      expectThrow(() => leaseCopy(source, new Uint8Array(buffer)), "ERR_INVALID_ARGUMENT", "still attached");
      expect(owner.ends).toHaveLength(1);
    }
  });
});

describe("a lease that is filled", () => {
  test.each([-1, 101, 1.5, Number.NaN, "3", undefined, null, 2 ** 40])(
    "is a typed error, and no lease, for the answer %s",
    async (answer) => {
      const { owner } = open();
      const says = "what write answered";
      expectThrow(() => leaseFilled(owner.lease(100), () => wrong(answer)), "ERR_INVALID_ARGUMENT", says);
      const later = leaseFilled(owner.lease(100), async () => wrong<number>(answer)) as Promise<Lease>;
      expectArenaError(await rejectionOf(later), "ERR_INVALID_ARGUMENT", says);
      expect(owner.ends).toHaveLength(2);
    },
  );
});
