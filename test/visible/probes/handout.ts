/** What a buffer looks like when it is handed out: does it tell that somebody had it before? */

import { firstOf, formatBytes, Harm, type Observation, type Probe, themed } from "../probe.ts";
import type { Allocator } from "../subjects.ts";
import { acquireMarked, anyShared, BUFFER_BYTES, gather, Inspection, isAll, Mark, passBy } from "../traffic.ts";

export const HANDOUT_PROBES: readonly Probe[] = themed("a buffer as it is handed out", {
  "bytes at hand-out": bytesAtHandOut,
  "bytes at hand-out, last was shorter": longerThanTheLast,
  "released in another order": otherOrder,
  "a property left on the view": propertyLeft,
  "a view or buffer that comes again": seenAgain,
  "what .buffer is": shapeOfBuffer,
});

function bytesAtHandOut(allocator: Allocator): Observation {
  const { lookAndFill, result } = new Inspection();
  passBy(allocator, lookAndFill);
  for (let turn = 0; turn < 2; turn++) for (const held of gather(allocator, lookAndFill)) held.release();
  return result();
}

/** Each a little longer than the one before: is the end of the block clean? */
function longerThanTheLast(allocator: Allocator): Observation {
  const { lookAndFill, result } = new Inspection();
  for (let turn = 0; turn < 4; turn++) {
    for (let byteLength = BUFFER_BYTES - 200; byteLength <= BUFFER_BYTES; byteLength++) {
      const held = allocator.acquire(byteLength);
      lookAndFill(held.bytes);
      held.release();
    }
  }
  return result();
}

function otherOrder(allocator: Allocator): Observation {
  const count = 96;
  const owners = Array.from({ length: count }, () => acquireMarked(allocator, Mark.first));
  const scrambled = owners.map((owner, index) => owners[(index * 37) % count] ?? owner);
  let isHarmed = false;
  for (const [index, held] of scrambled.entries()) {
    held.release();
    isHarmed ||= !scrambled.slice(index + 1).every(({ bytes }) => isAll(bytes, Mark.first));
  }
  const { look, result } = new Inspection();
  passBy(allocator, look);
  const next = gather(allocator, look);
  const isShared = anyShared(next.map(({ bytes }) => bytes));
  for (const held of next) held.release();
  const { seen, harm } = result();
  return firstOf(
    [
      [isShared, "two next owners share bytes", Harm.othersChanged],
      [isHarmed, "a release changes what others still have", Harm.othersChanged],
      [true, `no two owners share bytes; handed out: ${seen}`, harm],
    ],
    "",
  );
}

function propertyLeft(allocator: Allocator): Observation {
  const key = Symbol("left by the last owner");
  const held = acquireMarked(allocator, Mark.first);
  Object.assign(held.bytes, { [key]: true });
  held.release();
  let isFound = false;
  const look = (owner: object): void => {
    isFound ||= key in owner;
  };
  passBy(allocator, look);
  for (const each of gather(allocator, look)) each.release();
  return firstOf([[isFound, "the next owner finds it", Harm.othersRead]], "nobody finds it");
}

function seenAgain(allocator: Allocator): Observation {
  const known = new WeakSet<object>();
  let isView = false;
  let isBuffer = false;
  const look = (owner: Uint8Array<ArrayBuffer>): void => {
    isView ||= known.has(owner);
    isBuffer ||= known.has(owner.buffer);
    known.add(owner).add(owner.buffer);
  };
  passBy(allocator, look);
  for (const held of gather(allocator, look)) held.release();
  return firstOf(
    [
      [isView, "the same view object comes again", Harm.none],
      [isBuffer, "another view of the same buffer", Harm.none],
    ],
    "never the same",
  );
}

function shapeOfBuffer(allocator: Allocator): Observation {
  const held = allocator.acquire(BUFFER_BYTES);
  const { byteLength } = held.bytes.buffer;
  held.release();
  const isLonger = byteLength !== BUFFER_BYTES;
  return firstOf([[isLonger, `longer, ${formatBytes(byteLength)}`, Harm.none]], "just the bytes asked for");
}
