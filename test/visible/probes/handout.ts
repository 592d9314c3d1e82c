/** What a buffer looks like when it is handed out: does it tell that somebody had it before? */

import { formatBytes, Harm, type Observation, type Probe, themed } from "../probe.ts";
import type { Allocator } from "../subjects.ts";
import { acquireMarked, anyShared, BUFFER_BYTES, gather, isAll, Mark, passBy } from "../traffic.ts";

export const HANDOUT_PROBES: readonly Probe[] = themed("a buffer as it is handed out", [
  { name: "bytes at hand-out", run: bytesAtHandOut },
  { name: "bytes at hand-out, last was shorter", run: longerThanTheLast },
  { name: "released in another order", run: otherOrder },
  { name: "a property left on the view", run: propertyLeft },
  { name: "a view or buffer that comes again", run: seenAgain },
  { name: "what .buffer is", run: shapeOfBuffer },
]);

/** Looks at buffers before anyone writes to them. */
class Inspection {
  #former = false;
  #strange = false;

  readonly look = (bytes: Uint8Array): void => {
    if (bytes.includes(Mark.first)) this.#former = true;
    else if (bytes.some((byte) => byte !== 0)) this.#strange = true;
  };

  readonly lookAndFill = (bytes: Uint8Array): void => {
    this.look(bytes);
    bytes.fill(Mark.first);
  };

  get result(): Observation {
    if (this.#former) return { seen: "bytes that an earlier owner wrote", harm: Harm.othersRead };
    if (this.#strange) return { seen: "bytes that nobody here wrote", harm: Harm.othersRead };
    return { seen: "zeros", harm: Harm.none };
  }
}

function bytesAtHandOut(allocator: Allocator): Observation {
  const inspection = new Inspection();
  passBy(allocator, inspection.lookAndFill);
  for (const held of gather(allocator, inspection.lookAndFill)) held.release();
  for (const held of gather(allocator, inspection.lookAndFill)) held.release();
  return inspection.result;
}

/** Each a little longer than the one before: is the end of the block clean? */
function longerThanTheLast(allocator: Allocator): Observation {
  const inspection = new Inspection();
  for (let turn = 0; turn < 4; turn++) {
    for (let byteLength = BUFFER_BYTES - 200; byteLength <= BUFFER_BYTES; byteLength++) {
      const held = allocator.acquire(byteLength);
      inspection.lookAndFill(held.bytes);
      held.release();
    }
  }
  return inspection.result;
}

function otherOrder(allocator: Allocator): Observation {
  const count = 96;
  const owners = Array.from({ length: count }, () => acquireMarked(allocator, Mark.first));
  const scrambled = owners.map((_, index) => owners[(index * 37) % count] ?? owners[0]);
  let harmed = false;
  for (const [index, held] of scrambled.entries()) {
    held?.release();
    harmed ||= !scrambled.slice(index + 1).every((other) => other !== undefined && isAll(other.bytes, Mark.first));
  }
  const inspection = new Inspection();
  passBy(allocator, inspection.look);
  const next = gather(allocator, inspection.look);
  const shared = anyShared(next.map(({ bytes }) => bytes));
  for (const held of next) held.release();
  if (shared) return { seen: "two next owners share bytes", harm: Harm.othersChanged };
  if (harmed) return { seen: "a release changes what others still have", harm: Harm.othersChanged };
  const { seen, harm } = inspection.result;
  return { seen: `no two owners share bytes; handed out: ${seen}`, harm };
}

function propertyLeft(allocator: Allocator): Observation {
  const key = Symbol("left by the last owner");
  const held = acquireMarked(allocator, Mark.first);
  Object.assign(held.bytes, { [key]: true });
  held.release();
  let found = false;
  const look = (owner: object): void => {
    found ||= key in owner;
  };
  passBy(allocator, look);
  for (const each of gather(allocator, look)) each.release();
  if (found) return { seen: "the next owner finds it", harm: Harm.othersRead };
  return { seen: "nobody finds it", harm: Harm.none };
}

function seenAgain(allocator: Allocator): Observation {
  const known = new WeakSet<object>();
  let view = false;
  let buffer = false;
  const look = (owner: Uint8Array<ArrayBuffer>): void => {
    view ||= known.has(owner);
    buffer ||= known.has(owner.buffer);
    known.add(owner).add(owner.buffer);
  };
  passBy(allocator, look);
  for (const held of gather(allocator, look)) held.release();
  if (view) return { seen: "the same view object comes again", harm: Harm.none };
  return { seen: buffer ? "another view of the same buffer" : "never the same", harm: Harm.none };
}

function shapeOfBuffer(allocator: Allocator): Observation {
  const held = allocator.acquire(BUFFER_BYTES);
  const { buffer } = held.bytes;
  const alone = buffer.byteLength === BUFFER_BYTES;
  const seen = `${alone ? "just the bytes asked for" : `longer, ${formatBytes(buffer.byteLength)}`}`;
  held.release();
  return { seen, harm: Harm.none };
}
