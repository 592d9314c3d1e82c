/** The adapters of cleanslab/node and cleanslab/web with leases of shared memory. */

import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { bufferOf, collect, LeaseSink, pipeLeases, readableFrom, writeAndRelease } from "cleanslab/node";
import { SharedArena, type SharedLease } from "cleanslab/shared";
import * as web from "cleanslab/web";
import { expect, expectTypeOf, test } from "vitest";
import { expectArenaError, rejectionOf } from "../helpers.ts";
import { pattern, quiet, serveTcp, temporaryFolder } from "../node/helpers.ts";
import { expectAllBack } from "./helpers.ts";

const MiB = 1 << 20;
const MESSAGE = pattern(4 * MiB);
const PIECE = MiB / 4;
const folder = temporaryFolder();

function* leasesOf(arena: SharedArena): Generator<SharedLease> {
  for (let at = 0; at < MESSAGE.length; at += PIECE) yield arena.copyOf(MESSAGE.subarray(at, at + PIECE));
}

test.each<[how: string, write: (socket: net.Socket, leases: Iterable<SharedLease>) => unknown]>([
  ["writeAndRelease", (socket, leases) => Promise.all([...leases].map((lease) => writeAndRelease(socket, lease)))],
  ["pipeLeases", (socket, leases) => pipeLeases(leases, socket)],
  [
    "LeaseSink",
    (socket, leases) => {
      const sink = new LeaseSink(socket);
      for (const lease of leases) sink.write(lease);
    },
  ],
])("%s sends them without a copy, and their blocks are others' only once the socket is done", async (_, write) => {
  const arena = new SharedArena({ maxBytes: 16 * MiB });
  const received: Buffer[] = [];
  const server = await serveTcp((peer) => {
    const later = setImmediate(() => peer.on("data", (chunk: Buffer) => received.push(chunk)));
    peer.on("close", () => clearImmediate(later));
  });
  const socket = quiet(net.connect(server.port, "127.0.0.1"));
  const leases = [...leasesOf(arena)];
  const written = write(socket, leases);
  expect(arena.stats().blocks.leased).toBeGreaterThan(0);
  // What is free already is written over.
  for (const other of [...leasesOf(arena)]) {
    other.bytes.fill(0xee);
    other.release();
  }
  await written;
  expect(leases.every(({ released }) => released)).toBe(true);
  socket.end();
  await once(socket, "close");
  await server.close();
  expect(MESSAGE.equals(Buffer.concat(received))).toBe(true);
  expectAllBack(arena);
});

test("files, and streams that get a copy", async () => {
  const arena = new SharedArena();
  const file = createWriteStream(join(folder, "out"));
  await pipeLeases(leasesOf(arena), file);
  await once(file.end(), "close");
  expect(readFileSync(file.path).equals(MESSAGE)).toBe(true);
  const copied = new PassThrough({ highWaterMark: 2 * MESSAGE.length });
  await pipeLeases(leasesOf(arena), copied);
  for (const stream of [copied.end(), readableFrom(leasesOf(arena))]) {
    expect(MESSAGE.equals(Buffer.concat(await stream.toArray()))).toBe(true);
  }
  const lease = arena.copyOf(MESSAGE);
  expectTypeOf(bufferOf(lease)).toEqualTypeOf<Buffer<SharedArrayBuffer>>();
  expect(bufferOf(lease).equals(MESSAGE)).toBe(true);
  lease.release();
  expectAllBack(arena);
});

test("web writers get a copy, ownedCopy is one, and an access handle gets the bytes", async () => {
  const arena = new SharedArena();
  const got: Uint8Array[] = [];
  const take = (bytes: Uint8Array): void => void got.push(bytes);
  const writer = new WritableStream<Uint8Array>({ write: take }).getWriter();
  await web.writeAndRelease(writer, arena.copyOf(MESSAGE));
  const owned = arena.copyOf(MESSAGE);
  take(structuredClone(web.ownedCopy(owned).bytes, { transfer: web.ownedCopy(owned).transfer }));
  owned.release();
  const handle = { read: () => 0, write: (bytes: Uint8Array) => got.push(bytes.slice()) && bytes.length };
  expect(web.writeAccessHandle(handle, arena.copyOf(MESSAGE))).toBe(MESSAGE.length);
  expect(got.map((bytes) => MESSAGE.equals(bytes))).toEqual([true, true, true]);
  expectAllBack(arena);
});

test("collect gathers a body into one, which waits for room as others do", async () => {
  const arena = new SharedArena({ maxBytes: 2 * MiB });
  const body = MESSAGE.subarray(0, MiB);
  for (const options of [{ limit: MiB }, { byteLength: MiB }]) {
    const held = arena.acquire(2 * MiB);
    const bodies = [
      collect(Readable.from([body]), arena, { ...options, waitForRoom: true }),
      web.collect(new Blob([body]), arena, { ...options, waitForRoom: true }),
    ];
    expect(arena.stats().waiting).toBe(2);
    expectArenaError(await rejectionOf(collect(Readable.from([body]), arena, options)), "ERR_ARENA_EXHAUSTED");
    held.release();
    for (const each of bodies) {
      const lease = await each;
      expectTypeOf(lease).toEqualTypeOf<SharedLease>();
      expect(body.equals(lease.bytes)).toBe(true);
      lease.release();
    }
    const now = await collect(Readable.from([body.subarray(0, 5000)]), arena, { limit: MiB });
    expect(body.subarray(0, 5000).equals(now.bytes)).toBe(true);
    now.release();
  }
  expectAllBack(arena);
});
