/**
 * An engine that has no more memories to give: how often it is asked, and what is
 * given up for it. A real one that refuses is in test/faults.test.ts.
 */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createMemory, expectMemory, PAGE_BYTES } from "../../src/abi.js";
import { Ledger } from "../../src/ledger.ts";

/** More than anyone should have to wait for. */
const MANY = 5000;

const { Memory } = WebAssembly;
/** Pages that the engine has left. */
let room = 0;
let asked = 0;

beforeEach(() => {
  expectMemory();
  asked = 0;
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      asked++;
      if (descriptor.initial > room) throw new RangeError("could not allocate memory");
      super(descriptor);
      room -= descriptor.initial;
    }
  };
});
afterEach(() => {
  WebAssembly.Memory = Memory;
});

describe("an engine that has refused", () => {
  beforeEach(() => {
    room = 1;
    expect(createMemory(2 * PAGE_BYTES)).toBe(null);
    expect(asked).toBe(1);
  });

  test("is not asked for as long or longer for a while, and then again", () => {
    room = 8;
    let refusals = 0;
    while (refusals < MANY && createMemory(2 * PAGE_BYTES) === null) refusals++;
    expect(refusals).toBe(1024);
    expect([asked, room]).toEqual([2, 6]);
  });

  test("is asked for what is shorter", () => {
    expect(createMemory(PAGE_BYTES)?.buffer.byteLength).toBe(PAGE_BYTES);
    expect(createMemory(3 * PAGE_BYTES)).toBe(null);
    expect(asked).toBe(2);
  });

  test("is asked again as soon as a memory was let go of", () => {
    room = 2;
    expectMemory();
    expect(createMemory(2 * PAGE_BYTES)?.buffer.byteLength).toBe(2 * PAGE_BYTES);
  });
});

describe("a ledger whose engine refuses", () => {
  /** One with `idle` idle pages, whose engine has nothing else. */
  function ledgerWith(idle: number): { ledger: Ledger; idle(): number } {
    room = idle;
    const ledger = new Ledger(100 * PAGE_BYTES, 16, 0);
    for (let each = 0; each < idle; each++) expect(ledger.provide(PAGE_BYTES, true)).not.toBe(null);
    let left = idle;
    ledger.dropIdle = () => {
      if (left === 0) return false;
      left--;
      room++;
      ledger.unreserve(PAGE_BYTES);
      expectMemory();
      return true;
    };
    return { ledger, idle: () => left };
  }

  test("gives up as much of what is idle as is needed, and no more", () => {
    const { ledger, idle } = ledgerWith(10);
    expect(ledger.provide(3 * PAGE_BYTES, true)?.buffer.byteLength).toBe(3 * PAGE_BYTES);
    expect([idle(), ledger.reservedBytes]).toEqual([7, 10 * PAGE_BYTES]);
  });

  test("does so only now and then, reserves nothing in between, and does not stop for good", () => {
    const { ledger, idle } = ledgerWith(10);
    expect(ledger.provide(3 * PAGE_BYTES, true)).not.toBe(null);
    let refusals = 0;
    while (refusals < MANY && ledger.provide(3 * PAGE_BYTES, true) === null) {
      expect([idle(), ledger.reservedBytes]).toEqual([7, 10 * PAGE_BYTES]);
      refusals++;
    }
    expect(refusals).toBe(1024);
    expect(idle()).toBe(4);
  });

  test("gives up nothing for what may not be exchanged, nor where nothing is idle", () => {
    const { ledger, idle } = ledgerWith(2);
    expect(ledger.provide(PAGE_BYTES, false)).toBe(null);
    expect([idle(), ledger.reservedBytes]).toEqual([2, 2 * PAGE_BYTES]);
    const { ledger: empty } = ledgerWith(0);
    expect(empty.provide(PAGE_BYTES, true)).toBe(null);
    expect(empty.reservedBytes).toBe(0);
  });
});
