/**
 * Promises 2 and 4 with what pins are for: files, pipes, sockets and zlib, which go on using
 * a lease's bytes after it was released. cleanslab/node's own use of them is tested in
 * test/node, single steps of a pin in test/unit/lease/pin.test.ts.
 */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import net, { type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import { deflate, inflateSync } from "node:zlib";
import type { Arena, Lease } from "cleanslab";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deferred, exhaust, expectThrow, isZero, MODES, releaseAll, settle, smallArena } from "../helpers.ts";
import { expectDrained, pattern, type Served, serveTcp } from "../node/helpers.ts";

const MESSAGE = pattern(60_000);
/** Shorter than the message, so that a read fills it more than once. */
const PART_BYTES = 8192;
/** Of 200 000 bytes: more together than the system takes for a peer that does not read. */
const WRITES = 80;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What lies in the lease's block at any time, whatever became of the lease. */
function blockOf(lease: Lease): () => Uint8Array<ArrayBuffer> {
  const { memory, byteOffset, byteLength } = lease;
  if (memory === undefined) throw new Error("a heap lease has no memory");
  return () => new Uint8Array(memory.buffer, byteOffset, byteLength);
}

/** Writes a copy of `message` without waiting, and ends the lease at once. */
function writePinned(stream: Writable, arena: Arena, message: Uint8Array = MESSAGE) {
  const lease = arena.copyOf(message);
  const block = blockOf(lease);
  const done = lease.releaseAfter(
    new Promise<void>((resolve, reject) => {
      stream.write(lease.bytes, (error) => (error ? reject(error) : resolve()));
    }),
  );
  expect(lease.released).toBe(true);
  expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED");
  return { done, block };
}

