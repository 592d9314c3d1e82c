/** Leases written before anyone sees them: exactly what was written, or nothing. */

import { describe, expect, test } from "vitest";
import { bytesUnder, leaseCopy, leaseFilled } from "../../../src/lease/filled.ts";
import type { Lease } from "../../../src/lease/lease.ts";
import { expectArenaError, expectThrow, rejectionOf, thrownBy, wrong } from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

/** A source of leases full of old bytes. */
function open() {
  const owner = new FakeOwner();
  new Uint8Array(owner.buffer).fill(0xdd);
  const acquire = (byteLength: number): Lease => owner.lease(byteLength);
  return { owner, source: { acquire, acquireUnzeroed: acquire } };
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
    const { source } = open();
    const liar = new Liar(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer);
    Liar.lie = lie;
    expect([...leaseCopy(source, liar).bytes]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test.each([
    ["DataView", new DataView(Uint8Array.of(0, 1, 2, 3, 4).buffer, 1, 3), [1, 2, 3]],
    ["Uint16Array", Uint16Array.of(0x0201, 0x0403), [1, 2, 3, 4]],
    ["Uint8ClampedArray", Uint8ClampedArray.of(300, 5), [255, 5]],
    ["Buffer", Buffer.from([9, 8]), [9, 8]],
    ["empty array", new Uint8Array(0), []],
  ] as const)("of a %s has its bytes", (_name, view, expected) => {
    const { source } = open();
    expect([...leaseCopy(source, view).bytes]).toEqual(expected);
  });

  test("of what is no view is refused before anything is leased", () => {
    const { source, owner } = open();
    for (const none of [undefined, "abc", [1, 2], new ArrayBuffer(4), { length: 3, byteLength: 3 }]) {
      expectThrow(() => leaseCopy(source, wrong(none)), "ERR_INVALID_ARGUMENT", "a Uint8Array or another view");
    }
    expect(owner.ends).toEqual([]);
  });

  test.each(["Uint8Array", "Float64Array", "DataView"] as const)("of a detached %s is refused", (name) => {
    const { source } = open();
    const buffer = new ArrayBuffer(8);
    const view =
      name === "DataView"
        ? new DataView(buffer)
        : name === "Uint8Array"
          ? new Uint8Array(buffer)
          : new Float64Array(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    expectThrow(() => leaseCopy(source, view), "ERR_INVALID_ARGUMENT", "still attached");
  });

  test("of a view that acquiring its lease detached is refused, and the lease is released", () => {
    const { source, owner } = open();
    const view = new Uint8Array(8).fill(7);
    const detaching = {
      ...source,
      acquireUnzeroed: (byteLength: number) => {
        structuredClone(view.buffer, { transfer: [view.buffer] });
        return source.acquireUnzeroed(byteLength);
      },
    };
    expectThrow(() => leaseCopy(detaching, view), "ERR_INVALID_ARGUMENT", "still attached");
    expect(owner.ends).toHaveLength(1);
  });
});

describe("a copy of a view that got shorter", () => {
  test("while its lease was acquired is refused: no byte of the lease is shown that was not copied", () => {
    const { source, owner } = open();
    // The types know no resizable buffers yet.
    const buffer = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 8 }]) as ArrayBuffer & {
      resize(to: number): void;
    };
    const view = new Uint8Array(buffer).fill(7);
    const shrinking = {
      ...source,
      acquireUnzeroed: (byteLength: number) => {
        buffer.resize(3);
        return source.acquireUnzeroed(byteLength);
      },
    };
    expectThrow(() => leaseCopy(shrinking, view), "ERR_INVALID_ARGUMENT");
    expect(owner.ends).toHaveLength(1);
  });
});

describe("the bytes under a view", () => {
  test("are the view itself where it is one of bytes, and share its memory where it is another", () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(bytesUnder(bytes)).toBe(bytes);
    const numbers = Uint16Array.of(1, 2);
    const under = bytesUnder(numbers);
    under[0] = 5;
    expect(numbers[0]).toBe(5);
  });
});

describe("a lease that is filled", () => {
  test("is exactly as long as was written, and shows nothing behind it", () => {
    const { owner } = open();
    let shown: Uint8Array | undefined;
    const lease = leaseFilled(owner.lease(100), (bytes) => {
      shown = bytes;
      bytes.set([1, 2, 3]);
      return 3;
    }) as Lease;
    expect([lease.byteLength, [...lease.bytes]]).toEqual([3, [1, 2, 3]]);
    expect(lease.bytes).not.toBe(shown);
    lease.resize(6);
    expect([...lease.bytes]).toEqual([1, 2, 3, 0, 0, 0]);
  });

  test("may be filled whole, or not at all", async () => {
    const { owner } = open();
    expect((leaseFilled(owner.lease(5), (bytes) => bytes.fill(1).length) as Lease).bytes.length).toBe(5);
    expect((leaseFilled(owner.lease(5), () => 0) as Lease).bytes.length).toBe(0);
    expect((await leaseFilled(owner.lease(5), async () => 2)).bytes.length).toBe(2);
  });

  test.each([-1, 101, 1.5, Number.NaN, "3", undefined, null, 2 ** 40])(
    "is a typed error, and no lease, for the answer %s",
    async (answer) => {
      const { owner } = open();
      expectThrow(
        () => leaseFilled(owner.lease(100), () => wrong(answer)),
        "ERR_INVALID_ARGUMENT",
        "what write answered",
      );
      const error = await rejectionOf(
        leaseFilled(owner.lease(100), () => Promise.resolve(wrong<number>(answer))) as Promise<Lease>,
      );
      expectArenaError(error, "ERR_INVALID_ARGUMENT", "what write answered");
      expect(owner.ends).toHaveLength(2);
    },
  );

  test("is none where the producer throws or rejects: its error comes out", async () => {
    const { owner } = open();
    const mine = new Error("mine");
    const throws = (): never => {
      throw mine;
    };
    expect(thrownBy(() => leaseFilled(owner.lease(100), throws))).toBe(mine);
    expect(await rejectionOf(leaseFilled(owner.lease(100), () => Promise.reject(mine)) as Promise<Lease>)).toBe(mine);
    expect(owner.ends).toHaveLength(2);
  });
});
