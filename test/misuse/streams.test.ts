/**
 * Streams, files and sockets that end oddly, and callers that leave early: each ends as it
 * should, and nothing stays leased. Ordinary ones are test/node's and test/web's.
 */

import { execFileSync } from "node:child_process";
import { EventEmitter } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Arena, type Lease } from "cleanslab";
import * as node from "cleanslab/node";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import { settle, wrong } from "../helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const arena = new Arena({ trace: "off" });
afterEach(() => arena.assertDrained());

test("collecting takes what a paused stream has, and the events of an emitter of the old kind", async () => {
  const paused = Readable.from([Buffer.from("abc")], { objectMode: false }).pause();
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
  for (const stream of [paused, wrong<Readable>(emitter)]) {
    const body = await node.collect(stream, arena, { limit: 10 });
    expect(node.bufferOf(body).toString()).toBe("abc");
    body.release();
  }
});

test("an empty lease among others neither ends nor stops a stream of them", async () => {
  const lengths: number[] = [];
  const leases = [arena.acquire(3), arena.acquire(0), arena.acquire(2)];
  for await (const chunk of node.readableFrom(leases)) lengths.push(chunk.length);
  expect(lengths.filter((length) => length > 0)).toEqual([3, 2]);
});

describe("files", () => {
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
