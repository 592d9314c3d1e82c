/**
 * The arena against a plain model, in each mode. Every lease is filled with a
 * mark of its own, and for each released one the model keeps stale views of
 * several kinds. After every operation:
 *
 * - what was handed out was zero, and exactly as long as asked (promise 1);
 * - no two live leases overlap, and each still holds its mark (promise 2);
 * - a stale view is dead, or shows nothing but zeros and what stale writes put
 *   there: never a mark that is not its own (promise 3, in the revoking modes);
 * - a released lease's bytes are zero or out of reach (promise 4);
 * - reserved memory is within the cap (promise 5);
 * - the counts are the model's, and the audit is clean.
 *
 * Leaks and the collector are in test/unit/events.test.ts, misuse in misuse.test.ts.
 */

import { Arena, type Lease, type Pin, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { firstOther, runPrograms } from "./seeded.js";

const segmentBytes = 256 * 1024;
const maxBytes = 4 * (segmentBytes + 64 * 1024);
const STALE_MARK = 0xff;

const doors = ["acquire", "pool", "copyOf", "scope"] as const;

type Op =
  | { do: "acquire"; byteLength: number; door: (typeof doors)[number] }
  | { do: "burst"; byteLength: number; count: number }
  | { do: "release"; pick: number; how: "release" | "dispose" | "written" }
  | { do: "releaseOldest"; count: number }
  | { do: "pin"; pick: number }
  | { do: "unpin"; pick: number }
  | { do: "staleWrite"; pick: number; at: number }
  | { do: "staleBufferWrite"; pick: number; at: number }
  | { do: "trim" };

const byteLength = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 6, arbitrary: fc.integer({ min: 300, max: 5000 }) },
  { weight: 2, arbitrary: fc.integer({ min: 5000, max: 70_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 70_000, max: 400_000 }) },
  { weight: 3, arbitrary: fc.constantFrom(64, 65, 1024, 4096, 16_384, 65_536, segmentBytes, segmentBytes + 1) },
);
const pick = fc.nat();

/** An operation as a record of arbitraries, and how often it comes. */
function op<T extends Op["do"]>(
  weight: number,
  name: T,
  shape: { [K in Exclude<keyof Extract<Op, { do: T }>, "do">]: fc.Arbitrary<Extract<Op, { do: T }>[K]> },
) {
  return { weight, arbitrary: fc.record({ do: fc.constant(name), ...shape }) as unknown as fc.Arbitrary<Op> };
}

const operation: fc.Arbitrary<Op> = fc.oneof(
  op(8, "acquire", { byteLength, door: fc.constantFrom(...doors) }),
  op(1, "burst", { byteLength: fc.integer({ min: 0, max: 3000 }), count: fc.integer({ min: 10, max: 80 }) }),
  op(8, "release", { pick, how: fc.constantFrom("release" as const, "dispose", "written") }),
  op(1, "releaseOldest", { count: fc.integer({ min: 5, max: 100 }) }),
  op(1, "pin", { pick }),
  op(2, "unpin", { pick }),
  op(2, "staleWrite", { pick, at: fc.nat({ max: 5000 }) }),
  op(1, "staleBufferWrite", { pick, at: fc.nat() }),
  op(1, "trim", {}),
);

interface Live {
  lease: Lease;
  bytes: Uint8Array<ArrayBuffer>;
  mark: number;
  pins: Pin[];
  /** Released, but kept in place by its pins. */
  ended: boolean;
}

interface Stale {
  bytes: Uint8Array<ArrayBuffer>;
  part: Uint8Array<ArrayBuffer>;
  data: DataView<ArrayBuffer>;
}

class Model {
  readonly arena: Arena;
  readonly #mode: RevokeMode;
  readonly #live: Live[] = [];
  #stale: Stale[] = [];
  #marks = 0;

  constructor(mode: RevokeMode) {
    this.#mode = mode;
    this.arena = new Arena({ revoke: mode, segmentBytes, maxBytes, trace: "off" });
  }

  apply(each: Op): void {
    switch (each.do) {
      case "acquire":
        this.#acquire(each.byteLength, each.door);
        break;
      case "burst":
        for (let count = each.count; count > 0; count--) this.#acquire(each.byteLength, "acquire");
        break;
      case "release":
        this.#release(this.#live[each.pick % this.#live.length], each.how);
        break;
      case "releaseOldest":
        for (const live of this.#live.slice(0, each.count)) this.#release(live, "release");
        break;
      case "pin": {
        const live = this.#live[each.pick % this.#live.length];
        if (live !== undefined && !live.ended) live.pins.push(live.lease.pin());
        break;
      }
      case "unpin":
        this.#unpin(each.pick);
        break;
      case "staleWrite":
        this.#staleWrite(each.pick, each.at);
        break;
      case "staleBufferWrite":
        this.#staleBufferWrite(each.pick, each.at);
        break;
      case "trim":
        this.arena.trim();
        break;
    }
    this.#check();
  }

  finish(): void {
    for (const live of [...this.#live]) {
      for (const pin of live.pins.splice(0)) pin.release();
      if (live.ended) this.#bury(live);
      else this.#release(live, "release");
    }
    this.#check();
    this.arena.assertDrained();
    this.arena.trim();
    expect(this.arena.stats().reservedBytes).toBe(0);
  }

  #acquire(byteLength: number, door: (typeof doors)[number]): void {
    const lease = this.#through(door, byteLength);
    const { bytes } = lease;
    expect(bytes.length).toBe(byteLength);
    if (door !== "copyOf") expectFilled(bytes, 0, `a lease of ${byteLength} bytes is handed out`);
    if (lease.memory !== undefined) this.#expectApart(lease);
    const live = { lease, bytes, mark: 1 + (this.#marks++ % 254), pins: [], ended: false };
    bytes.fill(live.mark);
    this.#live.push(live);
  }

  #through(door: (typeof doors)[number], byteLength: number): Lease {
    if (door === "pool") return this.arena.pool(byteLength).acquire();
    if (door === "copyOf") return this.arena.copyOf(new Uint8Array(byteLength).fill(7));
    if (door === "scope") return this.arena.scope().acquire(byteLength);
    return this.arena.acquire(byteLength);
  }

  #expectApart({ memory, byteOffset, byteLength }: Lease): void {
    const other = this.#live.find(
      ({ lease }) =>
        lease.memory === memory &&
        lease.byteOffset < byteOffset + byteLength &&
        byteOffset < lease.byteOffset + lease.byteLength,
    );
    if (other !== undefined) expect.fail(`${byteOffset}+${byteLength} overlaps ${other.lease.byteOffset}`);
  }

