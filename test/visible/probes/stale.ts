/**
 * Views kept past their release, and buffers of which a view is made later: reading and
 * writing, before and after the next owner has the memory.
 */

import { firstOf, Harm, type Observation, type Probe, themed, thrownBy } from "../probe.ts";
import type { Allocator } from "../subjects.ts";
import { acquireMarked, BUFFER_BYTES, isAll, Mark, reuse } from "../traffic.ts";

/** What was kept: how to look through it and how to write through it. Either may throw. */
export interface Kept {
  look(): Uint8Array;
  write(): void;
}

const WAYS: Record<string, Keep> = {
  view: (bytes) => ({
    look: () => bytes,
    write: () => {
      for (let index = 0; index < BUFFER_BYTES; index++) bytes[index] = Mark.stale;
    },
  }),
  ".buffer": ({ buffer, byteOffset, length }) => ({
    look: () => new Uint8Array(buffer, byteOffset, length),
    write: () => void new Uint8Array(buffer, byteOffset, length).fill(Mark.stale),
  }),
};

type Keep = (bytes: Uint8Array<ArrayBuffer>) => Kept;

export const STALE_PROBES: readonly Probe[] = Object.entries(WAYS).flatMap(([way, keep]) =>
  themed("a view kept past its release", {
    [`stale ${way} reads before reuse`]: (from) => describeLook(releasedButKept(from, keep)),
    [`stale ${way} writes before reuse`]: (from) => writeBefore(from, keep),
    [`stale ${way} reads after reuse`]: (from) => readAfter(from, keep),
    [`stale ${way} writes after reuse`]: (from) => writeAfter(from, keep),
  }),
);

function releasedButKept(allocator: Allocator, keep: Keep): Kept {
  const held = acquireMarked(allocator, Mark.first);
  const kept = keep(held.bytes);
  held.release();
  return kept;
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
  const written = describeWrite(kept);
  let isHandedOut = false;
  reuse(allocator, (owner) => {
    const isFound = owner.includes(Mark.stale);
    owner.fill(Mark.other);
    // Memory that was never cleared may hold this mark since another time: is it the same memory?
    isHandedOut ||= isFound && shows(kept, Mark.other);
  });
  return isHandedOut ? { seen: "the next owner is handed what it wrote", harm: Harm.othersChanged } : written;
}

function writeAfter(allocator: Allocator, keep: Keep): Observation {
  const kept = releasedButKept(allocator, keep);
  let isChanged = false;
  reuse(allocator, (owner) => {
    if (isChanged) return;
    owner.fill(Mark.other);
    thrownBy(() => kept.write());
    isChanged = !isAll(owner, Mark.other);
  });
  return isChanged ? { seen: "changes the next owner's bytes", harm: Harm.othersChanged } : describeWrite(kept);
}

export function describeLook(kept: Kept): Observation {
  let bytes: Uint8Array = new Uint8Array(0);
  const threw = thrownBy(() => {
    bytes = kept.look();
  });
  if (threw !== null) return { seen: `throws ${threw}`, harm: Harm.none };
  if (bytes.length === 0) return { seen: "is dead: length 0", harm: Harm.none };
  return firstOf(
    [
      [bytes.includes(Mark.other), "reads the next owner's bytes", Harm.othersRead],
      [isAll(bytes, Mark.first), "reads its own old bytes", Harm.ownBytesStay],
      [!isAll(bytes, 0), "reads bytes that nobody here wrote", Harm.othersRead],
    ],
    "reads zeros",
  );
}

/** Of a write that reaches no other owner. */
function describeWrite(kept: Kept): Observation {
  const threw = thrownBy(() => kept.write());
  return firstOf(
    [
      [threw !== null, `throws ${threw}, changes nothing`, Harm.none],
      [shows(kept, Mark.stale), "changes nothing but the stale view", Harm.none],
    ],
    "is lost, changes nothing",
  );
}

function shows(kept: Kept, mark: number): boolean {
  let isFound = false;
  thrownBy(() => {
    isFound = kept.look().includes(mark);
  });
  return isFound;
}
