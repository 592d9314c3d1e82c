/** Real files read as leases, by iterator and by callback: ranges, early ends, and records that cross chunks. */

import { execFileSync } from "node:child_process";
import { closeSync, createWriteStream, openSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Arena, type Lease } from "cleanslab";
import { eachFileLease, LeaseSink, type ReadFileOptions, readFileLeases, readRecords, STOP } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectArenaError,
  expectThrow,
  isSettled,
  MODES,
  rejectionOf,
  releaseAll,
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";
import { expectDrained, pattern, temporaryFolder } from "./helpers.ts";

const folder = temporaryFolder();
const LENGTHS = [0, 1, 999, 1000, 1001, 100_000] as const;
const pathOf = (byteLength: number): string => join(folder, String(byteLength));
for (const byteLength of LENGTHS) writeFileSync(pathOf(byteLength), pattern(byteLength));
const LONG = pathOf(100_000);

/** How often this process has the file open. */
function filesOpen(path: string): number {
  const paths = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // The one that the folder itself was read through.
    }
  });
  return paths.filter((each) => each === path).length;
}

type Each = (lease: Lease) => unknown;
/** Shows every lease of a file to `onLease`, who releases it. */
type Read = (path: string, arena: Arena, options: ReadFileOptions, onLease: Each) => Promise<unknown>;
const WAYS: [name: string, read: Read][] = [
  [
    "readFileLeases",
    async (path, arena, options, onLease) => {
      for await (const lease of readFileLeases(path, arena, options)) if ((await onLease(lease)) === STOP) return;
    },
  ],
  ["eachFileLease", eachFileLease as Read],
];

/** All of the file, lease by lease. */
async function readAll(read: Read, path: string, arena: Arena, options: ReadFileOptions = {}): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  await read(path, arena, options, (lease) => {
    chunks.push(Buffer.from(lease.bytes));
    lease.release();
  });
  return chunks;
}

describe.each(WAYS)("%s", (_, read) => {
  test.each(MODES)("reads files of any length in leases of exactly what was read, revoke: %s", async (revoke) => {
    using arena = smallArena({ revoke, trace: "all" }, 16);
    for (const byteLength of LENGTHS) {
      for (const options of [{}, { chunkBytes: 1000, highWaterMark: 0 }, { chunkBytes: 77, highWaterMark: 1000 }]) {
        const chunks = await readAll(read, pathOf(byteLength), arena, options);
        expect(Buffer.concat(chunks).equals(pattern(byteLength))).toBe(true);
        const { chunkBytes = 65_536 } = options;
        const last = byteLength % chunkBytes || chunkBytes;
        const lengths = Array(Math.ceil(byteLength / chunkBytes)).fill(chunkBytes);
        expect(chunks.map(({ length }) => length)).toEqual(byteLength === 0 ? [] : lengths.with(-1, last));
        expectDrained(arena);
      }
    }
  });

  test("reads the bytes from a start to an end", async () => {
    using arena = smallArena();
    const RANGES = [
      [0, 1],
      [1, 100_000],
      [50_000, 70_001],
      [99_999, 200_000],
      [100_000, 100_000],
      [200_000, 300_000],
    ] as const;
    for (const [start, end] of RANGES) {
      const bytes = Buffer.concat(await readAll(read, LONG, arena, { start, end, chunkBytes: 7000 }));
      expect(bytes.equals(pattern(100_000).subarray(start, end)), `${start} to ${end}`).toBe(true);
    }
    expectDrained(arena);
  });

  const mine = new Error("mine");
  const throwing = (): never => {
    throw mine;
  };
  test.each<[how: string, leave: () => unknown]>([
    ["STOP", () => STOP],
    ["a promise of STOP", async () => STOP],
    ["throwing", throwing],
    ["rejecting", async () => throwing()],
  ])("left early by %s, releases what was read ahead and closes the file", async (_, leave) => {
    using arena = smallArena({}, 16);
    for (const highWaterMark of [0, 1000, 50_000]) {
      let leases = 0;
      const reading = read(LONG, arena, { chunkBytes: 1000, highWaterMark }, (lease) => {
        lease.release();
        leases++;
        return leave();
      });
      const outcome = await reading.catch((error: unknown) => error);
      if (outcome !== undefined) expect(outcome).toBe(typeof outcome === "number" ? 1000 : mine);
      expect([leases, filesOpen(LONG)]).toEqual([1, 0]);
      expectDrained(arena);
    }
  });

  test("rejects with the file's error, with the signal's reason, and with the arena's, and keeps nothing", async () => {
    using arena = smallArena({ onExhausted: "throw" }, 2);
    expect(await rejectionOf(readAll(read, join(folder, "none"), arena))).toMatchObject({ code: "ENOENT" });
    expect(await rejectionOf(readAll(read, folder, arena))).toMatchObject({ code: "EISDIR" });
    expect(await rejectionOf(readAll(read, LONG, arena, { signal: AbortSignal.abort(mine) }))).toBe(mine);

    const controller = new AbortController();
    let chunks = 0;
    const reading = read(LONG, arena, { chunkBytes: 1000, signal: controller.signal }, (lease) => {
      lease.release();
      if (++chunks === 3) controller.abort(mine);
    });
    expect(await rejectionOf(reading)).toBe(mine);
    expect(chunks).toBeLessThan(10);
    expectDrained(arena);

    const full = exhaust(arena, 4096);
    // Room for one chunk, not for the one read ahead.
    full.pop()?.release();
    expectArenaError(await rejectionOf(readAll(read, LONG, arena, { chunkBytes: 4096 })), "ERR_ARENA_EXHAUSTED");
    releaseAll(full);
    expectDrained(arena);
    expect(filesOpen(LONG)).toBe(0);
  });

  test("reads what has no length beforehand: a pipe, and a file of the system", async () => {
    using arena = smallArena();
    const pipe = join(folder, `pipe of ${read.name}`);
    execFileSync("mkfifo", [pipe]);
    const writing = writeFile(pipe, pattern(5000));
    const chunks = await readAll(read, pipe, arena, { chunkBytes: 1000 });
    await writing;
    expect(Buffer.concat(chunks).equals(pattern(5000))).toBe(true);
    const [status] = await readAll(read, "/proc/self/status", arena);
    expect(status?.toString()).toContain("VmRSS");
    expectDrained(arena);
  });

  test("gives up on a pipe to which nobody writes when the signal aborts, and closes it once it opens", async () => {
    using arena = smallArena();
    const pipe = join(folder, `silent to ${read.name}`);
    execFileSync("mkfifo", [pipe]);
    const controller = new AbortController();
    const reading = rejectionOf(readAll(read, pipe, arena, { signal: controller.signal }));
    await settle();
    controller.abort(mine);
    const isGivenUp = await isSettled(reading);
    // Lets the pipe open, whatever the outcome.
    closeSync(openSync(pipe, "r+"));
    expect([isGivenUp, await reading]).toEqual([true, mine]);
    while (filesOpen(pipe) > 0) await settle();
    expectDrained(arena);
  });
});

