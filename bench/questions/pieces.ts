/**
 * The pieces that a lease of the default mode is made of, each measured alone, and
 * their sum beside the measured lease. What the sum leaves out, the pieces cost each
 * other. Owns the pieces.
 */

import { Arena } from "cleanslab";
import {
  type Book,
  createMemory,
  PAGE_BYTES,
  requireBook,
  resolveModule,
  revoke,
  SLAB_COUNT,
} from "../../src/memory/abi.js";
import { figureOf, find, formatLength, formatNs, formatRatio, formatSpread, valuesOfAt } from "../figures.ts";
import { type Batch, COMPILED_AT_ONCE, medians, type Plan, type Timed, time, timings } from "../harness.ts";
import { lend } from "../loops.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { DEFAULT, openRival } from "../rivals.ts";

const LENGTHS: Readonly<Record<Form, readonly number[]>> = {
  quick: [64, 4096],
  full: [64, 1024, 4096, 16_384, 65_536],
};
const PLANS: Readonly<Record<Form, Plan>> = {
  quick: { warmUpMs: 60, batchMs: 0.5, batches: 60 },
  full: { warmUpMs: 150, batchMs: 1, batches: 200 },
};
/** Few at a time: what a memory reserves of the address space is given back by the collector alone. */
const FEW: Plan = { warmUpMs: 0, batchMs: 0, operations: 10, batches: 20 };

const SLAB_SHIFT = 14;
const PAGES = (SLAB_COUNT << SLAB_SHIFT) / PAGE_BYTES;

const CALL = "call into the module";
const VIEW = "view: new Uint8Array(buffer, ptr, length)";
const LEASE = "object like a Lease, five private fields";
const REVOKE = "revoke: grow(0), and a look whether it worked";
const MEMORY = "new WebAssembly.Memory of a segment";
const BOOK = "a book: a memory and an instance of the module";
const RUN = "run: opened, and once a segment recycled";
const FILL = "zeroing by fill(0)";
const MEASURED = "before-reuse, acquire to release";
const REVOCATIONS = "revocations a lease";

/** Where results go, so that making them is not optimised away. */
const kept: unknown[] = new Array(16).fill(undefined);

const SMALL: Readonly<Record<string, () => Batch>> = {
  [CALL]: () => {
    const { exports } = openBook();
    const segment = exports.addSegment(0);
    return (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) sum += exports.liveBlocks(segment);
      return sum;
    };
  },
  [VIEW]: () => {
    const { buffer } = openMemory();
    return (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) sum += new Uint8Array(buffer, 65_536, 1024).length;
      return sum;
    };
  },
  [LEASE]: () => {
    const memory = openMemory();
    return (operations) => {
      for (let each = 0; each < operations; each++) kept[each & 15] = new LikeALease(memory, memory, each, 1024);
    };
  },
  [REVOKE]: () => {
    const memory = openMemory();
    return (operations) => {
      for (let each = 0; each < operations; each++) {
        revoke(memory);
        kept[each & 15] = memory.buffer;
      }
    };
  },
};

const LARGE: Readonly<Record<string, () => Batch>> = {
  [MEMORY]: () => (operations) => {
    for (let each = 0; each < operations; each++) kept[each & 15] = openMemory();
  },
  [BOOK]: () => (operations) => {
    for (let each = 0; each < operations; each++) kept[each & 15] = openBook();
  },
};

const BY_LENGTH: Readonly<Record<string, (byteLength: number) => Batch>> = {
  [RUN]: (byteLength) => {
    const { exports } = openBook();
    const segment = exports.addSegment(0);
    const sizeClass = exports.sizeClassOf(byteLength);
    return (operations) => {
      for (let each = 0; each < operations; each++) {
        if (exports.openRun(segment, sizeClass) > 0) continue;
        exports.recycle(segment);
        exports.openRun(segment, sizeClass);
      }
    };
  },
  [FILL]: (byteLength) => {
    const bytes = new Uint8Array(openMemory().buffer, 0, byteLength);
    return (operations) => {
      for (let each = 0; each < operations; each++) bytes.fill(0);
    };
  },
  [MEASURED]: (byteLength) => lend(openRival(DEFAULT, { byteLength, alive: 1 }), byteLength, 1),
};

export interface PiecesInput {
  piece: string;
  /** `null` for a piece of no length. */
  byteLength: number | null;
  plan: Plan;
}

export interface PiecesResult extends Timed {
  /** What one lease pays of a revocation, counted by an arena; only with the measured lease. */
  revocations: number | null;
}

