import { Arena } from "cleanslab";
import { expect, test } from "vitest";

const segmentBytes = 256 * 1024;
const maxBytes = 4 * (segmentBytes + 64 * 1024);

test.each([100, 1024, 5000, 20_000])(
  "at the cap, room for %i bytes that a release made is found again",
  (byteLength) => {
    using arena = new Arena({ revoke: "never", segmentBytes, maxBytes });
    const leases = [];
    for (let lease = arena.acquire(byteLength); lease.origin === "arena"; lease = arena.acquire(byteLength)) {
      leases.push(lease);
    }
    // A few out of every span, so that the search has to go through all segments.
    const released = leases.filter((_, each) => each % 7 === 0);
    for (const lease of released) lease.release();
    for (const _ of released) expect(arena.acquire(byteLength).origin).toBe("arena");
    expect(arena.acquire(byteLength).origin).toBe("heap");
  },
);

test("slabs of short leases serve long ones once they are released", () => {
  using arena = new Arena({ revoke: "never", segmentBytes, maxBytes });
  const leases = Array.from({ length: maxBytes / 64 }, () => arena.acquire(64));
  for (const lease of leases) lease.release();
  const long = Array.from({ length: 4 }, () => arena.acquire(segmentBytes));
  expect(long.map(({ origin }) => origin)).toEqual(["arena", "arena", "arena", "arena"]);
  expect(arena.stats().reservedBytes).toBe(maxBytes);
});

test("a lease goes to the block released last", () => {
  using arena = new Arena({ revoke: "never" });
  const leases = [1, 2, 3].map(() => arena.acquire(1000));
  const offsets = leases.map(({ byteOffset }) => byteOffset);
  leases[0]?.release();
  leases[2]?.release();
  expect(arena.acquire(1000).byteOffset).toBe(offsets[2]);
  expect(arena.acquire(1000).byteOffset).toBe(offsets[0]);
});
