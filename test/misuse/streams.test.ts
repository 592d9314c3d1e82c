/**
 * Streams, files and sockets that end oddly, and callers that leave early: each ends as it
 * should, and nothing stays leased. Ordinary ones are test/node's and test/web's.
 */

import { execFileSync } from "node:child_process";
import { EventEmitter } from "node:events";
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import net, { type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Arena, type Lease } from "cleanslab";
import * as node from "cleanslab/node";
import * as web from "cleanslab/web";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import { settle, wrong } from "../helpers.ts";
import { serveTcp } from "../node/helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const arena = new Arena({ trace: "off" });
afterEach(() => arena.assertDrained());

/** A web stream that gives these chunks, one by one: `Error` is an error. */
function webStream(...chunks: unknown[]): ReadableStream {
  return new ReadableStream({
    pull(control) {
      const chunk = chunks.shift();
      if (chunk instanceof Error) control.error(chunk);
      else if (chunk === undefined) control.close();
      else control.enqueue(chunk);
    },
  });
}

/** A stream of chunks of these lengths. */
function nodeStream(...lengths: number[]): Readable {
  const chunks = lengths.map((length) => Buffer.alloc(length, 1));
  return Readable.from(chunks, { objectMode: false });
}

const LIMIT = { limit: 10 };

/** Bodies, and the length of the lease that comes of them, or the code or message of the error. */
const BODIES: [string, number | string, () => Promise<Lease>][] = [
  [
    "a cancelled web stream",
    0,
    async () => {
      const stream = webStream(new Uint8Array(5));
      await stream.cancel();
      return web.collect(stream, arena, LIMIT);
    },
  ],
  ["a web stream that fails", "boom", () => web.collect(webStream(new Error("boom")), arena, LIMIT)],
  ["one that fails later", "boom", () => web.collect(webStream(new Uint8Array(5), new Error("boom")), arena, LIMIT)],
  ["a web stream of strings", "ERR_INVALID_ARGUMENT", () => web.collect(webStream("x"), arena, LIMIT)],
  ["a paused stream", 3, () => node.collect(nodeStream(3).pause(), arena, LIMIT)],
  ["a stream of text", "ERR_INVALID_ARGUMENT", () => node.collect(nodeStream(3).setEncoding("utf8"), arena, LIMIT)],
  [
    "an emitter of the old kind",
    3,
    () => {
      const emitter = Object.assign(new EventEmitter(), {
        pause() {},
        resume() {
          setImmediate(() => {
            emitter.emit("data", Buffer.from("abc"));
            emitter.emit("end");
            emitter.emit("close");
          });
        },
      });
      return node.collect(wrong(emitter), arena, LIMIT);
    },
  ],
];

// Once some of these left a lease out, or the stream locked.
test.each(BODIES)("collecting %s ends with %s", async (_name, expected, collect) => {
  const outcome = await collect().then(
    (lease) => {
      lease.release();
      return lease.byteLength;
    },
    (error: Error & { code?: string }) => error.code ?? error.message,
  );
  expect(outcome).toBe(expected);
});

test("an empty lease among others neither ends nor stops a stream of them", async () => {
  const lengths: number[] = [];
  const leases = [arena.acquire(3), arena.acquire(0), arena.acquire(2)];
  for await (const chunk of node.readableFrom(leases)) lengths.push(chunk.length);
  expect(lengths.filter((length) => length > 0)).toEqual([3, 2]);
});

