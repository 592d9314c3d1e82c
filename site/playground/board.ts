/**
 * What the page knows of the arena, out of the public API alone: which memory and
 * which bytes each lease lay in. Holds no memory and no lease that the page gave
 * up, so that the collector can find what was leaked. Knows nothing of the DOM.
 */

import { Arena, type ArenaStats, type Lease, type RevokeMode } from "cleanslab";

/** Small, so that a few clicks fill it: four segments of 64 slabs of 4 KiB, the first of which is the trap. */
const SEGMENT_BYTES = 256 * 1024;
const PAGE_BYTES = 64 * 1024;
const MAX_BYTES = 4 * SEGMENT_BYTES;
const SLAB_COUNT = 64;
const SLAB_BYTES = SEGMENT_BYTES / SLAB_COUNT;

type BlockState = "live" | "resting" | "leaked";

interface Block {
  readonly start: number;
  readonly byteLength: number;
  state: BlockState;
}

/** A memory as it is drawn. */
export interface MemoryPicture {
  readonly number: number;
  readonly kind: "segment" | "one-lease" | "heap";
  /** Where its first slab with leases begins. */
  readonly firstByte: number;
  readonly blocks: Set<Block>;
  /** The buffer that its views have now; detached once it was revoked. */
  buffer: WeakRef<ArrayBuffer>;
  /** Revocations seen. */
  revoked: number;
  gone: "" | "collected" | "let go of";
}

interface Held {
  readonly lease: Lease;
  readonly block: Block;
  readonly picture: MemoryPicture;
}

export class Board {
  readonly #arena: Arena;
  readonly #mode: RevokeMode;
  readonly #held: Held[] = [];
  readonly #numbers = new WeakMap<object, MemoryPicture>();
  readonly pictures: MemoryPicture[] = [];
  #count = 0;

  constructor(mode: RevokeMode, say: (text: string) => void) {
    this.#mode = mode;
    this.#arena = new Arena({ revoke: mode, segmentBytes: SEGMENT_BYTES, maxBytes: MAX_BYTES });
    this.#arena.addEventListener("leak", ({ leases, byteLength }) => {
      say(`The collector found ${leases} leaked, ${byteLength} bytes. They are back under the cap.`);
    });
  }

  get stats(): ArenaStats {
    return this.#arena.stats();
  }

  get held(): number {
    return this.#held.length;
  }

  acquire(byteLength: number): string {
    const lease = this.#arena.acquire(byteLength);
    lease.bytes.fill(7);
    const picture = this.#pictureOf(lease);
    const block: Block = { start: lease.byteOffset, byteLength, state: "live" };
    picture.blocks.add(block);
    this.#held.push({ lease, block, picture });
    const where = picture.kind === "heap" ? "the heap: the arena is full" : `memory ${picture.number}`;
    return `Acquired ${byteLength} zeroed bytes in ${where}.`;
  }

  /** @param which index among the leases held, oldest first. */
  release(which: number): string {
    const [held] = this.#held.splice(which, 1);
    if (held === undefined) return "Nothing is leased.";
    const { lease, block, picture } = held;
    const stale = lease.bytes;
    lease.release();
    if (this.#mode === "before-reuse" && picture.kind === "segment") block.state = "resting";
    else picture.blocks.delete(block);
    if (picture.kind === "heap") picture.gone = "let go of";
    const view = stale.length === 0 ? "is dead" : `reads ${stale[0]}`;
    return `Released ${block.byteLength} bytes: a view kept of them ${view}.`;
  }

  /** What code does that takes `.buffer` and forgets `byteOffset`. */
  strayWrite(): string {
    const lease = this.#held.at(-1)?.lease;
    if (lease === undefined) return "Nothing is leased.";
    const before = this.stats.strayWrites;
    new DataView(lease.bytes.buffer).setUint32(8, 0x07070707);
    this.#arena.audit();
    if (this.stats.strayWrites > before) return "Wrote to .buffer without byteOffset: it hit the trap, and was found.";
    return "Wrote to .buffer without byteOffset: this memory has one lease, and it hit that.";
  }

  leak(): string {
    const held = this.#held.shift();
    if (held === undefined) return "Nothing is leased.";
    held.block.state = "leaked";
    return "Forgot a lease without releasing it. Its memory is the collector's to find: make garbage.";
  }

  trim(): string {
    return `Let go of ${this.#arena.trim()} bytes that had no lease.`;
  }

  dispose(): void {
    this.#arena[Symbol.dispose]();
  }

  /** Looks what became of each memory since the last look. */
  look(): void {
    for (const picture of this.pictures) this.#lookAt(picture);
    for (let each = this.pictures.length - 1; each >= 0 && this.pictures.length > 12; each--) {
      if (this.pictures[each]?.gone) this.pictures.splice(each, 1);
    }
  }

  #lookAt(picture: MemoryPicture): void {
    const buffer = picture.buffer.deref();
    if (picture.gone || picture.kind === "heap") return;
    if (buffer === undefined) {
      picture.gone = [...picture.blocks].some(({ state }) => state === "leaked") ? "collected" : "let go of";
      picture.blocks.clear();
    } else if (buffer.byteLength === 0) {
      this.#sawRevocation(picture);
    }
  }

  #sawRevocation(picture: MemoryPicture): void {
    picture.revoked++;
    for (const block of picture.blocks) if (block.state === "resting") picture.blocks.delete(block);
    // The next lease in it shows its new buffer.
    picture.buffer = new WeakRef(new ArrayBuffer(1));
  }

  #pictureOf(lease: Lease): MemoryPicture {
    const { memory } = lease;
    const { buffer } = lease.bytes;
    let picture = memory && this.#numbers.get(memory);
    if (picture === undefined) {
      const kind = memory === undefined ? "heap" : this.#mode === "on-release" ? "one-lease" : "segment";
      // The first lease of a memory begins a slab.
      const firstByte = lease.byteOffset % SLAB_BYTES;
      const number = ++this.#count;
      picture = { number, kind, firstByte, blocks: new Set(), buffer: new WeakRef(buffer), revoked: 0, gone: "" };
      this.pictures.push(picture);
      if (memory !== undefined) this.#numbers.set(memory, picture);
    }
    if (picture.buffer.deref() !== buffer) {
      this.#lookAt(picture);
      picture.buffer = new WeakRef(buffer);
      picture.gone = "";
    }
    return picture;
  }
}

/** Of each slab behind the trap, what part of it is in which state, from 0 to 1. */
export function slabsOf({ kind, firstByte, blocks }: MemoryPicture): Record<BlockState, number>[] {
  const count = kind === "segment" ? SLAB_COUNT - 1 : 1;
  const slabBytes = kind === "segment" ? SLAB_BYTES : PAGE_BYTES;
  const slabs = Array.from({ length: count }, () => ({ live: 0, resting: 0, leaked: 0 }));
  for (const { start, byteLength, state } of blocks) {
    let at = kind === "segment" ? start - firstByte : 0;
    let left = byteLength;
    while (left > 0) {
      const slab = slabs[Math.floor(at / slabBytes)];
      if (slab === undefined) break;
      const part = Math.min(left, slabBytes - (at % slabBytes));
      slab[state] += part / slabBytes;
      at += part;
      left -= part;
    }
  }
  return slabs;
}
