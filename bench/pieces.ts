/**
 * Owns the pieces that a lease is made of, each measured alone, and the sum that
 * they make beside the measured cycle. What a sum of pieces cannot say is what
 * they cost each other; that, and the bookkeeping, is the unexplained rest.
 */

import { floor, throughAcquire } from "./baselines.ts";
import { type Batch, formatLength, formatNs, formatRatio, measure } from "./harness.ts";
import { loadBoundary, loadLibrary } from "./library.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";

const LENGTHS = [64, 1024, 4096, 16_384, 65_536];
const QUICK_LENGTHS = [64, 4096];
const SLAB_SHIFT = 14;

const CALL = "call into the module";
const MODULE_PAIR = "acquire, release to rest, reset; nothing wiped";
const VIEW = "view: new Uint8Array(buffer, ptr, length)";
const LEASE = "object like a Lease, five private fields";
const REVOKE = "revoke: grow(0) and a new .buffer";
const MEMORY = "new WebAssembly.Memory of a segment";
const INSTANCE = "instance of the module over it";

const WIPE = "wipe in the module";
const FILL = "wipe by fill(0) from JavaScript";
const FLOOR = "floor: 2 calls, view, wipe";
const CYCLE = "before-reuse, acquire to release";

export const pieces: Question = {
  name: "pieces",
  question: "What do the pieces of a lease cost, and how much of a lease do they explain?",
  run,
  tables,
};

/** Where results go, so that making them is not optimised away. */
const kept: unknown[] = new Array(16).fill(undefined);

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const lengths = quick ? QUICK_LENGTHS : LENGTHS;
  const rounds = quick ? 10 : 60;
  const steps = lengths.length + 2;
  const measurements: Measurement[] = [];
  const add = (figures: ReturnType<typeof measure>, at: Measurement["at"] = {}): void => {
    for (const [rival, { ns, spread, samples }] of Object.entries(figures)) {
      measurements.push({ rival, at, metric: "time", unit: "ns", value: ns, spread, samples });
    }
  };
  add(measure(await smallPieces(), { operations: 2000, rounds }));
  progress(1 / steps);
  // Few at a time: what a memory reserves of the address space is given back by the collector alone.
  add(measure(await largePieces(), { operations: 10, rounds: quick ? 5 : 20 }));
  for (const [done, byteLength] of lengths.entries()) {
    const plan = { operations: byteLength > 10_000 ? 500 : 2000, rounds };
    add(measure(await piecesOf(byteLength), plan), { byteLength });
    measurements.push({
      rival: CYCLE,
      at: { byteLength },
      metric: "revocations a lease",
      unit: "×",
      value: await revocationsPerLease(byteLength),
    });
    progress((done + 2) / steps);
  }
  return measurements;
}

async function smallPieces(): Promise<Record<string, Batch>> {
  const { createMemory, createSegmentExports, revoke, segmentMemoryBytes } = await loadBoundary();
  const memory = createMemory(segmentMemoryBytes(SLAB_SHIFT));
  const own = createMemory(segmentMemoryBytes(SLAB_SHIFT));
  if (memory === null || own === null) throw new Error("no memory for the pieces");
  const { liveBlocks } = createSegmentExports(memory, SLAB_SHIFT);
  const { buffer } = memory;
  return {
    [CALL]: (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) sum += liveBlocks();
      kept[0] = sum;
    },
    [VIEW]: (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) sum += new Uint8Array(buffer, 65_536, 1024).length;
      kept[0] = sum;
    },
    [LEASE]: (operations) => {
      for (let each = 0; each < operations; each++) kept[each & 15] = new LikeALease(buffer, memory, each, 1024);
    },
    [REVOKE]: (operations) => {
      for (let each = 0; each < operations; each++) {
        revoke(own);
        kept[each & 15] = own.buffer;
      }
    },
  };
}

/** The fields of src/lease.ts. */
class LikeALease {
  #bytes: unknown;
  readonly #byteLength: number;
  readonly #ptr: number;
  readonly #owner: unknown;
  #pins = 0;

  constructor(bytes: unknown, owner: unknown, ptr: number, byteLength: number) {
    this.#bytes = bytes;
    this.#owner = owner;
    this.#ptr = ptr;
    this.#byteLength = byteLength;
  }

