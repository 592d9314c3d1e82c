/**
 * What a view sees that was kept past its release: done, watched and put into
 * words. The words follow from what is seen; nothing here knows a mode's promise.
 */

import { CONTENDERS, type HeldBuffer, openSource } from "./buffers.ts";

export const STALE_BYTES = 4096;
/** Whoever has not handed the memory out again by then never will. */
const MAX_ACQUIRES = 20_000;

const SECRET = patternOf("secret! ");
const NEXT = patternOf("next owner's bytes ");
const SCRIBBLE = 0xee;

export interface StaleView {
  readonly source: string;
  readonly afterRelease: string;
  /** Buffers acquired and released until one lay in the same memory; `null` if none did. */
  readonly reusedAfter: number | null;
  /** What the next owner was given, before writing to it. */
  readonly nextOwnerGot: string | null;
  /** Once the next owner had written; or, if there was none, after all those buffers. */
  readonly afterReuse: string;
  /** What came of writing through the stale view after that. */
  readonly staleWrite: string;
}

/** The contenders with zeroed buffers, and for contrast the pool that one writes in ten lines. */
export function watchStaleViews(): StaleView[] {
  const zeroed = CONTENDERS.filter((contender) => contender !== "allocUnsafe");
  const watched = zeroed.map((contender) => {
    const { source, arena } = openSource(contender);
    const seen = watch(contender, (byteLength) => source.acquire(byteLength));
    arena?.[Symbol.dispose]();
    return seen;
  });
  return [...watched, watch("array pool, no wiping", openArrayPool())];
}

/** A `Lease` tells where it lies, whether its views are alive or not; another buffer is known by its `ArrayBuffer`. */
type Buffer = HeldBuffer & { readonly memory?: object | undefined; readonly byteOffset?: number };

function watch(source: string, acquire: (byteLength: number) => Buffer): StaleView {
  const first = acquire(STALE_BYTES);
  const at = placeOf(first);
  const stale = first.bytes;
  stale.set(SECRET);
  first.release();
  const afterRelease = describe(stale);
  for (let count = 1; count <= MAX_ACQUIRES; count++) {
    const next = acquire(STALE_BYTES);
    const place = placeOf(next);
    if (place.memory === at.memory && place.byteOffset === at.byteOffset) {
      const nextOwnerGot = describe(next.bytes);
      next.bytes.set(NEXT);
      const afterReuse = describe(stale);
      const staleWrite = tryWrite(stale, next.bytes);
      next.release();
      return { source, afterRelease, reusedAfter: count, nextOwnerGot, afterReuse, staleWrite };
    }
    next.bytes.set(NEXT);
    next.release();
  }
  const afterReuse = describe(stale);
  return { source, afterRelease, reusedAfter: null, nextOwnerGot: null, afterReuse, staleWrite: tryWrite(stale, null) };
}

function placeOf(buffer: Buffer): { memory: object; byteOffset: number } {
  const { bytes, memory, byteOffset } = buffer;
  return { memory: memory ?? bytes.buffer, byteOffset: byteOffset ?? bytes.byteOffset };
}

function describe(view: Uint8Array): string {
  if (view.length === 0) return `dead: length 0, set() ${outcomeOfSet(view)}`;
  if (view.every((byte) => byte === 0)) return `${view.length} zeros`;
  if (view.every((byte, index) => byte === SECRET[index])) return "the first owner's secret";
  if (view.every((byte, index) => byte === NEXT[index])) return "the next owner's bytes";
  return `${view.filter((byte) => byte !== 0).length} of ${view.length} bytes not zero, from more than one owner`;
}

function outcomeOfSet(view: Uint8Array): string {
  try {
    view.set([SCRIBBLE]);
    return "does nothing";
  } catch (error) {
    return `throws ${error instanceof Error ? error.name : String(error)}`;
  }
}

function tryWrite(stale: Uint8Array, nextOwner: Uint8Array | null): string {
  stale[0] = SCRIBBLE;
  if (nextOwner?.[0] === SCRIBBLE) return "changes the next owner's bytes";
  return stale[0] === SCRIBBLE ? "stays in the stale view" : "is lost, nobody's bytes change";
}

function openArrayPool(): (byteLength: number) => HeldBuffer {
  const idle: Uint8Array<ArrayBuffer>[] = [];
  return (byteLength) => {
    const bytes = idle.pop() ?? new Uint8Array(byteLength);
    return { bytes, release: () => idle.push(bytes) };
  };
}

function patternOf(text: string): Uint8Array {
  const letters = new TextEncoder().encode(text);
  return Uint8Array.from({ length: STALE_BYTES }, (_, index) => letters[index % letters.length] as number);
}
