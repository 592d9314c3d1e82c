/**
 * Copies frames at their pace in one of two ways, and notes what it took. Owns the
 * copies in use. Knows nothing of the page.
 */

import { Arena } from "cleanslab";
import { frameToLease } from "../../examples/recipes/webcodecs.ts";
import type { FrameSource } from "./source.ts";

const FRAMES_PER_SECOND = 60;
/** As in a pipeline whose stages each work on another frame. */
const COPIES_IN_USE = 4;

/** A frame's pixels; a lease is one. */
interface Copy {
  readonly bytes: Uint8Array;
  release(): void;
}

/** A way to get memory for copies. */
interface Way {
  copy(frame: VideoFrame): Promise<Copy>;
  /** Bytes held for copies, in use or not. */
  heldBytes(): number;
  end(): void;
}

export const WAYS = { leases, "fresh arrays": freshArrays } as const;
export type WayName = keyof typeof WAYS;

export interface Sample {
  readonly seconds: number;
  readonly heldBytes: number;
  /** What it took to let go of the oldest copy and to copy a frame. */
  readonly milliseconds: number;
  /** Of the whole page, where the browser tells. */
  readonly heapBytes: number | undefined;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  /** Garbage collections that were noticed. */
  readonly collections: number;
}

function leases(): Way {
  const arena = new Arena();
  return {
    copy: (frame) => frameToLease(frame, arena),
    heldBytes: () => arena.stats().reservedBytes,
    end: () => arena[Symbol.dispose](),
  };
}

function freshArrays(): Way {
  let heldBytes = 0;
  const registry = new FinalizationRegistry<number>((byteLength) => {
    heldBytes -= byteLength;
  });
  return {
    async copy(frame) {
      const bytes = new Uint8Array(frame.allocationSize());
      heldBytes += bytes.length;
      registry.register(bytes.buffer, bytes.length);
      await frame.copyTo(bytes);
      return { bytes, release: () => {} };
    },
    heldBytes: () => heldBytes,
    end: () => {},
  };
}

/** @param onFrame is called after each frame, with all samples so far. */
export async function copyFrames(
  name: WayName,
  source: FrameSource,
  seconds: number,
  onFrame: (samples: readonly Sample[]) => void,
): Promise<Outcome> {
  const way = WAYS[name]();
  const inUse: Copy[] = [];
  const samples: Sample[] = [];
  let collections = 0;
  let collectedAt = -1;
  // One collection finds many of these, all before the next frame.
  const collected = new FinalizationRegistry<undefined>(() => {
    if (collectedAt !== samples.length) collections++;
    collectedAt = samples.length;
  });
  try {
    const start = performance.now();
    for (let number = 0; number < seconds * FRAMES_PER_SECOND; number++) {
      await until(start + (number * 1000) / FRAMES_PER_SECOND);
      collected.register({}, undefined);
      const frame = source(number);
      try {
        const before = performance.now();
        if (inUse.length === COPIES_IN_USE) inUse.shift()?.release();
        inUse.push(await way.copy(frame));
        const now = performance.now();
        samples.push({
          seconds: (now - start) / 1000,
          heldBytes: way.heldBytes(),
          milliseconds: now - before,
          heapBytes: heapBytes(),
        });
      } finally {
        frame.close();
      }
      onFrame(samples);
    }
    return { samples, collections };
  } finally {
    for (const copy of inUse) copy.release();
    way.end();
  }
}

/** A task of its own in any case: so that the browser draws, and tells of collections. */
function until(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time - performance.now()));
}

/** Elsewhere than on Chromium's isolated pages it is rounded, or not there. */
function heapBytes(): number | undefined {
  if (!crossOriginIsolated) return undefined;
  return (performance as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize;
}
