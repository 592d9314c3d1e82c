/**
 * What outside code can see of the arena, held cell by cell: the observatory's
 * matrix, run once. Of the rivals only what does not depend on the system's
 * allocator. What the words of a cell say is the probe's business; here are the
 * verdicts, and the words where a promise hangs on them.
 */

import { beforeAll, describe, expect, test } from "vitest";
import { type Matrix, PROBES, type Row, runMatrix, type Verdict } from "./visible/matrix.ts";
import { Harm, type Probe } from "./visible/probe.ts";
import { SUBJECTS, WIPED } from "./visible/subjects.ts";

let matrix: Matrix;

beforeAll(async () => {
  matrix = await runMatrix();
}, 120_000);

const WAYS = ["view", "subarray", "DataView", ".buffer"];

/** Verdicts for each way to keep a view: reading and writing before reuse, reading and writing after it. */
function stale(...verdicts: [Verdict, Verdict, Verdict, Verdict]): Record<string, Verdict> {
  const moments = ["reads before reuse", "writes before reuse", "reads after reuse", "writes after reuse"];
  return Object.fromEntries(
    WAYS.flatMap((way) => moments.map((moment, index) => [`stale ${way} ${moment}`, verdicts[index] ?? "failed"])),
  );
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

/** From Node 22 on, `freeChunks` frees what a stream read. */
function canFree(): boolean {
  return "transfer" in ArrayBuffer.prototype;
}

/** What every mode of the arena shows. */
const EVERY_MODE: Record<string, Verdict> = {
  "bytes at hand-out": "same",
  "bytes at hand-out, last was shorter": "same",
  "released in another order": "same",
  "bytes behind a short fill, grown": "same",
  "bytes that growing adds": "same",
  "shrunk and grown again": "same",
  "what .buffer is": "differs",
  "released twice at once": "differs",
  "released twice, an owner between": "differs",
  "released in mid file read": "worse",
  "given back after a file read": "same",
  "released in mid socket write, reused": "worse",
  "given back after a socket write": "same",
  "a chunk that somebody else kept": canFree() ? "worse" : "same",
  "structuredClone of 16 bytes": "worse",
};

/** What follows from leases that share a segment. */
const SEGMENTS: Record<string, Verdict> = {
  "a view or buffer that comes again": "differs",
  "live view's .buffer, reading": "worse",
  "live view's .buffer, writing": "worse",
  "a write that ignores byteOffset": "differs",
  "transfer of a live view's buffer": transferCopies() ? "worse" : "differs",
  "kept 16 bytes, before reuse": "worse",
};

const EXPECTED: Record<string, Record<string, Verdict>> = {
  "before-reuse": {
    ...EVERY_MODE,
    ...SEGMENTS,
    ...stale("same", "same", "better", "differs"),
    "a property left on the view": "same",
    "bytes that a filler is lent": "worse",
    "view from before a move, reading": "same",
    "view from before a move, after reuse": "better",
    "leaked, never released": "same",
    "released in mid socket write": "same",
    "live view's .buffer when others left": "worse",
    "kept 16 bytes, after reuse": "better",
  },
  [WIPED]: {
    ...EVERY_MODE,
    ...SEGMENTS,
    ...stale("better", "same", "better", "differs"),
    "a property left on the view": "same",
    "bytes that a filler is lent": "same",
    "view from before a move, reading": "better",
    "view from before a move, after reuse": "better",
    "leaked, never released": "same",
    "released in mid socket write": "worse",
    "live view's .buffer when others left": "same",
    "kept 16 bytes, after reuse": "better",
  },
  "on-release": {
    ...EVERY_MODE,
    ...stale("better", "differs", "better", "differs"),
    "a property left on the view": "same",
    "bytes that a filler is lent": "same",
    "view from before a move, reading": "better",
    "view from before a move, after reuse": "better",
    "released in mid socket write": "worse",
    "live view's .buffer when others left": "same",
    "a write that ignores byteOffset": "same",
    "a view or buffer that comes again": "same",
    "leaked, never released": "same",
    "live view's .buffer, reading": "same",
    "live view's .buffer, writing": "same",
    "transfer of a live view's buffer": "differs",
    "kept 16 bytes, before reuse": "better",
    "kept 16 bytes, after reuse": "better",
  },
  never: {
    ...EVERY_MODE,
    ...SEGMENTS,
    ...stale("same", "same", "worse", "worse"),
    // The view is kept with its block.
    "a property left on the view": "worse",
    "bytes that a filler is lent": "worse",
    "view from before a move, reading": "same",
    "view from before a move, after reuse": "worse",
    "released in mid socket write": "same",
    "live view's .buffer when others left": "worse",
    "leaked, never released": "worse",
    "kept 16 bytes, after reuse": "worse",
  },
};

function verdictsOf(subject: string): Record<string, Verdict | undefined> {
  return Object.fromEntries(matrix.rows.map(({ probe, cells }) => [probe, cells[subject]?.verdict]));
}

function rowsNamed(pattern: RegExp): Row[] {
  return matrix.rows.filter(({ probe }) => pattern.test(probe));
}

describe("what outside code sees of the arena", () => {
  test.for(Object.keys(EXPECTED))("every verdict on %s is the one that is documented", (mode) => {
    expect(verdictsOf(mode)).toEqual(EXPECTED[mode]);
  });

  test.for(["before-reuse", WIPED, "on-release"])(
    "in no probe does a stale view reach another owner's bytes: %s",
    (mode) => {
      const rows = rowsNamed(/^stale /);
      expect(rows).toHaveLength(16);
      for (const { probe, cells } of rows) {
        expect(cells[mode]?.verdict, probe).not.toBe("worse");
        expect(cells[mode]?.seen, probe).not.toMatch(/next owner|nobody here wrote/);
      }
    },
  );

  test("before-reuse kills a stale view before its bytes are anyone else's, and shows its own old bytes until then", () => {
    for (const { probe, cells } of rowsNamed(/^stale .* reads before/)) {
      expect(cells["before-reuse"]?.seen, probe).toBe("reads its own old bytes");
    }
    for (const { probe, cells } of rowsNamed(/^stale .* reads after/)) {
      expect(cells["before-reuse"]?.seen, probe).toMatch(/^(is dead: length 0|throws TypeError)$/);
    }
  });

  test("with wipeOnRelease a stale view shows zeros, and a neighbour finds nothing of what was released", () => {
    for (const { probe, cells } of rowsNamed(/^stale .* reads before/)) {
      expect(cells[WIPED]?.seen, probe).toBe("reads zeros");
    }
    expect(rowsNamed(/\.buffer when others left/)[0]?.cells[WIPED]?.seen).toBe("shows nothing of theirs");
  });

  test("who fills a buffer may see earlier bytes, unless they are wiped; who gets it never does", () => {
    const row = rowsNamed(/that a filler is lent/)[0];
    expect(row?.cells["before-reuse"]?.seen).toBe("bytes that were written before");
    expect(row?.cells["never"]?.seen).toBe("bytes that were written before");
    for (const mode of [WIPED, "on-release"]) expect(row?.cells[mode]?.seen, mode).toBe("zeros");
    for (const { probe, cells } of rowsNamed(/behind a short fill|growing adds|shrunk and grown/)) {
      for (const mode of Object.keys(EXPECTED)) expect(cells[mode]?.seen, `${probe}, ${mode}`).toBe("zeros");
    }
  });

  test("a write that ignores byteOffset changes nobody's bytes where leases share a segment, and is reported", () => {
    const row = rowsNamed(/ignores byteOffset/)[0];
    for (const mode of ["before-reuse", WIPED, "never"]) {
      expect(row?.cells[mode]?.seen, mode).toBe("changes nobody's bytes, and is reported");
    }
  });

  test("a second release throws a typed error in every mode", () => {
    for (const { cells } of rowsNamed(/^released twice/)) {
      for (const mode of Object.keys(EXPECTED)) expect(cells[mode]?.seen).toContain("throws ERR_LEASE_RELEASED");
    }
  });
});

describe("the observatory sees what it looks for", () => {
  test.for(["array pool", "array pool, fill(0)"])("stale views of an %s reach the next owner", (pool) => {
    for (const { probe, cells } of rowsNamed(/^stale .*(reads after|writes)/)) {
      expect(cells[pool]?.verdict, probe).toBe("worse");
    }
  });

  test.for(["array pool", "array pool, fill(0)"])("a double release of an %s gives two owners one buffer", (pool) => {
    for (const { cells } of rowsNamed(/^released twice/)) expect(cells[pool]?.seen).toBe("two owners get one buffer");
  });

  test("an array pool shows its fillers and holders what others wrote, at every growth", () => {
    for (const { probe, cells } of rowsNamed(/filler is lent|short fill|growing adds|shrunk and grown/)) {
      expect(cells["array pool"]?.seen, probe).toBe("bytes that were written before");
    }
  });

  test("an array pool hands out the last owner's bytes unless it wipes", () => {
    for (const { cells } of rowsNamed(/^bytes at hand-out/)) {
      expect(cells["array pool"]?.verdict).toBe("worse");
      expect(cells["array pool, fill(0)"]?.verdict).toBe("same");
    }
  });

  test("a buffer released during a file read changes a later owner's bytes in every pool", () => {
    for (const pool of ["array pool", "array pool, fill(0)", "@thi.ng/malloc"]) {
      expect(rowsNamed(/^released in mid file read/)[0]?.cells[pool]?.seen).toBe("writes into another owner's bytes");
    }
  });

  test("@thi.ng/malloc shows its owners to each other, and dies with any buffer of it that is transferred", () => {
    expect(verdictsOf("@thi.ng/malloc")).toMatchObject({
      ...stale("same", "same", "worse", "worse"),
      "released twice, an owner between": "worse",
      "leaked, never released": "worse",
      "live view's .buffer, reading": "worse",
      "transfer of a live view's buffer": "worse",
    });
  });
});

describe("the matrix", () => {
  const quiet: Probe = { name: "quiet", theme: "", run: () => ({ seen: "nothing", harm: Harm.none }) };

  test("no two probes have one name", () => {
    expect(new Set(PROBES.map(({ name }) => name)).size).toBe(PROBES.length);
  });

  test("no cell is left untried or failed, and the counts are those of the cells", () => {
    for (const subject of matrix.subjects) {
      const { untried, failed, ...given } = matrix.counts[subject] ?? {};
      expect([untried, failed], subject).toEqual([0, 0]);
      expect(
        Object.values(given).reduce((sum, times) => sum + times, 0),
        subject,
      ).toBe(PROBES.length);
    }
  });

  test("a probe that throws or hangs costs its own row and no other", async () => {
    const throwing: Probe = {
      ...quiet,
      name: "throwing",
      run: () => {
        throw new Error("broken");
      },
    };
    const hanging: Probe = { ...quiet, name: "hanging", run: () => new Promise(() => {}) };
    const subjects = SUBJECTS.slice(0, 1);
    const { rows } = await runMatrix({ probes: [throwing, hanging, quiet], subjects, patienceMs: 20 });
    const verdicts = rows.map(({ cells }) => cells["allocUnsafe"]?.verdict);
    expect(verdicts).toEqual(["failed", "failed", "same"]);
  });

  test("each probe gets an allocator that nobody used before", async () => {
    const seen = new Set<object>();
    const probe: Probe = {
      ...quiet,
      run: (allocator) => {
        expect(seen).not.toContain(allocator);
        seen.add(allocator);
        return { seen: "nothing", harm: Harm.none };
      },
    };
    const { counts } = await runMatrix({ probes: [probe, { ...probe, name: "again" }] });
    expect(seen.size).toBe(2 * (SUBJECTS.length + 1));
    expect(Object.values(counts).every(({ same }) => same === 2)).toBe(true);
  });
});
