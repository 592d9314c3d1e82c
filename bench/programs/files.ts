/**
 * Programs that read files. `csv`: 200 MB in chunks of 64 KiB, every field counted and one
 * column summed. `search`: a needle in 12,000 files of 4 to 256 KiB, sixteen at a time.
 */

import { createReadStream, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Arena } from "cleanslab";
import { readRecords } from "cleanslab/node";
import { eachOf, type Figures, type JobProgram, leases, numbersFrom, ordinary } from "./program.ts";

const CSV_BYTES = 200_000_000;
const NEWLINE = 10;
const COMMA = 44;
const ZERO = 48;

export interface Totals {
  fields: number;
  sum: number;
}

/** Counts fields and sums the third column, up to the last whole line: how many bytes those are. */
export function countLines(bytes: Uint8Array, from: number, to: number, totals: Totals): number {
  let column = 0;
  let value = 0;
  let end = from;
  let { fields, sum } = totals;
  let lineFields = 0;
  let lineSum = 0;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    if (byte === COMMA || byte === NEWLINE) {
      lineFields++;
      if (column === 2) lineSum += value;
      column++;
      value = 0;
      if (byte === NEWLINE) {
        fields += lineFields;
        sum += lineSum;
        lineFields = lineSum = column = 0;
        end = at + 1;
      }
    } else if (column === 2) {
      value = value * 10 + byte - ZERO;
    }
  }
  totals.fields = fields;
  totals.sum = sum;
  return end - from;
}

async function prepareCsv(folder: string): Promise<void> {
  const path = join(folder, "big.csv");
  if (existsSync(path)) return;
  const file = await open(path, "w");
  const next = numbersFrom(7);
  let written = 0;
  while (written < CSV_BYTES) {
    let text = "";
    for (let line = 0; line < 2000; line++) {
      const seed = next();
      text += `${seed},name ${seed % 1000},${seed % 100000},${"x".repeat(seed % 40)},${seed & 255}\n`;
    }
    written += (await file.write(text)).bytesWritten;
  }
  await file.close();
}

/** One buffer for all reads; what is left of a line is moved to its front. */
async function csvReused(path: string, totals: Totals): Promise<void> {
  const file = await open(path);
  const buffer = Buffer.allocUnsafeSlow(65536 + 4096);
  let kept = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, kept, 65536, null);
    if (bytesRead === 0) break;
    const end = kept + bytesRead;
    const consumed = countLines(buffer, 0, end, totals);
    buffer.copyWithin(0, consumed, end);
    kept = end - consumed;
  }
  await file.close();
}

/** What most people write. */
async function csvStream(path: string, totals: Totals): Promise<void> {
  let rest: Buffer | null = null;
  for await (const chunk of createReadStream(path)) {
    const bytes: Buffer = rest === null ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    const consumed = countLines(bytes, 0, bytes.length, totals);
    rest = consumed === bytes.length ? null : bytes.subarray(consumed);
  }
}

async function csvLeases(path: string, totals: Totals): Promise<void> {
  const arena = new Arena({ trace: "off" });
  await readRecords(path, arena, {}, (bytes) => countLines(bytes, 0, bytes.length, totals));
}

async function csvWork(variant: string, folder: string): Promise<Figures> {
  const totals = { fields: 0, sum: 0 };
  const path = join(folder, "big.csv");
  const ways: Record<string, typeof csvReused> = {
    "one reused buffer": csvReused,
    createReadStream: csvStream,
    leases: csvLeases,
  };
  await (ways[variant] as typeof csvReused)(path, totals);
  return { operations: totals.fields, checksum: totals.sum };
}

export const csv: JobProgram = {
  name: "csv",
  title: "CSV of 200 MB, fields counted and a column summed",
  variants: [ordinary("one reused buffer"), ordinary("createReadStream"), leases("leases")],
  prepare: prepareCsv,
  work: csvWork,
};

const FILES = 12_000;
const NEEDLE = Buffer.from("needle in the haystack");

async function prepareSearch(folder: string): Promise<void> {
  const files = join(folder, "files");
  if (existsSync(files)) return;
  mkdirSync(files);
  const hay = Buffer.alloc(262_144);
  const next = numbersFrom(11);
  for (let at = 0; at < hay.length; at++) hay[at] = 97 + ((next() >>> 8) % 26);
  for (let each = 0; each < FILES; each++) {
    // Most files are short: the cube of an even distribution.
    const share = (next() >>> 8) / 2 ** 24;
    const byteLength = 4096 + Math.floor(share * share * share * 258_000);
    const bytes = Buffer.from(hay.subarray(0, byteLength));
    if (each % 100 === 0) NEEDLE.copy(bytes, byteLength - 100);
    writeFileSync(join(files, `${each}`), bytes);
  }
}

async function eachFile(folder: string, search: (path: string) => Promise<boolean>): Promise<number> {
  const files = join(folder, "files");
  const names = readdirSync(files);
  let found = 0;
  await eachOf(names.length, 16, async (each) => {
    if (await search(join(files, names[each] as string))) found++;
  });
  return found;
}

async function searchUnsafe(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const buffer = Buffer.allocUnsafe(size);
    const { bytesRead } = await file.read(buffer, 0, size, 0);
    return buffer.subarray(0, bytesRead).includes(NEEDLE);
  } finally {
    await file.close();
  }
}

function searchLeases(arena: Arena): (path: string) => Promise<boolean> {
  return async (path) => {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const lease = await arena.acquireFilled(size, (bytes) =>
        file.read(bytes, 0, size, 0).then((read) => read.bytesRead),
      );
      const { buffer, byteOffset, length } = lease.bytes;
      const found = Buffer.from(buffer, byteOffset, length).includes(NEEDLE);
      lease.release();
      return found;
    } finally {
      await file.close();
    }
  };
}

async function searchWork(variant: string, folder: string): Promise<Figures> {
  const ways: Record<string, (path: string) => Promise<boolean>> = {
    readFile: async (path) => (await readFile(path)).includes(NEEDLE),
    allocUnsafe: searchUnsafe,
    leases: searchLeases(new Arena({ trace: "off" })),
  };
  return { operations: FILES, checksum: await eachFile(folder, ways[variant] as (path: string) => Promise<boolean>) };
}

export const search: JobProgram = {
  name: "search",
  title: "A needle in 12,000 files of 4 to 256 KiB, sixteen at a time",
  variants: [ordinary("readFile"), ordinary("allocUnsafe"), leases("leases")],
  prepare: prepareSearch,
  work: searchWork,
};