/** A peer that reads nothing until it is told to; then all that comes. */
async function pausedPeer(): Promise<Served & { peer: Promise<Socket>; read(): Promise<Buffer> }> {
  const connected = deferred<Socket>();
  const served = await serveTcp((socket) => connected.resolve(socket.pause()));
  return {
    ...served,
    peer: connected.promise,
    async read() {
      const chunks: Buffer[] = [];
      for await (const chunk of await connected.promise) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
  };
}

/** Returns while the system still has bytes to send that are in the arena's memory. */
async function settleFull(socket: Socket): Promise<void> {
  await settle();
  expect(socket.writableLength).toBeGreaterThan(0);
}

describe.each(MODES)("revoke: %s, a pinned block", (revoke) => {
  test("is written to a file as it was at the release, and wiped after that", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
    const path = join(folder, `${revoke}-written`);
    const file = await open(path, "w");
    const lease = arena.copyOf(MESSAGE);
    const block = blockOf(lease);
    const written = lease.releaseAfter(file.write(lease.bytes));
    expect([lease.released, arena.stats().liveLeases]).toEqual([true, 1]);
    expect(MESSAGE.equals(block())).toBe(true);
    expect((await written).bytesWritten).toBe(MESSAGE.length);
    expect(isZero(block())).toBe(true);
    await file.close();
    expect(readFileSync(path).equals(MESSAGE)).toBe(true);
    expectDrained(arena);
  });

  test("is read into from a file by whoever was promised it, and wiped after that", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
    const path = join(folder, `${revoke}-read`);
    writeFileSync(path, MESSAGE);
    const file = await open(path);
    const lease = arena.acquire(MESSAGE.length);
    const block = blockOf(lease);
    const { bytes } = lease;
    const copied = lease.releaseAfter(file.read(bytes, 0, bytes.length, 0).then(() => Buffer.from(bytes)));
    expect((await copied).equals(MESSAGE)).toBe(true);
    expect(isZero(block())).toBe(true);
    await file.close();
    expectDrained(arena);
  });

  test.skipIf(process.platform === "win32")(
    "is nobody else's while a read of a pipe waits to fill it, and wiped once it has",
    async () => {
      using arena = smallArena({ revoke, wipeOnRelease: true, onExhausted: "throw" });
      const path = join(folder, `${revoke}-pipe`);
      execFileSync("mkfifo", [path]);
      // Both ends in one, so that opening does not wait for a writer.
      const pipe = await open(path, "r+");
      const lease = arena.acquire(4096);
      const { bytes, memory, byteOffset } = lease;
      const block = blockOf(lease);
      const read = lease.releaseAfter(
        pipe.read(bytes, 0, 4096).then(({ bytesRead }) => Buffer.from(bytes.subarray(0, bytesRead))),
      );
      await settle();
      expect(arena.stats().liveLeases).toBe(1);
      const others = exhaust(arena, 4096);
      expect(others.some((other) => other.memory === memory && other.byteOffset === byteOffset)).toBe(false);
      for (const other of others) other.bytes.fill(0xee);
      expect(isZero(block())).toBe(true);
      releaseAll(others);
      await pipe.write(MESSAGE, 0, 4096);
      expect((await read).equals(MESSAGE.subarray(0, 4096))).toBe(true);
      expect(isZero(block())).toBe(true);
      await pipe.close();
      expectDrained(arena);
    },
  );

  test("goes through a file stream that is not open yet, and one that is corked", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 8);
    const path = join(folder, `${revoke}-stream`);
    const stream = createWriteStream(path);
    const early = [1, 2, 3].map(() => writePinned(stream, arena));
    for (const { block } of early) expect(MESSAGE.equals(block())).toBe(true);
    await Promise.all(early.map(({ done }) => done));
    for (const { block } of early) expect(isZero(block())).toBe(true);
    stream.cork();
    const corked = writePinned(stream, arena);
    await settle();
    expect(MESSAGE.equals(corked.block())).toBe(true);
    stream.uncork();
    await corked.done;
    expect(isZero(corked.block())).toBe(true);
    stream.end();
    await once(stream, "close");
    expect(readFileSync(path).equals(Buffer.concat([MESSAGE, MESSAGE, MESSAGE, MESSAGE]))).toBe(true);
    expectDrained(arena);
  });

  test("goes over a socket that is not connected yet, and one that is corked", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 8);
    const server = await pausedPeer();
    const received = server.read();
    const socket = net.connect(server.port, "127.0.0.1");
    const early = writePinned(socket, arena);
    expect([socket.connecting, arena.stats().liveLeases]).toEqual([true, 1]);
    expect(MESSAGE.equals(early.block())).toBe(true);
    await early.done;
    expect(isZero(early.block())).toBe(true);
    socket.cork();
    const corked = [1, 2].map(() => writePinned(socket, arena));
    await settle();
    for (const { block } of corked) expect(MESSAGE.equals(block())).toBe(true);
    socket.uncork();
    await Promise.all(corked.map(({ done }) => done));
    for (const { block } of corked) expect(isZero(block())).toBe(true);
    socket.end();
    expect((await received).equals(Buffer.concat([MESSAGE, MESSAGE, MESSAGE]))).toBe(true);
    await server.close();
    expectDrained(arena);
  });

  test("waits for a peer that reads nothing for a while", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
    const server = await pausedPeer();
    const socket = net.connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    const message = pattern(200_000);
    const writes = Array.from({ length: WRITES }, () => writePinned(socket, arena, message));
    await settleFull(socket);
    const last = writes.at(-1);
    expect(last !== undefined && message.equals(last.block())).toBe(true);
    const received = server.read();
    await Promise.all(writes.map(({ done }) => done));
    for (const { block } of writes) expect(isZero(block())).toBe(true);
    socket.end();
    expect((await received).equals(Buffer.concat(Array.from(writes, () => message)))).toBe(true);
    await server.close();
    expectDrained(arena);
  });

  test("is wiped when the last of two writes of it is done", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
    const servers = [await pausedPeer(), await pausedPeer()] as const;
    const sockets = servers.map(({ port }) => net.connect(port, "127.0.0.1"));
    const received = servers.map((server) => server.read());
    const lease = arena.copyOf(MESSAGE);
    const block = blockOf(lease);
    const { bytes } = lease;
    const written = sockets.map((socket) => {
      socket.cork();
      const pin = lease.pin();
      const done = deferred<void>();
      socket.write(bytes, () => {
        pin.release();
        done.resolve();
      });
      return done.promise;
    });
    lease.release();
    sockets[0]?.uncork();
    await written[0];
    expect(MESSAGE.equals(block())).toBe(true);
    sockets[1]?.uncork();
    await written[1];
    expect(isZero(block())).toBe(true);
    for (const socket of sockets) socket.end();
    for (const each of await Promise.all(received)) expect(each.equals(MESSAGE)).toBe(true);
    for (const server of servers) await server.close();
    expectDrained(arena);
  });

  test("comes back when the peer goes away, or this side is destroyed, in the middle of a write", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
    for (const leave of [(_: Socket, peer: Socket) => peer.resetAndDestroy(), (socket: Socket) => socket.destroy()]) {
      const server = await pausedPeer();
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      const peer = await server.peer;
      const message = pattern(200_000);
      const writes = Array.from({ length: WRITES }, () => writePinned(socket, arena, message));
      const outcomes = Promise.allSettled(writes.map(({ done }) => done));
      await settleFull(socket);
      leave(socket, peer);
      // Fulfilled or rejected: to Node a write that was under way when its socket was destroyed is no failure.
      expect(await outcomes).toHaveLength(WRITES);
      for (const { block } of writes) expect(isZero(block())).toBe(true);
      await server.close();
      expectDrained(arena);
    }
  });

  test("is read into by a socket until its peer goes away, and wiped then", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
    const server = await pausedPeer();
    const lease = arena.acquire(PART_BYTES);
    const block = blockOf(lease);
    const { bytes } = lease;
    const pin = lease.pin();
    const chunks: Buffer[] = [];
    let byteLength = 0;
    const all = deferred<void>();
    const callback = (length: number): boolean => {
      chunks.push(Buffer.from(bytes.subarray(0, length)));
      byteLength += length;
      if (byteLength === MESSAGE.length) all.resolve();
      return true;
    };
    const socket = net.connect({ port: server.port, host: "127.0.0.1", onread: { buffer: bytes, callback } });
    socket.on("error", () => {});
    const closed = deferred<void>();
    socket.once("close", () => closed.resolve());
    lease.release();
    const peer = await server.peer;
    peer.write(MESSAGE);
    await all.promise;
    expect(Buffer.concat(chunks).equals(MESSAGE)).toBe(true);
    expect([isZero(block()), arena.stats().liveLeases]).toEqual([false, 1]);
    peer.resetAndDestroy();
    await closed.promise;
    pin.release();
    expect(isZero(block())).toBe(true);
    await server.close();
    expectDrained(arena);
  });

  test("is compressed in another thread as it was at the release", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 8);
    const zip = promisify(deflate);
    const jobs = Array.from({ length: 8 }, (_, each) => {
      const message = pattern(60_000, each + 1);
      const lease = arena.copyOf(message);
      const block = blockOf(lease);
      const zipped = lease.releaseAfter(zip(lease.bytes) as Promise<Buffer>);
      expect(message.equals(block())).toBe(true);
      return { message, block, zipped };
    });
    expect(arena.stats().liveLeases).toBe(8);
    for (const { message, block, zipped } of jobs) {
      expect(inflateSync(await zipped).equals(message)).toBe(true);
      expect(isZero(block())).toBe(true);
    }
    expectDrained(arena);
  });

  test("comes back when what it is kept for fails at once", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
    const path = join(folder, `${revoke}-closed`);
    const file = await open(path, "w");
    await file.close();
    const lease = arena.copyOf(MESSAGE);
    const block = blockOf(lease);
    await expect(lease.releaseAfter(file.write(lease.bytes))).rejects.toMatchObject({ code: "EBADF" });
    expect(isZero(block())).toBe(true);
    expectDrained(arena);
  });
});
