/**
 * What outside code can see of the arenas, held cell by cell: the observatory's
 * matrices, each run once. Of the rivals only what does not depend on the system's
 * allocator. What the words of a cell say is the probe's business; here are the
 * verdicts, and the words where a promise hangs on them.
 */

import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { BUFFERS, type Matrix, runMatrix, THREADS, type Verdict } from "./visible/matrix.ts";
import { Harm, type Probe } from "./visible/probe.ts";
import { WIPED } from "./visible/subjects.ts";
import { ENTRY } from "./visible/threads.ts";

let matrix: Matrix;
let threads: Matrix;

beforeAll(async () => {
  const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  buildSync({
    entryPoints: [source("visible/threads.ts")],
    outfile: fileURLToPath(ENTRY),
    bundle: true,
    platform: "node",
    format: "esm",
    alias: { "cleanslab/shared": source("../src/shared/index.ts") },
  });
  matrix = await runMatrix(BUFFERS);
  threads = await runMatrix(THREADS);
}, 120_000);

const MODES = ["before-reuse", WIPED, "on-release", "never"] as const;
type Verdicts = [beforeReuse: Verdict, wiped: Verdict, onRelease: Verdict, never: Verdict];

/** The same for each way to keep a view. */
function stale(moment: string, ...verdicts: Verdicts): Record<string, Verdicts> {
  return Object.fromEntries(["view", ".buffer"].map((way) => [`stale ${way} ${moment}`, verdicts]));
}

/** Before Node 22 a transfer of WebAssembly memory is a copy of all of it; after that it throws. */
function transferCopies(): boolean {
  const { buffer } = new WebAssembly.Memory({ initial: 1 });
  try {
    structuredClone(buffer, { transfer: [buffer] });
    return true;
  } catch {
    return false;
  }
}
const transferred = transferCopies() ? "worse" : "differs";
/** From Node 22 on, `freeChunks` frees what a stream read. */
const canFree = "transfer" in ArrayBuffer.prototype;

/** In each mode; one verdict is every mode's. */
const EXPECTED: Record<string, Verdict | Verdicts> = {
  "bytes at hand-out": "same",
  "bytes at hand-out, last was shorter": "same",
  "released in another order": "same",
  // In `never` the view is kept with its block.
  "a property left on the view": ["same", "same", "same", "worse"],
  "a view or buffer that comes again": ["differs", "differs", "same", "differs"],
  "what .buffer is": "differs",
  "bytes that a filler is lent": ["worse", "same", "same", "worse"],
  "bytes behind a short fill, grown": "same",
  "bytes that growing adds": "same",
  "shrunk and grown again": "same",
  "view from before a move, reading": ["same", "better", "better", "same"],
  "view from before a move, after reuse": ["better", "better", "better", "worse"],
  ...stale("reads before reuse", "same", "better", "better", "same"),
  ...stale("writes before reuse", "same", "same", "differs", "same"),
  ...stale("reads after reuse", "better", "better", "better", "worse"),
  ...stale("writes after reuse", "differs", "differs", "differs", "worse"),
  "released twice at once": "differs",
  "released twice, an owner between": "differs",
  "leaked, never released": ["same", "same", "same", "worse"],
  "released in mid file read": "worse",
  "given back after a file read": "same",
  "released in mid socket write": ["same", "worse", "worse", "same"],
  "released in mid socket write, reused": "worse",
  "given back after a socket write": "same",
  "a chunk that somebody else kept": canFree ? "worse" : "same",
  "live view's .buffer, reading": ["worse", "worse", "same", "worse"],
  "live view's .buffer, writing": ["worse", "worse", "same", "worse"],
  "live view's .buffer when others left": ["worse", "same", "same", "worse"],
  "a write that ignores byteOffset": ["differs", "differs", "same", "differs"],
  "structuredClone of 16 bytes": "worse",
  "transfer of a live view's buffer": [transferred, transferred, "differs", transferred],
  "kept 16 bytes, before reuse": ["worse", "worse", "better", "worse"],
  "kept 16 bytes, after reuse": ["better", "better", "better", "worse"],
};

test.each([...MODES.entries()])("what is seen in mode %i, %s, is what is documented", (each, mode) => {
  const verdicts = Object.fromEntries(matrix.rows.map(({ probe, cells }) => [probe, cells[mode]?.verdict]));
  const expected = Object.entries(EXPECTED).map(([probe, all]) => [probe, typeof all === "string" ? all : all[each]]);
  expect(verdicts).toEqual(Object.fromEntries(expected));
});

/** Between two threads, beside a fresh SharedArrayBuffer. */
const EXPECTED_THERE: Record<string, [transferred: Verdict, pool: Verdict, arena: Verdict]> = {
  "bytes at hand-out, a worker's before": ["same", "worse", "same"],
  "stale view reads, a worker is next": ["same", "worse", "worse"],
  "stale view writes, a worker is next": ["same", "worse", "worse"],
  "released twice, a worker between": ["same", "worse", "differs"],
  "sender's view, reading": ["better", "same", "same"],
  "sender's view, writing": ["better", "same", "same"],
  "sender's view, after reuse there": ["better", "worse", "worse"],
  "sent once, taken twice": ["better", "same", "better"],
  "taken again after reuse there": ["better", "worse", "better"],
  "live view's .buffer shows a worker's": ["same", "worse", "worse"],
  "live view's .buffer writes a worker's": ["same", "worse", "worse"],
  "structuredClone of a live view": ["better", "worse", "worse"],
  "postMessage of a live view": ["better", "worse", "worse"],
  "a worker dies with all there is": ["same", "worse", "same"],
};