  get fields(): unknown[] {
    return [this.#bytes, this.#owner, this.#ptr, this.#byteLength, this.#pins];
  }
}

async function largePieces(): Promise<Record<string, Batch>> {
  const { createMemory, createSegmentExports, segmentMemoryBytes } = await loadBoundary();
  const memory = createMemory(segmentMemoryBytes(SLAB_SHIFT));
  if (memory === null) throw new Error("no memory for the pieces");
  return {
    [MEMORY]: (operations) => {
      for (let each = 0; each < operations; each++) kept[each & 15] = createMemory(segmentMemoryBytes(SLAB_SHIFT));
    },
    [INSTANCE]: (operations) => {
      for (let each = 0; each < operations; each++) kept[each & 15] = createSegmentExports(memory, SLAB_SHIFT);
    },
  };
}

async function piecesOf(byteLength: number): Promise<Record<string, Batch>> {
  const { createMemory, createSegmentExports, headerBytes, segmentMemoryBytes, sizeClassOf } = await loadBoundary();
  const memory = createMemory(segmentMemoryBytes(SLAB_SHIFT));
  if (memory === null) throw new Error("no memory for the pieces");
  const { acquire, release, reset, wipe } = createSegmentExports(memory, SLAB_SHIFT);
  const sizeClass = sizeClassOf(byteLength, SLAB_SHIFT);
  const start = headerBytes(SLAB_SHIFT);
  const view = new Uint8Array(memory.buffer, start, byteLength);
  return {
    [MODULE_PAIR]: (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) {
        let ptr = acquire(sizeClass, 0);
        if (ptr <= 0) {
          reset();
          ptr = acquire(sizeClass, 0);
        }
        sum += release(ptr, 0, 1);
      }
      kept[0] = sum;
    },
    [WIPE]: (operations) => {
      for (let each = 0; each < operations; each++) wipe(start, byteLength);
    },
    [FILL]: (operations) => {
      for (let each = 0; each < operations; each++) view.fill(0);
    },
    [FLOOR]: await floor(byteLength),
    [CYCLE]: await throughAcquire("before-reuse", byteLength),
  };
}

/** What one lease pays of a revocation, counted by an arena under the same load. */
async function revocationsPerLease(byteLength: number): Promise<number> {
  const { Arena } = await loadLibrary("before-reuse-counting");
  const arena = new Arena({ trace: "off" });
  for (let each = 0; each < 5000; each++) arena.acquire(byteLength).release();
  const { acquired, revocations } = arena.stats();
  return revocations / acquired;
}

/** Nanoseconds of a cycle, by what they are spent on. */
export interface Sum {
  calls: number;
  view: number;
  lease: number;
  wipes: number;
  revocation: number;
}

/** What the pieces say that a cycle of `byteLength` takes. */
export function explain(measurements: readonly Measurement[], byteLength: number): Sum {
  const ns = (rival: string): number => nsOf(measurements, rival);
  const perLease =
    measurements.find((each) => each.metric === "revocations a lease" && each.at["byteLength"] === byteLength)?.value ??
    Number.NaN;
  const wipe = nsOf(measurements, WIPE, byteLength);
  // A wipe that was measured is a call as well; the two of the cycle happen inside calls that count already.
  const wipeAlone = Math.max(0, wipe - ns(CALL));
  // A lease alone in its segment is revoked each time, and then wiped only once.
  const wipes = perLease > 0.9 ? 1 : 2;
  return {
    calls: nsOf(measurements, MODULE_PAIR, byteLength),
    view: ns(VIEW),
    lease: ns(LEASE),
    wipes: wipes * wipeAlone,
    revocation: perLease * ns(REVOKE),
  };
}

function nsOf(measurements: readonly Measurement[], rival: string, byteLength?: number): number {
  const found = measurements.find(
    (each) => each.rival === rival && each.metric === "time" && each.at["byteLength"] === byteLength,
  );
  return found?.value ?? Number.NaN;
}

function tables(measurements: readonly Measurement[]): Table[] {
  const lengths = [...new Set(measurements.flatMap(({ at }) => (at["byteLength"] ? [Number(at["byteLength"])] : [])))];
  const columns = lengths.map(formatLength);
  const row = (name: string, figure: (byteLength: number) => number, format = formatNs): string[] => [
    name,
    ...lengths.map((byteLength) => format(figure(byteLength))),
  ];
  const part = (name: string, of: keyof Sum): string[] =>
    row(name, (byteLength) => explain(measurements, byteLength)[of]);
  const total = (byteLength: number): number =>
    Object.values(explain(measurements, byteLength)).reduce((sum: number, each: number) => sum + each, 0);
  const measured = (rival: string) => (byteLength: number) => nsOf(measurements, rival, byteLength);
  const cycle = measured(CYCLE);
  return [
    {
      title: "Pieces of no length, ns",
      head: ["", "ns", "± %"],
      rows: measurements
        .filter(({ at }) => at["byteLength"] === undefined)
        .map(({ rival, value, spread = Number.NaN }) => [rival, formatNs(value), (spread * 100).toFixed(0)]),
    },
    {
      title: "Pieces by length, ns",
      head: ["", ...columns],
      rows: [MODULE_PAIR, WIPE, FILL, FLOOR].map((name) => row(name, measured(name))),
    },
    {
      title: "What a lease of the default mode is made of, ns",
      head: ["", ...columns],
      rows: [
        part("acquire and release in the module, without wipes", "calls"),
        part("view", "view"),
        part("lease object", "lease"),
        part("wipes: at release, and at hand-out", "wipes"),
        part("its share of a revocation", "revocation"),
        row("sum of the pieces", total),
        row("measured", cycle),
        row("unexplained", (byteLength) => cycle(byteLength) - total(byteLength)),
        row("measured, of the sum", (byteLength) => cycle(byteLength) / total(byteLength), formatRatio),
        row("measured, of the floor", (byteLength) => cycle(byteLength) / measured(FLOOR)(byteLength), formatRatio),
      ],
    },
  ];
}
