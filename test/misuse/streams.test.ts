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

describe("collecting", () => {
  test("a web stream that was cancelled, or a stream that is paused, ends with what comes", async () => {
    const cancelled = new ReadableStream();
    await cancelled.cancel();
    const paused = Readable.from([Buffer.from("abc")], { objectMode: false }).pause();
    const bodies = [
      await web.collect(cancelled, arena, { limit: 10 }),
      await node.collect(paused, arena, { limit: 10 }),
    ];
    expect(bodies.map(({ byteLength }) => byteLength)).toEqual([0, 3]);
    for (const body of bodies) body.release();
  });

  // Once it left a lease out.
  test("an emitter of the old kind takes its events for a stream's", async () => {
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
    const body = await node.collect(wrong(emitter), arena, { limit: 10 });
    expect(node.bufferOf(body).toString()).toBe("abc");
    body.release();
  });
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

test("sockets whose arena is disposed meanwhile end with a typed error", async () => {
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
