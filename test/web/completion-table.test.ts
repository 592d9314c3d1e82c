/**
 * Every way in which a web stream can end, for what writes leases to one. Rows: kinds of
 * stream. Columns: ways to end. In each cell, in every mode, while the arena gives free
 * memory to others at once: the promises come to an end, what arrives is what was given
 * from its start, and no lease is left.
 */

import { createWriteStream, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { constants, gunzipSync } from "node:zlib";
import type { Arena } from "cleanslab";
import { writeAndRelease } from "cleanslab/web";
import { describe, expect, test } from "vitest";
import { MODES, settle, smallArena } from "../helpers.ts";
import { bounded, expectDrained, pattern, quiet, reuse, temporaryFolder } from "../node/helpers.ts";

interface Target {
  readonly stream: WritableStream<Uint8Array>;
  /** What comes out of it, if it has another side. */
  readonly readable?: ReadableStream<Uint8Array>;
  /** Whether it fails on its own. */
  readonly isBroken?: boolean;
  /** Whether its sink never answers. Web streams do not give up a write under way, so its promise stays open. */
  readonly isStuck?: boolean;
  arrived(read: Buffer): Buffer;
}

const MESSAGE = pattern(100_000);
const CHUNK_BYTES = 20_000;
const folder = temporaryFolder();
let files = 0;

/** A stream whose sink keeps the chunks it is given, themselves. */
function keeping(write: (keep: () => void) => unknown, strategy?: QueuingStrategy<Uint8Array>): Target {
  const kept: Uint8Array[] = [];
  const sink = { write: (chunk: Uint8Array) => write(() => kept.push(chunk)) as undefined };
  return { stream: new WritableStream(sink, strategy), arrived: () => Buffer.concat(kept) };
}

function through(pair: { writable: WritableStream; readable: ReadableStream }): Target {
  return { stream: pair.writable, readable: pair.readable, arrived: (read) => read };
}

const ROWS: Record<string, () => Target> = {
  "a sink": () => keeping((keep) => keep()),
  "a sink that reads after it has answered": () => keeping((keep) => void setImmediate(keep)),
  "a sink that fails"() {
    let count = 0;
    const target = keeping((keep) => {
      if (++count === 3) throw new Error("full");
      keep();
    });
    return { ...target, isBroken: true };
  },
  "a sink that never answers": () => ({
    ...keeping((keep) => {
      keep();
      return new Promise(() => {});
    }),
    isBroken: true,
    isStuck: true,
  }),
  "a sink with a queue counted in bytes": () =>
    keeping((keep) => sleep(1).then(keep), new ByteLengthQueuingStrategy({ highWaterMark: 1 << 20 })),
  "a TransformStream": () => through(new TransformStream()),
  "a CompressionStream": () => ({
    ...through(new CompressionStream("gzip") as never),
    arrived: (read) => (read.length > 0 ? gunzipSync(read, { finishFlush: constants.Z_SYNC_FLUSH }) : read),
  }),
  "a stream piped on"() {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const target = keeping((keep) => sleep(1).then(keep));
    readable.pipeTo(target.stream).catch(() => {});
    return { ...target, stream: writable };
  },
  "Writable.toWeb of a file"() {
    const path = join(folder, String(files++));
    return {
      stream: Writable.toWeb(quiet(createWriteStream(path))) as WritableStream<Uint8Array>,
      arrived: () => (existsSync(path) ? readFileSync(path) : Buffer.alloc(0)),
    };
  },
  "Writable.toWeb of a stream that passes chunks on"() {
    const kept: Buffer[] = [];
    const stream = new PassThrough().on("error", () => {}).on("data", (chunk) => kept.push(chunk));
    return { stream: Writable.toWeb(stream) as WritableStream<Uint8Array>, arrived: () => Buffer.concat(kept) };
  },
};

interface Cell {
  readonly target: Target;
  readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  /** Writes the message in leases. What came of each promise, once all are settled. */
  send(): Promise<PromiseSettledResult<void>[]>;
  /** Lets the other side read. */
  read(): void;
}

interface Column {
  readonly suits?: (target: Target) => boolean;
  /** What must have arrived: all, the beginning, or nothing. */
  readonly arrives: "all" | "a part" | "nothing";
  run(cell: Cell): Promise<unknown>;
}

const isWhole = ({ isBroken }: Target): boolean => isBroken !== true;
const isRejected = ({ status }: PromiseSettledResult<void>): boolean => status === "rejected";

/** All is refused after `act`. */
const refused = (act: (cell: Cell) => unknown): Column => ({
  arrives: "nothing",
  async run(cell) {
    await act(cell);
    expect((await cell.send()).every(isRejected)).toBe(true);
  },
});

const COLUMNS: Record<string, Column> = {
  "all is written, then closed": {
    suits: isWhole,
    arrives: "all",
    async run({ writer, send, read }) {
      read();
      expect((await send()).some(isRejected)).toBe(false);
      await writer.close();
    },
  },
  "closed while it writes, with a slow reader": {
    suits: isWhole,
    arrives: "all",
    async run({ writer, send, read }) {
      const ends = [send(), writer.close()];
      await sleep(3);
      read();
      await Promise.all(ends);
    },
  },
  "written after its close": {
    ...refused(({ writer, read }) => {
      read();
      return writer.close();
    }),
    suits: isWhole,
  },
  "aborted before": refused(({ writer }) => writer.abort(new Error("enough"))),
  "without a lock": refused(({ writer }) => writer.releaseLock()),
  "aborted while the other side reads nothing": {
    suits: ({ isBroken, readable }) => isBroken === true || readable !== undefined,
    arrives: "a part",
    async run({ target, writer, send, read }) {
      const sent = send();
      await sleep(3);
      writer.abort(new Error("enough")).catch(() => {});
      await settle();
      // A TransformStream's write under way waits for a reader, abort or not.
      read();
      if (target.isStuck !== true) await sent;
    },
  },
  "aborted while it writes": {
    arrives: "a part",
    async run({ target, writer, send, read }) {
      const sent = send();
      read();
      await settle();
      writer.abort(new Error("enough")).catch(() => {});
      if (target.isStuck !== true) await sent;
    },
  },
  "given up by its reader": {
    suits: ({ readable }) => readable !== undefined,
    arrives: "nothing",
    async run({ target, send }) {
      const sent = send();
      await target.readable?.cancel(new Error("enough"));
      // Rejected, or taken before: engines differ.
      await sent;
    },
  },
};

async function runCell(target: Target, column: Column, arena: Arena): Promise<void> {
  if (column.suits?.(target) === false) return;
  const writer = target.stream.getWriter();
  for (const promise of [writer.closed, writer.ready]) promise.catch(() => {});
  const chunks: Uint8Array[] = [];
  const readAll = async (): Promise<void> => {
    if (target.readable === undefined || target.readable.locked) return;
    for await (const chunk of target.readable as unknown as AsyncIterable<Uint8Array>) chunks.push(chunk);
  };
  const send = (): Promise<PromiseSettledResult<void>[]> => {
    const writes: Promise<void>[] = [];
    for (let at = 0; at < MESSAGE.length; at += CHUNK_BYTES) {
      const lease = arena.copyOf(MESSAGE.subarray(at, at + CHUNK_BYTES));
      writes.push(writeAndRelease(writer, lease));
      expect(lease.released).toBe(true);
    }
    reuse(arena, CHUNK_BYTES);
    const all = Promise.allSettled(writes);
    return target.isStuck === true ? all : bounded(all, "a promise for a write");
  };
  let reading: Promise<void> = Promise.resolve();
  const read = (): void => {
    reading = readAll().catch(() => {});
  };
  await column.run({ target, writer, send, read });
  await Promise.race([reading, sleep(100)]);
  await sleep(5);
  reuse(arena, CHUNK_BYTES);
  const arrived = target.arrived(Buffer.concat(chunks));
  const { length } = { all: MESSAGE, "a part": arrived, nothing: [] }[column.arrives];
  expect(arrived.length, "bytes that arrived").toBe(length);
  expect(arrived.equals(MESSAGE.subarray(0, length)), "the bytes that were given").toBe(true);
  expectDrained(arena);
}

describe.each(Object.entries(ROWS))("%s", (_, make) => {
  test.each(Object.entries(COLUMNS))("%s", async (_name, column) => {
    const runs = MODES.map(async (revoke) => {
      using arena = smallArena({ revoke, onExhausted: "throw" });
      await runCell(make(), column, arena);
    });
    await Promise.all(runs);
  });
});
