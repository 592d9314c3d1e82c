/**
 * Views kept past their release: four ways to keep one, reading and writing,
 * before and after the next owner has the memory.
 */

import { Harm, type Observation, outcomeOf, type Probe } from "../probe.ts";
import type { Allocator } from "../subjects.ts";
import { acquireMarked, BUFFER_BYTES, isAll, Mark, reuse } from "../traffic.ts";

/** What was kept: how to look through it and how to write through it. Either may throw. */
export interface Kept {
  look(): Uint8Array;
  write(): void;
}

const WAYS: Record<string, (bytes: Uint8Array<ArrayBuffer>) => Kept> = {
  view: (bytes) => ({
    look: () => bytes,
    write: () => {
      for (let index = 0; index < BUFFER_BYTES; index++) bytes[index] = Mark.stale;
    },
  }),
  subarray: (bytes) => keepSubarray(bytes.subarray(0)),
  DataView: (bytes) => keepDataView(new DataView(bytes.buffer, bytes.byteOffset, bytes.length)),
  ".buffer": ({ buffer, byteOffset, length }) => ({
    look: () => new Uint8Array(buffer, byteOffset, length),
    write: () => void new Uint8Array(buffer, byteOffset, length).fill(Mark.stale),
  }),
};

function keepSubarray(part: Uint8Array): Kept {
  return { look: () => part, write: () => part.set(new Uint8Array(BUFFER_BYTES).fill(Mark.stale)) };
}

function keepDataView(view: DataView): Kept {
  const look = (): Uint8Array => Uint8Array.from({ length: BUFFER_BYTES }, (_, index) => view.getUint8(index));
  const write = (): void => {
    for (let index = 0; index < BUFFER_BYTES; index++) view.setUint8(index, Mark.stale);
  };
  return { look, write };
}

export const STALE_PROBES: readonly Probe[] = Object.entries(WAYS).flatMap(([way, keep]) => {
  const theme = "a view kept past its release";
  return [
    { theme, name: `stale ${way} reads before reuse`, run: (from) => readBefore(from, keep) },
    { theme, name: `stale ${way} writes before reuse`, run: (from) => writeBefore(from, keep) },
    { theme, name: `stale ${way} reads after reuse`, run: (from) => readAfter(from, keep) },
    { theme, name: `stale ${way} writes after reuse`, run: (from) => writeAfter(from, keep) },
  ] satisfies Probe[];
});

type Keep = (bytes: Uint8Array<ArrayBuffer>) => Kept;

function releasedButKept(allocator: Allocator, keep: Keep): Kept {
  const held = acquireMarked(allocator, Mark.first);
  const kept = keep(held.bytes);
  held.release();
  return kept;
}

function readBefore(allocator: Allocator, keep: Keep): Observation {
  return describeLook(releasedButKept(allocator, keep));
}

function readAfter(allocator: Allocator, keep: Keep): Observation {
  const kept = releasedButKept(allocator, keep);
  let reached: Observation | null = null;
  reuse(allocator, (owner) => {
    owner.fill(Mark.other);
    if (reached !== null) return;
    const seen = describeLook(kept);
    if (seen.harm === Harm.othersRead) reached = seen;
  });
  return reached ?? describeLook(kept);
}

function writeBefore(allocator: Allocator, keep: Keep): Observation {
  const kept = releasedButKept(allocator, keep);
  const { threw } = outcomeOf(() => kept.write());
  const written = describeWrite(kept, threw);
  let handedOut = false;
  reuse(allocator, (owner) => {
    const found = owner.includes(Mark.stale);
    owner.fill(Mark.other);
    // Memory that was never cleared may hold this mark since another time: is it the same memory?
    if (found) handedOut ||= shows(kept, Mark.other);
  });
  return handedOut ? { seen: "the next owner is handed what it wrote", harm: Harm.othersChanged } : written;
}

function writeAfter(allocator: Allocator, keep: Keep): Observation {
  const kept = releasedButKept(allocator, keep);
  let changed = false;
  reuse(allocator, (owner) => {
    if (changed) return;
    owner.fill(Mark.other);
    outcomeOf(() => kept.write());
    changed = !isAll(owner, Mark.other);
  });
  if (changed) return { seen: "changes the next owner's bytes", harm: Harm.othersChanged };
  const { threw } = outcomeOf(() => kept.write());
  return describeWrite(kept, threw);
}

export function describeLook(kept: Kept): Observation {
  let bytes: Uint8Array = new Uint8Array(0);
  const { threw } = outcomeOf(() => {
    bytes = kept.look();
  });
  if (threw !== null) return { seen: `throws ${threw}`, harm: Harm.none };
  if (bytes.length === 0) return { seen: "is dead: length 0", harm: Harm.none };
  if (bytes.includes(Mark.other)) return { seen: "reads the next owner's bytes", harm: Harm.othersRead };
  if (isAll(bytes, 0)) return { seen: "reads zeros", harm: Harm.none };
  if (isAll(bytes, Mark.first)) return { seen: "reads its own old bytes", harm: Harm.ownBytesStay };
  return { seen: "reads bytes that nobody here wrote", harm: Harm.othersRead };
}

/** Of a write that reached no other owner. */
function describeWrite(kept: Kept, threw: string | null): Observation {
  if (threw !== null) return { seen: `throws ${threw}, changes nothing`, harm: Harm.none };
  const stays = shows(kept, Mark.stale);
  return { seen: stays ? "changes nothing but the stale view" : "is lost, changes nothing", harm: Harm.none };
}

function shows(kept: Kept, mark: number): boolean {
  let found = false;
  outcomeOf(() => {
    found = kept.look().includes(mark);
  });
  return found;
}
