/**
 * What a small view reaches beyond itself while it is rightly held: through
 * `.buffer`, by cloning, by transferring, and by staying.
 */

import { firstOf, formatBytes, Harm, type Observation, type Probe, themed, thrownBy } from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, defaceOthers, isAll, Mark, reuse, showsOthers } from "../traffic.ts";

const SMALL_BYTES = 16;

export const REACH_PROBES: readonly Probe[] = themed("what a small view reaches", {
  "live view's .buffer, reading": (from) =>
    amongOthers(from, ({ bytes }) =>
      firstOf([[showsOthers(bytes.buffer), "shows other owners' bytes", Harm.othersRead]], "shows nobody else's bytes"),
    ),
  "live view's .buffer, writing": (from) => amongOthers(from, writesNeighbours),
  "live view's .buffer when others left": (from) =>
    amongOthers(from, ({ bytes }, others) => {
      releaseAll(others.splice(0));
      return firstOf([[showsOthers(bytes.buffer), "shows what they left", Harm.othersRead]], "shows nothing of theirs");
    }),
  "a write that ignores byteOffset": (from) =>
    amongOthers(from, (mine, others) => ignoresByteOffset(from, mine, others)),
  "structuredClone of 16 bytes": (from) => amongOthers(from, clones),
  "transfer of a live view's buffer": (from) => amongOthers(from, transfers),
  "kept 16 bytes, before reuse": (from) => keptAlive(from, () => {}),
  "kept 16 bytes, after reuse": (from) => keptAlive(from, () => reuse(from, () => {})),
});

/** One of many live owners, in their midst. Those left in `others` are released afterwards. */
function amongOthers(allocator: Allocator, look: (mine: Held, others: Held[]) => Observation): Observation {
  const before = Array.from({ length: 8 }, () => acquireMarked(allocator, Mark.other));
  const mine = acquireMarked(allocator, Mark.first);
  const others = [...before, ...Array.from({ length: 8 }, () => acquireMarked(allocator, Mark.other))];
  const observation = look(mine, others);
  // What was transferred may not be released any more.
  thrownBy(() => releaseAll([mine, ...others]));
  return observation;
}

function releaseAll(owners: readonly Held[]): void {
  for (const held of owners) held.release();
}

const isChanged = (others: readonly Held[]): boolean => others.some(({ bytes }) => !isAll(bytes, Mark.other));

function writesNeighbours(mine: Held, others: readonly Held[]): Observation {
  defaceOthers(mine.bytes.buffer);
  return firstOf(
    [[isChanged(others), "changes another owner's bytes", Harm.othersChanged]],
    "finds nobody's bytes to change",
  );
}

/** What `new DataView(bytes.buffer).setUint32(8, …)` hits: the commonest fault with pooled memory. */
function ignoresByteOffset(allocator: Allocator, mine: Held, others: readonly Held[]): Observation {
  const front = new Uint8Array(mine.bytes.buffer, 0, 2 * SMALL_BYTES);
  const before = front.slice();
  new DataView(mine.bytes.buffer).setUint32(8, 0xc3c3c3c3);
  const seen = firstOf(
    [
      [isChanged(others), "changes another owner's bytes", Harm.othersChanged],
      [!isAll(mine.bytes, Mark.first), "changes its own bytes", Harm.none],
      [(allocator.strayWrites?.() ?? 0) > 0, "changes nobody's bytes, and is reported", Harm.none],
      [true, "changes bytes that are nobody's here, unnoticed", Harm.othersChanged],
    ],
    "",
  );
  // An allocator's own bookkeeping may lie there.
  front.set(before);
  return seen;
}

function clones(mine: Held): Observation {
  const { buffer } = structuredClone(mine.bytes.subarray(0, SMALL_BYTES));
  const isOthers = showsOthers(buffer);
  const seen = `copies ${formatBytes(buffer.byteLength)}, ${isOthers ? "other owners' among them" : "nobody else's"}`;
  // Other owners' bytes weigh more than any number of one's own.
  return { seen, harm: isOthers ? Number.MAX_SAFE_INTEGER : buffer.byteLength };
}

function transfers({ bytes }: Held, others: readonly Held[]): Observation {
  let moved: Uint8Array = new Uint8Array(0);
  const threw = thrownBy(() => {
    moved = structuredClone(bytes, { transfer: [bytes.buffer] });
  });
  const isDead = (other: Held): boolean => thrownBy(() => other.bytes[0]) !== null || other.bytes.length === 0;
  return firstOf(
    [
      [others.some(isDead), "other owners' views die", Harm.othersChanged],
      [showsOthers(moved.buffer as ArrayBuffer), "gives a copy with other owners' bytes", Harm.othersRead],
      [threw !== null, `throws ${threw}, nobody is harmed`, Harm.none],
      [bytes.length === 0, "takes its own bytes along", Harm.none],
    ],
    "gives a copy of its own bytes",
  );
}

/** How much memory a few bytes keep from being let go of, once their buffer was given back. */
function keptAlive(allocator: Allocator, meanwhile: () => void): Observation {
  const held = acquireMarked(allocator, Mark.first);
  const kept = held.bytes.subarray(0, SMALL_BYTES);
  held.release();
  meanwhile();
  const { byteLength } = kept.buffer;
  return { seen: byteLength === 0 ? "keep nothing alive" : `keep ${formatBytes(byteLength)} alive`, harm: byteLength };
}