describe("files", () => {
  test("that are cut short or grow while they are read end where they then end", async () => {
    const path = join(folder, "changing");
    const bytesOf = async (change: () => void): Promise<number> => {
      let byteLength = 0;
      for await (const lease of node.readFileLeases(path, arena, { chunkBytes: 300 })) {
        if (byteLength === 0) change();
        byteLength += lease.byteLength;
        lease.release();
      }
      return byteLength;
    };
    writeFileSync(path, Buffer.alloc(1000, 1));
    expect(await bytesOf(() => truncateSync(path, 500))).toBeLessThanOrEqual(1000);
    writeFileSync(path, Buffer.alloc(500, 1));
    const grown = await bytesOf(() => appendFileSync(path, Buffer.alloc(400)));
    expect(grown >= 500 && grown <= 900).toBe(true);
  });

  test("read with several next() and return() at once give each its answer", async () => {
    const path = join(folder, "several");
    writeFileSync(path, Buffer.alloc(1000, 1));
    const leases = node.readFileLeases(path, arena, { chunkBytes: 50 });
    const results = await Promise.all([leases.next(), leases.next(), leases.return(), leases.next()]);
    for (const { value } of results) (value as Lease | undefined)?.release();
    expect(results.map(({ done }) => done)).toEqual([false, false, true, true]);
  });

  // Once leaving the loop waited for a read that never came to its end.
  test.each(["break", "abort"] as const)("that are pipes nobody writes to any more are left by %s", async (how) => {
    const path = join(folder, how);
    execFileSync("mkfifo", [path]);
    const writer = openSync(path, "r+");
    const own = new Arena();
    writeSync(writer, Buffer.alloc(1000, 1));
    const controller = new AbortController();
    const reading = (async () => {
      for await (const lease of node.readFileLeases(path, own, { chunkBytes: 1000, signal: controller.signal })) {
        lease.release();
        if (how === "break") return "left";
        setImmediate(() => controller.abort(new Error("enough")));
      }
      return "ended";
    })().catch((error: Error) => error.message);
    expect(await reading).toBe(how === "break" ? "left" : "enough");
    // Lets the read come to its end.
    writeSync(writer, Buffer.alloc(10_000, 1));
    closeSync(writer);
    for (let turns = 0; turns < 200 && own.stats().liveLeases > 0; turns++) await settle();
    own.assertDrained();
  });

  // A read that brought less than a chunk is followed by another one, and the arena may be gone by then.
  test("whose arena is disposed between two reads of a chunk are an error of the reader alone", async () => {
    const answer = await inChild(`
      import { execFileSync } from "node:child_process";
      import { openSync, writeSync, mkdtempSync } from "node:fs";
      import { Arena } from "cleanslab";
      import { readFileLeases } from "cleanslab/node";
      const path = mkdtempSync("pipe-") + "/pipe";
      execFileSync("mkfifo", [path]);
      const writer = openSync(path, "r+");
      const arena = new Arena();
      const end = (...said) => { console.log(JSON.stringify(said)); process.exit(0); };
      process.on("uncaughtException", (error) => end("uncaught", error.code));
      setTimeout(() => writeSync(writer, Buffer.alloc(100)), 50);
      setTimeout(() => { arena[Symbol.dispose](); writeSync(writer, Buffer.alloc(100)); }, 150);
      try { for await (const lease of readFileLeases(path, arena, { chunkBytes: 1000 })) lease.release(); } catch (error) { end("rejected", error.code); }
    `);
    expect(answer).toEqual(["rejected", "ERR_ARENA_DISPOSED"]);
  });
});

describe("sockets", () => {
  test("whose arena is disposed meanwhile end with a typed error", async () => {
    const own = new Arena();
    const { port, close } = await serveTcp((peer) => peer.resume().end(Buffer.alloc(50_000, 7)));
    let byteLength = 0;
    const onLease = (lease: Lease): void => {
      byteLength += lease.byteLength;
      lease.release();
      if (byteLength > 10_000) own[Symbol.dispose]();
    };
    const connect = (onread: net.OnReadOpts): Socket => net.connect({ port, host: "127.0.0.1", onread });
    const socket = node.readSocketLeases(connect, own, { onLease, chunkBytes: 1000 });
    const errors: unknown[] = [];
    socket.on("error", (error: Error & { code?: string }) => errors.push(error.code));
    await new Promise((resolve) => socket.once("close", resolve));
    await close();
    expect(errors.filter((code) => code !== "ERR_ARENA_DISPOSED")).toEqual([]);
    expect(own.stats()).toMatchObject({ liveLeases: 0, reservedBytes: 0 });
  });

  // Mixed with short leases, each idle connection's lease keeps a whole segment from being used again.
  test("that are idle keep little more than what they hold, in an arena apart from short traffic", async () => {
    using own = new Arena();
    using short = new Arena();
    const { port, close } = await serveTcp((peer) => peer.write("hello"));
    const sockets: Socket[] = [];
    let came = 0;
    for (let each = 0; each < 60; each++) {
      const connect = (onread: net.OnReadOpts): Socket => net.connect({ port, host: "127.0.0.1", onread });
      const onLease = (lease: Lease): void => {
        came++;
        lease.release();
      };
      sockets.push(node.readSocketLeases(connect, own, { onLease }));
      for (let k = 0; k < 64; k++) short.acquire(16_000).release();
      while (came <= each) await settle();
    }
    const { liveBytes, reservedBytes, overflowed } = own.stats();
    const closed = sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
    await close();
    own.assertDrained();
    expect([overflowed, short.stats().overflowed]).toEqual([0, 0]);
    expect(reservedBytes / liveBytes).toBeLessThan(3);
  });
});