  #release(live: Live | undefined, how: "release" | "dispose" | "written"): void {
    if (live === undefined || live.ended) return;
    expectFilled(live.bytes, live.mark, "before release");
    const { lease, bytes } = live;
    if (how === "written" && live.pins.length === 0) {
      const written = bytes.length >> 1;
      bytes.fill(0, written);
      lease.release({ written });
    } else if (how === "dispose") {
      lease[Symbol.dispose]();
    } else {
      lease.release();
    }
    expect(lease.released).toBe(true);
    if (live.pins.length === 0) this.#bury(live);
    else live.ended = true;
  }

  #unpin(pick: number): void {
    const pinned = this.#live.filter(({ pins }) => pins.length > 0);
    const live = pinned[pick % pinned.length];
    if (live === undefined) return;
    if (live.ended) expect(live.bytes.length).toBe(live.lease.byteLength);
    live.pins.pop()?.release();
    if (live.pins.length === 0 && live.ended) this.#bury(live);
  }

  /** The block was given back just now: zero, or out of reach. From here on its views are stale. */
  #bury(live: Live): void {
    const { bytes } = live;
    if (bytes.length > 0) expectFilled(bytes, 0, "after release");
    if (this.#mode === "on-release") expect(bytes.length).toBe(0);
    this.#live.splice(this.#live.indexOf(live), 1);
    if (bytes.length === 0) return;
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#stale.push({ bytes, part: bytes.subarray(bytes.length >> 1), data });
  }

  /** Where nothing is revoked, a stale write reaches whom it reaches: that is not promised, and not tried. */
  #staleWrite(pick: number, at: number): void {
    const stale = this.#stale[pick % this.#stale.length];
    if (stale === undefined || this.#mode === "never") return;
    const { bytes, part, data } = stale;
    if (bytes.length === 0) {
      expect(part.length).toBe(0);
      expect(() => data.getUint8(0)).toThrow(TypeError);
      expect(() => bytes.set([1])).toThrow();
      bytes[0] = 1;
      return;
    }
    bytes[at % bytes.length] = STALE_MARK;
    part.fill(STALE_MARK);
    data.setUint8(0, STALE_MARK);
  }

  /** Through `.buffer` a stale view reaches free memory of its segment too: that must not matter either. */
  #staleBufferWrite(pick: number, at: number): void {
    const stale = this.#stale[pick % this.#stale.length];
    if (stale === undefined || this.#mode === "never" || stale.bytes.length === 0) return;
    const { buffer } = stale.bytes;
    const header = buffer.byteLength - segmentBytes;
    const target = header + (at % segmentBytes);
    const isLive = ({ bytes }: Live) =>
      bytes.buffer === buffer && target >= bytes.byteOffset && target < bytes.byteOffset + bytes.length;
    if (!this.#live.some(isLive)) new Uint8Array(buffer)[target] = STALE_MARK;
  }

  #check(): void {
    const { arena } = this;
    const stats = arena.stats();
    const liveBytes = this.#live.reduce((sum, { lease }) => sum + lease.byteLength, 0);
    expect(stats.liveLeases).toBe(this.#live.length);
    expect(stats.liveBytes).toBe(liveBytes);
    expect(stats.acquired - stats.released).toBe(this.#live.length);
    expect(stats.reservedBytes).toBeLessThanOrEqual(maxBytes);
    expect(arena.audit().problems).toEqual([]);
    for (const { bytes, mark } of this.#live) expectFilled(bytes, mark, "a live lease");
    if (this.#mode === "never") return;
    for (const { bytes } of this.#stale) {
      if (bytes.length === 0 || firstOther(bytes, 0) < 0) continue;
      const foreign = bytes.findIndex((byte) => byte !== 0 && byte !== STALE_MARK);
      if (foreign >= 0) expect.fail(`a stale view sees ${bytes[foreign]} at ${foreign}`);
    }
    this.#stale = this.#stale.filter(({ bytes }, each) => bytes.length > 0 || each % 8 === 0).slice(-200);
  }
}

function expectFilled(bytes: Uint8Array, value: number, when: string): void {
  const other = firstOther(bytes, value);
  if (other >= 0) expect.fail(`${when}: byte ${other} is ${bytes[other]}, not ${value}`);
}

describe.each(["before-reuse", "on-release", "never"] as const)("%s", (mode) => {
  test("does what the plain model does", { timeout: 1_800_000 }, async () => {
    await runPrograms(`arena, ${mode}`, operation, (program) => {
      const model = new Model(mode);
      for (const each of program) model.apply(each);
      model.finish();
      model.arena[Symbol.dispose]();
    });
  });
});