describe("readFileLeases", () => {
  test("opens nothing until it is iterated, and nothing more after its return; refuses bad options at once", async () => {
    using arena = smallArena();
    await readFileLeases(join(folder, "none"), arena).return();
    const leases = readFileLeases(pathOf(1000), arena);
    (await leases.next()).value?.release();
    await leases.return();
    expect(await leases.next()).toEqual({ done: true, value: undefined });
    expectDrained(arena);
    expectThrow(() => readFileLeases(LONG, arena, { start: 10, end: 9 }), "ERR_INVALID_ARGUMENT", "end");
  });

  test("closes the file also when what was read ahead cannot be released any more", async () => {
    const arena = smallArena();
    const leases = readFileLeases(LONG, arena, { chunkBytes: 1000, highWaterMark: 3000 });
    (await leases.next()).value?.release();
    // All that is to be read ahead has come.
    while (arena.stats().liveLeases < 3) await settle();
    await settle();
    arena[Symbol.dispose]();
    expect([filesOpen(LONG), await leases.return(), filesOpen(LONG)]).toEqual([1, { done: true, value: undefined }, 0]);
  });
});

describe("eachFileLease", () => {
  test("refuses what a stream's write answers, rather than to stop, or to go on without waiting", async () => {
    using arena = smallArena();
    const sink = new LeaseSink(createWriteStream("/dev/null", { highWaterMark: 1500 }));
    const write = (lease: Lease): boolean => sink.write(lease);
    for (const onLease of [write, async (lease: Lease) => write(lease)]) {
      const reading = eachFileLease(LONG, arena, { chunkBytes: 1000 }, wrong(onLease));
      expectArenaError(await rejectionOf(reading), "ERR_INVALID_ARGUMENT", "await sink.ready()");
    }
    while (sink.pending > 0) await settle();
    expectDrained(arena);
  });
});

describe("readRecords", () => {
  const lines = Array.from({ length: 5000 }, (_, each) => `${"x".repeat((each * 7) % 300)}${each}`);
  const text = join(folder, "lines");
  writeFileSync(text, lines.join("\n"));

  test("gives every line once, however short the chunks", async () => {
    for (const options of [{}, { chunkBytes: 1000 }, { chunkBytes: 100, highWaterMark: 0 }]) {
      const arena = new Arena();
      const found: string[] = [];
      const byteLength = await readRecords(text, arena, options, (bytes, isLast) => {
        const whole = isLast ? bytes.length : bytes.lastIndexOf(10) + 1;
        if (whole > 0) found.push(Buffer.from(bytes.subarray(0, whole)).toString());
        return whole;
      });
      expect(found.join("").split("\n")).toEqual(lines);
      expect(byteLength).toBe(lines.join("\n").length);
      expectDrained(arena);
    }
  });

  test("rejects an answer that is no number of the bytes it was given, and keeps nothing", async () => {
    for (const answer of [-1, 0.5, 1 << 20, undefined]) {
      const arena = new Arena();
      const reading = readRecords(text, arena, {}, (_bytes, isLast) => (isLast ? 0 : wrong(answer)));
      expectArenaError(await rejectionOf(reading), "ERR_INVALID_ARGUMENT", "onBytes");
      expectDrained(arena);
    }
  });
});
