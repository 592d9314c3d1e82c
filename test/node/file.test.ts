/** Real files read as leases. */

import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Arena, Lease } from "cleanslab";
import { type ReadFileOptions, readFileLeases } from "cleanslab/node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
import { expectDrained, pattern } from "./helpers.ts";

let folder = "";
const LENGTHS = [0, 1, 999, 1000, 1001, 100_000] as const;
const pathOf = (byteLength: number): string => join(folder, String(byteLength));

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
  for (const byteLength of LENGTHS) writeFileSync(pathOf(byteLength), pattern(byteLength));
});
afterAll(() => rmSync(folder, { recursive: true }));

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

/** All of the file, read lease by lease. */
async function readAll(path: string, arena: Arena, options?: ReadFileOptions): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (using lease of readFileLeases(path, arena, options)) chunks.push(Buffer.from(lease.bytes));
  return chunks;
}

describe.each(MODES)("revoke: %s, readFileLeases", (revoke) => {
  test.each(LENGTHS)("reads a file of %i bytes, in leases of exactly what was read", async (byteLength) => {
    using arena = smallArena({ revoke, trace: "all" }, 16);
    for (const options of [
      undefined,
      { chunkBytes: 1000 },
      { chunkBytes: 1000, highWaterMark: 0 },
      { chunkBytes: 77, highWaterMark: 1000 },
    ]) {
      const chunks = await readAll(pathOf(byteLength), arena, options);
      expect(Buffer.concat(chunks).equals(pattern(byteLength))).toBe(true);
      const chunkBytes = options?.chunkBytes ?? 65_536;
      expect(chunks.length).toBe(Math.ceil(byteLength / chunkBytes));
      expect(chunks.slice(0, -1).every(({ length }) => length === chunkBytes)).toBe(true);
      expectDrained(arena);
    }
  });

  test("lets leases be kept while the next are read", async () => {
    using arena = smallArena({ revoke }, 16);
    const kept: Lease[] = [];
    for await (const lease of readFileLeases(pathOf(100_000), arena, { chunkBytes: 30_000 })) kept.push(lease);
    expect(kept.map(({ byteLength }) => byteLength)).toEqual([30_000, 30_000, 30_000, 10_000]);
    expect(Buffer.concat(kept.map(({ bytes }) => bytes)).equals(pattern(100_000))).toBe(true);
    expect(arena.stats().liveLeases).toBe(4);
    releaseAll(kept);
    expectDrained(arena);
  });

  test.each([0, 1, 50])("releases %i chunks read ahead when the reader leaves early", async (ahead) => {
    using arena = smallArena({ revoke }, 16);
    const options = { chunkBytes: 1000, highWaterMark: ahead * 1000 };
    for await (using lease of readFileLeases(pathOf(100_000), arena, options)) {
      expect(lease.byteLength).toBe(1000);
      break;
    }
    expectDrained(arena);
    const failed = (async () => {
      for await (using _ of readFileLeases(pathOf(100_000), arena, options)) throw new Error("the reader's own");
    })();
    expect(await rejectionOf(failed)).toMatchObject({ message: "the reader's own" });
    expectDrained(arena);
  });

  test("throws that there is no room in its turn, and keeps nothing", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const full = exhaust(arena, 4096);
    // Room for one chunk, not for the one read ahead.
    full.pop()?.release();
    const reading = readAll(pathOf(100_000), arena, { chunkBytes: 4096 });
    expectArenaError(await rejectionOf(reading), "ERR_ARENA_EXHAUSTED");
    releaseAll(full);
    expectDrained(arena);
  });

  test("stops between two chunks when the signal aborts", async () => {
    using arena = smallArena({ revoke });
    const controller = new AbortController();
    const reason = new Error("enough");
    let chunks = 0;
    const reading = (async () => {
      const options = { chunkBytes: 1000, signal: controller.signal };
      for await (using _ of readFileLeases(pathOf(100_000), arena, options)) {
        if (++chunks === 3) controller.abort(reason);
      }
    })();
    expect(await rejectionOf(reading)).toBe(reason);
    expect(chunks).toBeLessThan(10);
    expectDrained(arena);
  });
});

