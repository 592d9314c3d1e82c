/**
 * Every way in which a web stream can end, for what writes leases to one. Rows: kinds of
 * stream. Columns: ways to end. In each cell, in every mode, while the arena gives free
 * memory to others at once: the promises come to an end, what arrives is what was given
 * from its start, and no lease is left. Below, the access handles that answer nonsense.
 */

import { createHash } from "node:crypto";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { constants, gunzipSync } from "node:zlib";
import type { Arena } from "cleanslab";
import { type AccessHandleLike, readAccessHandle, writeAccessHandle, writeAndRelease } from "cleanslab/web";
import { describe, expect, test } from "vitest";
import { exhaust, expectThrow, MODES, releaseAll, settle, smallArena, wrong } from "../helpers.ts";
import { expectDrained } from "../node/helpers.ts";

interface Target {
  readonly stream: WritableStream<Uint8Array>;
  /** What comes out of it, if it has another side. */
  readonly readable?: ReadableStream<Uint8Array>;
  /** Whether it fails on its own. */
  readonly isBroken?: boolean;
  /** Whether its sink never answers. Web streams do not give up a write under way, so its promise stays open. */
  readonly isStuck?: boolean;
  arrived(read: Buffer): Buffer;
  close?(): void;
}

const MESSAGE = createHash("shake256", { outputLength: 100_000 }).update("message").digest();
const CHUNK_BYTES = 20_000;
const NEVER_MS = 5000;

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
  "a sink that reads later": () =>
    keeping(async (keep) => {
      await sleep(1);
      keep();
    }),
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
  "a TransformStream with long queues": () =>
    through(new TransformStream(undefined, { highWaterMark: 64 }, { highWaterMark: 64 })),
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
    const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
    const path = join(folder, "file");
    const file = createWriteStream(path).on("error", () => {});
    return {
      stream: Writable.toWeb(file) as WritableStream<Uint8Array>,
      arrived: () => (existsSync(path) ? readFileSync(path) : Buffer.alloc(0)),
      close: () => rmSync(folder, { recursive: true }),
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

const isRejected = ({ status }: PromiseSettledResult<void>): boolean => status === "rejected";

const COLUMNS: Record<string, Column> = {
  "all is written, then closed": {
    suits: ({ isBroken }) => isBroken !== true,
    arrives: "all",
    async run({ writer, send, read }) {
      read();
      expect((await send()).some(isRejected)).toBe(false);
      await writer.close();
    },
  },
  "closed while it writes, with a slow reader": {
    suits: ({ isBroken }) => isBroken !== true,
    arrives: "all",
    async run({ writer, send, read }) {
      const sent = send();
      const closed = writer.close();
      await sleep(3);
      read();
      await sent;
      await closed;
    },
  },
  "written after its close": {
    suits: ({ isBroken }) => isBroken !== true,
    arrives: "nothing",
    async run({ writer, send, read }) {
      read();
      await writer.close();
      expect((await send()).every(isRejected)).toBe(true);
    },
  },
  "aborted before": {
    arrives: "nothing",
    async run({ writer, send }) {
      await writer.abort(new Error("enough"));
      expect((await send()).every(isRejected)).toBe(true);
    },
  },
  "without a lock": {
    arrives: "nothing",
    async run({ writer, send }) {
      writer.releaseLock();
      expect((await send()).every(isRejected)).toBe(true);
    },
  },
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
  writer.closed.catch(() => {});
  writer.ready.catch(() => {});
  const chunks: Uint8Array[] = [];
  const read = async (): Promise<void> => {
    if (target.readable === undefined || target.readable.locked) return;
    for await (const chunk of target.readable as unknown as AsyncIterable<Uint8Array>) chunks.push(chunk);
  };
  // What is free belongs to others at once.
  const reuse = (): void => {
    const others = exhaust(arena, CHUNK_BYTES);
    for (const other of others) other.bytes.fill(0xee);
    releaseAll(others);
  };
  const send = (): Promise<PromiseSettledResult<void>[]> => {
    const writes: Promise<void>[] = [];
    for (let at = 0; at < MESSAGE.length; at += CHUNK_BYTES) {
      const lease = arena.copyOf(MESSAGE.subarray(at, at + CHUNK_BYTES));
      writes.push(writeAndRelease(writer, lease));
      expect(lease.released).toBe(true);
    }
    reuse();
    const all = Promise.allSettled(writes);
    return target.isStuck === true ? all : bounded(all);
  };
  try {
    let reading: Promise<void> = Promise.resolve();
    await column.run({
      target,
      writer,
      send,
      read() {
        reading = read().catch(() => {});
      },
    });
    await Promise.race([reading, sleep(100)]);
    await sleep(column.arrives === "nothing" ? 1 : 5);
    reuse();
    const arrived = target.arrived(Buffer.concat(chunks));
    const expected = {
      all: MESSAGE,
      "a part": MESSAGE.subarray(0, arrived.length),
      nothing: Buffer.alloc(0),
    }[column.arrives];
    expect(arrived.length, "bytes that arrived").toBe(expected.length);
    expect(arrived.equals(expected), "the bytes that were given").toBe(true);
    expectDrained(arena);
  } finally {
    target.close?.();
  }
}

async function bounded<T>(promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const never = sleep(NEVER_MS, undefined, { signal: timer.signal, ref: false }).then(() => {
    throw new Error("a promise for a write never came to an end");
  });
  never.catch(() => {});
  return Promise.race([promise, never]).finally(() => timer.abort());
}

describe.each(Object.entries(ROWS))("%s", (_, make) => {
  test.each(Object.entries(COLUMNS))("%s", async (_name, column) => {
    await Promise.all(
      MODES.map(async (revoke) => {
        using arena = smallArena({ revoke, onExhausted: "throw" });
        await runCell(make(), column, arena);
      }),
    );
  });
});

/** What a handle's method may answer that is no number of bytes it took or gave. */
const NONSENSE: Record<string, unknown> = {
  "more than there is room for": 1e6,
  "less than nothing": -1,
  "half a byte": 0.5,
  NaN: Number.NaN,
  nothing: undefined,
  text: "5",
};

describe.each(Object.entries(NONSENSE))("an access handle that answers %s", (_, answer) => {
  const handle: AccessHandleLike = { read: () => wrong(answer), write: () => wrong(answer) };

  test("is refused, and keeps no lease", () => {
    using arena = smallArena();
    expectThrow(() => readAccessHandle(handle, arena).next(), "ERR_INVALID_ARGUMENT", "read answered");
    expectThrow(() => writeAccessHandle(handle, arena.acquire(10)), "ERR_INVALID_ARGUMENT", "write answered");
    expectDrained(arena);
  });
});

test("an access handle that answers with promises is refused, and keeps the block until they settle", async () => {
  for (const revoke of MODES) {
    using arena = smallArena({ revoke });
    for (const run of [
      (handle: AccessHandleLike) => readAccessHandle(handle, arena).next(),
      (handle: AccessHandleLike) => writeAccessHandle(handle, arena.acquire(10)),
    ]) {
      const answers: (() => void)[] = [];
      const later = (): never => wrong(new Promise<number>((resolve) => answers.push(() => resolve(10))));
      expectThrow(() => run({ read: later, write: later }), "ERR_INVALID_ARGUMENT", "answered");
      expect(arena.stats().liveLeases).toBe(1);
      for (const answerNow of answers) answerNow();
      await settle();
      expectDrained(arena);
    }
  }
});
