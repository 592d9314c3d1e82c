/** Files by callback: ranges, early ends, and records that cross chunks. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Arena, type Lease } from "cleanslab";
import { eachFileLease, readFileLeases, readRecords } from "cleanslab/node";
import { afterAll, describe, expect, test } from "vitest";
import { expectArenaError, rejectionOf, wrong } from "../helpers.ts";
import { expectDrained, pattern } from "./helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "records-"));
const file = join(folder, "bytes");
const whole = pattern(100_000);
writeFileSync(file, whole);
afterAll(() => rmSync(folder, { recursive: true }));

async function read(arena: Arena, options: object): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await eachFileLease(file, arena, options, (lease) => {
    pieces.push(Buffer.from(lease.bytes));
    lease.release();
  });
  return Buffer.concat(pieces);
}

describe("eachFileLease", () => {
  test.each([
    [{}],
    [{ chunkBytes: 1 << 20 }],
    [{ chunkBytes: 999 }],
    [{ chunkBytes: 1000, highWaterMark: 0 }],
    [{ chunkBytes: 1000, highWaterMark: 10_000 }],
  ])("reads the whole file with %j", async (options) => {
    const arena = new Arena();
    expect(Buffer.compare(await read(arena, options), whole)).toBe(0);
    expectDrained(arena);
  });

  test.each([
    [0, 0],
    [0, 1],
    [1, 100_000],
    [50_000, 70_001],
    [99_999, 200_000],
    [100_000, 100_000],
    [200_000, 300_000],
  ])("reads the bytes from %i to %i", async (start, end) => {
    const arena = new Arena();
    expect(Buffer.compare(await read(arena, { start, end, chunkBytes: 7000 }), whole.subarray(start, end))).toBe(0);
    const pieces: Buffer[] = [];
    for await (const lease of readFileLeases(file, arena, { start, end, chunkBytes: 7000 })) {
      pieces.push(Buffer.from(lease.bytes));
      lease.release();
    }
    expect(Buffer.compare(Buffer.concat(pieces), whole.subarray(start, end))).toBe(0);
    expectDrained(arena);
  });

  test("ends early when the callback answers false, or its promise does", async () => {
    for (const answer of [false, Promise.resolve(false)]) {
      const arena = new Arena();
      let leases = 0;
      const byteLength = await eachFileLease(file, arena, { chunkBytes: 1000, highWaterMark: 5000 }, (lease) => {
        lease.release();
        leases++;
        return answer;
      });
      expect([leases, byteLength]).toEqual([1, 1000]);
      expectDrained(arena);
    }
  });

  test("rejects with what the callback throws; what was read ahead is released", async () => {
    const arena = new Arena();
    const mine = new Error("mine");
    let kept: Lease | undefined;
    const reading = eachFileLease(file, arena, { chunkBytes: 1000, highWaterMark: 5000 }, (lease) => {
      kept = lease;
      throw mine;
    });
    expect(await rejectionOf(reading)).toBe(mine);
    expect(kept?.released).toBe(false);
    kept?.release();
    expectDrained(arena);
  });

  test("rejects with the file's error and with the signal's reason", async () => {
    const arena = new Arena();
    expect(await rejectionOf(eachFileLease(join(folder, "none"), arena, {}, () => {}))).toMatchObject({
      code: "ENOENT",
    });
    expect(await rejectionOf(eachFileLease(folder, arena, {}, () => {}))).toMatchObject({ code: "EISDIR" });
    const signal = AbortSignal.abort(new Error("enough"));
    expect(await rejectionOf(eachFileLease(file, arena, { signal }, () => {}))).toMatchObject({ message: "enough" });
    expectDrained(arena);
  });

  test.each([
    ["start", { start: -1 }],
    ["end", { start: 10, end: 9 }],
    ["end", { end: 1.5 }],
    ["chunkBytes", { chunkBytes: 0 }],
  ])("refuses a wrong %s", async (name, options) => {
    expectArenaError(
      await rejectionOf(eachFileLease(file, new Arena(), options, () => {})),
      "ERR_INVALID_ARGUMENT",
      name,
    );
  });
});

describe("readRecords", () => {
  const lines = Array.from({ length: 5000 }, (_, each) => `${"x".repeat((each * 7) % 300)}${each}`);
  const text = join(folder, "lines");
  writeFileSync(text, lines.join("\n"));

  async function linesOf(options: object): Promise<string[]> {
    const arena = new Arena();
    const found: string[] = [];
    await readRecords(text, arena, options, (bytes, isLast) => {
      let from = 0;
      for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
        found.push(Buffer.from(bytes.subarray(from, at)).toString());
        from = at + 1;
      }
      if (isLast) {
        found.push(Buffer.from(bytes.subarray(from)).toString());
        return bytes.length;
      }
      return from;
    });
    expectDrained(arena);
    return found;
  }

  test.each([[{}], [{ chunkBytes: 1000 }], [{ chunkBytes: 10 }], [{ chunkBytes: 333, highWaterMark: 0 }]])(
    "gives every line once with %j",
    async (options) => {
      expect(await linesOf(options)).toEqual(lines);
    },
  );

  test("rejects an answer that is no number of the bytes it was given, and keeps nothing", async () => {
    for (const answer of [-1, 0.5, 1 << 20, undefined]) {
      const arena = new Arena();
      const error = await rejectionOf(readRecords(text, arena, {}, () => wrong(answer)));
      expectArenaError(error, "ERR_INVALID_ARGUMENT", "onBytes");
      expectDrained(arena);
    }
  });
});