describe("readFileLeases", () => {
  test("reads what has no length beforehand: a pipe, and a file of the system", async () => {
    using arena = smallArena();
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const writing = import("node:fs/promises").then((fs) => fs.writeFile(pipe, pattern(5000)));
    const chunks = await readAll(pipe, arena, { chunkBytes: 1000 });
    await writing;
    expect(Buffer.concat(chunks).equals(pattern(5000))).toBe(true);
    const [status = Buffer.alloc(0)] = await readAll("/proc/self/status", arena);
    expect(status.toString()).toContain("VmRSS");
    expectDrained(arena);
  });

  test("gives up on a pipe to which nobody writes when the signal aborts, and closes it once it opens", async () => {
    using arena = smallArena();
    const pipe = join(folder, "silent");
    execFileSync("mkfifo", [pipe]);
    const reason = new Error("enough");
    const controller = new AbortController();
    const reading = rejectionOf(readAll(pipe, arena, { signal: controller.signal }));
    await settle();
    controller.abort(reason);
    const isGivenUp = await isSettled(reading);
    // Lets the pipe open, whatever the outcome.
    closeSync(openSync(pipe, "r+"));
    expect([isGivenUp, await reading]).toEqual([true, reason]);
    while (filesOpen(pipe) > 0) await settle();
    expectDrained(arena);
  });

  test("passes on that a file cannot be opened or read", async () => {
    using arena = smallArena();
    expect(await rejectionOf(readAll(join(folder, "none"), arena))).toMatchObject({ code: "ENOENT" });
    expect(await rejectionOf(readAll(folder, arena))).toMatchObject({ code: "EISDIR" });
    expectDrained(arena);
  });

  test("opens nothing until it is iterated, and nothing more after its return", async () => {
    using arena = smallArena();
    const never = readFileLeases(join(folder, "none"), arena);
    await never.return();
    const leases = readFileLeases(pathOf(1000), arena);
    const first = await leases.next();
    await leases.return();
    expect(await leases.next()).toEqual({ done: true, value: undefined });
    first.value?.release();
    expectDrained(arena);
  });

  test("refuses bad options at once", () => {
    using arena = smallArena();
    const path = pathOf(1);
    for (const chunkBytes of [0, -1, 0.5, "1", null]) {
      expectThrow(
        () => readFileLeases(path, arena, { chunkBytes: wrong(chunkBytes) }),
        "ERR_INVALID_ARGUMENT",
        "chunkBytes",
      );
    }
    for (const highWaterMark of [-1, 0.5, "1", null]) {
      const options = { highWaterMark: wrong<number>(highWaterMark) };
      expectThrow(() => readFileLeases(path, arena, options), "ERR_INVALID_ARGUMENT", "highWaterMark");
    }
    expectThrow(() => readFileLeases(path, arena, { signal: wrong({}) }), "ERR_INVALID_ARGUMENT", "signal is");
    expectThrow(() => readFileLeases(path, arena, wrong(null)), "ERR_INVALID_ARGUMENT", "options");
  });

  test("closes the file also when what was read ahead cannot be released any more", async () => {
    const arena = smallArena();
    const open = (): number => filesOpen(pathOf(100_000));
    const leases = readFileLeases(pathOf(100_000), arena, { chunkBytes: 1000, highWaterMark: 3000 });
    (await leases.next()).value?.release();
    expect(open()).toBe(1);
    // All that is to be read ahead has come.
    while (arena.stats().liveLeases < 3) await settle();
    await settle();
    arena[Symbol.dispose]();
    expect(await leases.return()).toEqual({ done: true, value: undefined });
    expect(open()).toBe(0);
  });

  test("closes every file it opened", async () => {
    using arena = smallArena();
    const open = (): number => filesOpen(pathOf(100_000));
    const before = open();
    for (let round = 0; round < 20; round++) {
      for await (using _ of readFileLeases(pathOf(100_000), arena, { chunkBytes: 1000 })) break;
    }
    expect([before, open()]).toEqual([0, 0]);
    expect(readFileSync(pathOf(1))).toEqual(pattern(1));
  });
});