test("what threads see of a shared arena, and of what one has without it, is what is documented", () => {
  const subjects = ["transfer of a fresh ArrayBuffer", "pool over one SharedArrayBuffer", "SharedArena"];
  const verdicts = threads.rows.map(({ probe, cells }) => [probe, subjects.map((each) => cells[each]?.verdict)]);
  expect(Object.fromEntries(verdicts)).toEqual(EXPECTED_THERE);
  const seenOf = (probe: string): string | undefined =>
    threads.rows.find((row) => row.probe === probe)?.cells["SharedArena"]?.seen;
  for (const probe of ["sent once, taken twice", "taken again after reuse there"])
    expect(seenOf(probe), probe).toBe("throws ERR_TOKEN_USED");
  expect(seenOf("released twice, a worker between")).toMatch(/^throws ERR_LEASE_RELEASED/);
});

const POOLS = ["array pool", "array pool, fill(0)"];
const GROWN = /behind a short fill|growing adds|shrunk and grown/;
const EARLIER = /^bytes that were written before$/;

/** What stands in cells: a verdict, or the words. */
test.each<[fact: string, probes: RegExp, subjects: readonly string[], seen: RegExp | Verdict]>([
  [
    "a stale view reaches no other owner's bytes",
    /^stale /,
    MODES.slice(0, 3),
    /^(?!.*(next owner|nobody here wrote))/,
  ],
  [
    "before-reuse shows a stale view its own old bytes",
    /^stale .* reads before/,
    ["before-reuse"],
    /^reads its own old bytes$/,
  ],
  [
    "and kills it before they are anyone else's",
    /^stale .* reads after/,
    ["before-reuse"],
    /^(is dead: length 0|throws TypeError)$/,
  ],
  ["with wipeOnRelease a stale view shows zeros", /^stale .* reads before/, [WIPED], /^reads zeros$/],
  ["and a neighbour nothing of what was released", /\.buffer when others left/, [WIPED], /^shows nothing of theirs$/],
  ["who fills a buffer may see earlier bytes", /that a filler is lent/, ["before-reuse", "never"], EARLIER],
  ["unless they are wiped", /that a filler is lent/, [WIPED, "on-release"], /^zeros$/],
  ["who gets it never does", GROWN, MODES, /^zeros$/],
  [
    "a write that ignores byteOffset is reported",
    /ignores byteOffset/,
    ["before-reuse", WIPED, "never"],
    /^changes nobody's bytes, and is reported$/,
  ],
  ["a second release is a typed error", /^released twice/, MODES, /throws ERR_LEASE_RELEASED/],
  ["stale views of array pools reach the next owner", /^stale .*(reads after|writes)/, POOLS, "worse"],
  ["their double release gives two owners one buffer", /^released twice/, POOLS, /^two owners get one buffer$/],
])("%s", (_, probes, subjects, seen) => {
  const rows = matrix.rows.filter(({ probe }) => probes.test(probe));
  expect(rows.length).toBeGreaterThan(0);
  for (const { probe, cells } of rows) {
    for (const subject of subjects) {
      const cell = cells[subject];
      if (typeof seen === "string") expect(cell?.verdict, `${probe}, ${subject}`).toBe(seen);
      else expect(cell?.seen, `${probe}, ${subject}`).toMatch(seen);
    }
  }
});

describe("a matrix", () => {
  const quiet: Probe = { name: "quiet", theme: "", run: () => ({ seen: "nothing", harm: Harm.none }) };

  test("has a name of its own for each probe, leaves no cell untried or failed, and counts the cells", () => {
    for (const { rows, subjects, counts } of [matrix, threads]) {
      expect(new Set(rows.map(({ probe }) => probe)).size).toBe(rows.length);
      for (const subject of subjects) {
        const { untried, failed, ...given } = counts[subject] ?? {};
        const sum = Object.values(given).reduce((total, times) => total + times, 0);
        expect([untried, failed, sum], subject).toEqual([0, 0, rows.length]);
      }
    }
  });

  test("loses to a probe that throws or hangs its own row and no other", async () => {
    const throwing = (): never => {
      throw new Error("broken");
    };
    const runs: Probe["run"][] = [throwing, () => new Promise(() => {}), quiet.run];
    const probes = runs.map((run, each): Probe => ({ name: String(each), theme: "", run }));
    const { rows } = await runMatrix({ ...BUFFERS, probes, subjects: BUFFERS.subjects.slice(0, 1) }, undefined, 20);
    expect(rows.map(({ cells }) => cells["allocUnsafe"]?.verdict)).toEqual(["failed", "failed", "same"]);
  });
});