export const pieces: Question<PiecesInput, PiecesResult> = {
  name: "pieces",
  question: "What do the pieces of a lease cost, and how much of a lease do they explain?",
  rounds: { quick: 1, full: 5 },
  nodeFlags: COMPILED_AT_ONCE,
  cases: (form) => [
    ...Object.keys(SMALL).map((piece) => ({ piece, byteLength: null, plan: PLANS[form] })),
    ...Object.keys(LARGE).map((piece) => ({ piece, byteLength: null, plan: FEW })),
    ...LENGTHS[form].flatMap((byteLength) =>
      Object.keys(BY_LENGTH).map((piece) => ({ piece, byteLength, plan: PLANS[form] })),
    ),
  ],
  run({ piece, byteLength, plan }) {
    const batch = byteLength === null ? (SMALL[piece] ?? LARGE[piece])?.() : BY_LENGTH[piece]?.(byteLength);
    if (batch === undefined) throw new Error(`no piece is called "${piece}"`);
    const timed = time(batch, plan);
    return { ...timed, revocations: piece === MEASURED ? revocationsPerLease(byteLength ?? 0) : null };
  },
  measurements,
  tables,
};

function openMemory(): { readonly buffer: ArrayBuffer; grow(deltaPages: number): number } {
  const memory = createMemory(PAGES, PAGES);
  if (memory === null) throw new Error("no memory for the pieces");
  return memory;
}

function openBook(): Book {
  return requireBook(resolveModule(undefined), SLAB_SHIFT, false);
}

/** The fields of src/lease/lease.ts. */
class LikeALease {
  #bytes: unknown;
  #owner: unknown;
  #ptr: number;
  #byteLength: number;
  #attachments: unknown = null;

  constructor(bytes: unknown, owner: unknown, ptr: number, byteLength: number) {
    this.#bytes = bytes;
    this.#owner = owner;
    this.#ptr = ptr;
    this.#byteLength = byteLength;
  }

  get fields(): unknown[] {
    return [this.#bytes, this.#owner, this.#ptr, this.#byteLength, this.#attachments];
  }
}

function revocationsPerLease(byteLength: number): number {
  const arena = new Arena({ trace: "off" });
  for (let each = 0; each < 5000; each++) arena.acquire(byteLength).release();
  const { acquired, revocations } = arena.stats();
  return revocations / acquired;
}

function measurements(outcomes: readonly Outcome<PiecesInput, PiecesResult>[]): Measurement[] {
  return outcomes.flatMap(({ input: { piece, byteLength }, runs }): Measurement[] => {
    const at: Measurement["at"] = byteLength === null ? {} : { byteLength };
    return [
      ...timings(piece, at, runs),
      ...medians(piece, at, runs, { [REVOCATIONS]: ["×", ({ revocations }) => revocations] }),
    ];
  });
}

function tables(figures: readonly Measurement[]): Table[] {
  const lengths = valuesOfAt(figures, "byteLength").map(Number);
  const nsOf = (rival: string) => (byteLength: number) => figureOf(figures, { rival, byteLength });
  const revocation = (byteLength: number): number =>
    figureOf(figures, { rival: MEASURED, metric: REVOCATIONS, byteLength }) * figureOf(figures, { rival: REVOKE });
  const parts: readonly (readonly [name: string, ns: (byteLength: number) => number])[] = [
    ["view", () => figureOf(figures, { rival: VIEW })],
    ["lease object", () => figureOf(figures, { rival: LEASE })],
    [FILL, nsOf(FILL)],
    ["its share of a revocation", revocation],
  ];
  const total = (byteLength: number): number => parts.reduce((sum, [, ns]) => sum + ns(byteLength), 0);
  const measured = nsOf(MEASURED);
  const row = (name: string, figure: (byteLength: number) => number, format = formatNs): string[] => [
    name,
    ...lengths.map((byteLength) => format(figure(byteLength))),
  ];
  return [
    {
      title: "Pieces of no length, ns",
      head: ["", "ns", "± %"],
      rows: [...Object.keys(SMALL), ...Object.keys(LARGE)].map((rival) => {
        const found = find(figures, { rival });
        return [rival, formatNs(found?.value ?? Number.NaN), formatSpread(found?.spread)];
      }),
    },
    {
      title: "What a lease of the default mode is made of, ns; short leases share a fill and a run with others",
      head: ["", ...lengths.map(formatLength)],
      rows: [
        ...parts.map(([name, ns]) => row(name, ns)),
        row("sum of the pieces", total),
        row("measured", measured),
        row("measured, of the sum", (byteLength) => measured(byteLength) / total(byteLength), formatRatio),
        row(RUN, nsOf(RUN)),
      ],
    },
  ];
}
