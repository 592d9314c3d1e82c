/**
 * Programs that do little but take buffers: chunks of 64 KiB and frames of 1.2 MB that are
 * written whole, copies of 16 to 256 KiB, messages of 1.5 to 3.5 KiB, and tokens of 16 to
 * 64 bytes, which are too short for an arena to pay.
 */

import { randomBytes } from "node:crypto";
import { Arena } from "cleanslab";
import { type Figures, type JobProgram, leases, ordinary, quantile } from "./program.ts";

interface Loan {
  readonly bytes: Uint8Array;
  release(): void;
}

class Owned implements Loan {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  release(): void {}
}

/** Zeroed bytes, or a copy of `source`. */
interface Lender {
  zeroed(byteLength: number): Loan;
  copyOf(source: Uint8Array): Loan;
}

function collected(allocate: (byteLength: number) => Uint8Array): Lender {
  return {
    zeroed: (byteLength) => new Owned(allocate(byteLength)),
    copyOf(source) {
      const bytes = allocate(source.length);
      bytes.set(source);
      return new Owned(bytes);
    },
  };
}

function lenderOf(variant: string): Lender {
  if (variant === "new Uint8Array") return collected((byteLength) => new Uint8Array(byteLength));
  if (variant === "allocUnsafe") return collected((byteLength) => Buffer.allocUnsafe(byteLength));
  const arena = new Arena({ maxBytes: 64 << 20, trace: "off" });
  return { zeroed: (byteLength) => arena.acquire(byteLength), copyOf: (source) => arena.copyOf(source) };
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const noise = randomBytes(1_228_800);

/** `alive` copies of `lengthOf(i)` bytes at a time, first in, first out; the event loop turns now and then. */
async function copies(
  lender: Lender,
  count: number,
  alive: number,
  turn: number,
  lengthOf: (each: number) => number,
): Promise<Figures> {
  const ring: (Loan | null)[] = new Array(alive).fill(null);
  const latencies = new Float64Array(count);
  for (let each = 0; each < count; each++) {
    const began = performance.now();
    const slot = each % alive;
    ring[slot]?.release();
    ring[slot] = lender.copyOf(noise.subarray(0, lengthOf(each)));
    latencies[each] = performance.now() - began;
    if (each % turn === 0) await tick();
  }
  for (const loan of ring) loan?.release();
  return {
    operations: count,
    p99Ms: quantile(latencies as unknown as number[], 0.99),
    worst1in10000Ms: quantile(latencies as unknown as number[], 0.9999),
  };
}

/** Zeroed messages, a few bytes of each written. */
async function messages(lender: Lender): Promise<Figures> {
  const count = 1_500_000;
  const ring: (Loan | null)[] = new Array(256).fill(null);
  for (let each = 0; each < count; each++) {
    const slot = each & 255;
    ring[slot]?.release();
    const byteLength = 1500 + (each & 2047);
    const loan = lender.zeroed(byteLength);
    const { bytes } = loan;
    bytes[0] = 8;
    bytes[byteLength - 1] = 1;
    for (let at = 2; at < 200; at++) bytes[at] = at;
    ring[slot] = loan;
    if (each % 512 === 0) await tick();
  }
  return { operations: count };
}

/** Short copies. */
async function tokens(lender: Lender): Promise<Figures> {
  const count = 6_000_000;
  const ring: (Loan | null)[] = new Array(256).fill(null);
  for (let each = 0; each < count; each++) {
    const slot = each & 255;
    ring[slot]?.release();
    ring[slot] = lender.copyOf(noise.subarray(slot, slot + 16 + (each % 49)));
    if (each % 4096 === 0) await tick();
  }
  return { operations: count };
}

const variants = [ordinary("allocUnsafe"), ordinary("new Uint8Array"), leases("leases")];

function job(name: string, title: string, work: (lender: Lender) => Promise<Figures>): JobProgram {
  return { name, title, variants, work: (variant) => work(lenderOf(variant)) };
}

/** Even, from 16 to 256 KiB, the same each run. */
function spread(each: number): number {
  return 16384 + ((Math.imul(each, 2654435761) >>> 8) % 245_760);
}

export const bufferPrograms: readonly JobProgram[] = [
  job("chunks", "Chunks of 64 KiB, 16 alive, written whole", (lender) => copies(lender, 150_000, 16, 64, () => 65536)),
  job("frames", "Frames of 1.2 MB, 8 alive, written whole", (lender) => copies(lender, 3000, 8, 8, () => 1_228_800)),
  job("copies", "Copies of 16 to 256 KiB, 64 alive", (lender) => copies(lender, 60_000, 64, 64, spread)),
  job("messages", "Messages of 1.5 to 3.5 KiB, 256 alive, zeroed but for allocUnsafe", messages),
  job("tokens", "Copies of 16 to 64 bytes, 256 alive: too short to pay", tokens),
];
