/**
 * Promises 2 and 4 with what pins are for: files, pipes, sockets and zlib, which go on using
 * a lease's bytes after it was released. cleanslab/node's own use of them is tested in
 * test/node, what a pin is in test/misuse/lease.test.ts.
 */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import net, { type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import { deflate, inflateSync } from "node:zlib";
import type { Arena } from "cleanslab";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesNow, deferred, exhaust, isZero, MODES, placeOf, releaseAll, settle, smallArena } from "../helpers.ts";
import { expectDrained, pattern, serveTcp } from "../node/helpers.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Something that messages are written to. */
interface Target {
  write(bytes: Uint8Array): Promise<unknown>;
  /** Lets the writes go on, where something holds them up. */
  go?(): unknown;
  received(): Promise<Buffer>;
}

/** Writes to a stream, done by its callback. */
const to =
  (stream: Writable): Target["write"] =>
  (bytes) =>
    new Promise<void>((resolve, reject) => stream.write(bytes, (error) => (error ? reject(error) : resolve())));

/** A socket whose peer reads nothing until `read()`. */
async function socketTo() {
  const connected = deferred<Socket>();
  const server = await serveTcp((peer) => connected.resolve(peer.pause()));
  const socket = net.connect(server.port, "127.0.0.1");
  const chunks: Buffer[] = [];
  const read = async (): Promise<void> => {
    for await (const chunk of await connected.promise) chunks.push(chunk);
  };
  const received = async (reading = read()): Promise<Buffer> => {
    socket.end();
    await reading;
    await server.close();
    return Buffer.concat(chunks);
  };
  return { socket, write: to(socket), read, received, peer: connected.promise, close: () => server.close() };
}

const SHORT = 60_000;
/** Of 200,000 bytes each: more together than the system takes for a peer that does not read. */
const MANY = 80;
const LONG = 200_000;

const TARGETS: [string, count: number, byteLength: number, (path: string) => Promise<Target>][] = [
  [
    "a file",
    1,
    SHORT,
    async (path) => {
      const file = await open(path, "w");
      return { write: (bytes) => file.write(bytes), received: () => file.close().then(() => readFileSync(path)) };
    },
  ],
  [
    "a file stream that is not open yet",
    3,
    SHORT,
    async (path) => {
      const stream = createWriteStream(path);
      return { write: to(stream), received: () => once(stream.end(), "close").then(() => readFileSync(path)) };
    },
  ],
  [
    "a socket that is not connected yet",
    2,
    SHORT,
    async () => {
      const { write, received } = await socketTo();
      return { write, received: () => received() };
    },
  ],
  [
    "a corked socket",
    2,
    SHORT,
    async () => {
      const { socket, write, received } = await socketTo();
      socket.cork();
      return { write, go: () => socket.uncork(), received: () => received() };
    },
  ],
  [
    "a socket whose peer reads nothing for a while",
    MANY,
    LONG,
    async () => {
      const { write, read, received } = await socketTo();
      let reading: Promise<void> | undefined;
      const go = (): void => {
        reading = read();
      };
      return { write, go, received: () => received(reading) };
    },
  ],
  [
    "a thread that compresses",
    8,
    SHORT,
    async () => {
      const zipped: Promise<Buffer>[] = [];
      const write = (bytes: Uint8Array): Promise<Buffer> => {
        zipped.push(promisify(deflate)(bytes));
        return zipped.at(-1) as Promise<Buffer>;
      };
      return {
        write,
        received: async () => Buffer.concat((await Promise.all(zipped)).map((each) => inflateSync(each))),
      };
    },
  ],
];

/** Writes `count` messages without waiting, and ends their leases at once. */
function writeAll(arena: Arena, write: Target["write"], count: number, byteLength: number) {
  return Array.from({ length: count }, (_, each) => {
    const message = pattern(byteLength, each + 1);
    const lease = arena.copyOf(message);
    const place = placeOf(lease);
    const done = lease.releaseAfter(write(lease.bytes));
    expect(lease.released).toBe(true);
    return { message, done, bytes: () => Buffer.from(bytesNow(place)) };
  });
}

describe.each(MODES)("revoke: %s, a pinned block", (revoke) => {
  test.each(TARGETS)(
    "is written to %s as it was at the release, and wiped after that",
    async (name, count, byteLength, open) => {
      using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
      const target = await open(join(folder, `${revoke} ${name}`));
      const writes = writeAll(arena, target.write, count, byteLength);
      for (const { message, bytes } of writes) expect(message.equals(bytes())).toBe(true);
      expect(arena.stats().liveLeases).toBe(count);
      if (target.go !== undefined) {
        await settle();
        const last = writes.at(-1);
        expect(last?.message.equals(last.bytes())).toBe(true);
        target.go();
      }
      await Promise.all(writes.map(({ done }) => done));
      for (const { bytes } of writes) expect(isZero(bytes())).toBe(true);
      expect((await target.received()).equals(Buffer.concat(writes.map(({ message }) => message)))).toBe(true);
      expectDrained(arena);
    },
  );

  test.each<[string, (socket: Socket, peer: Socket) => unknown]>([
    ["the peer goes away", (_, peer) => peer.resetAndDestroy()],
    ["this side is destroyed", (socket) => socket.destroy()],
  ])("comes back when %s in the middle of a write", async (_name, leave) => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
    const { socket, peer, write, close } = await socketTo();
    socket.on("error", () => {});
    const away = await peer;
    const writes = writeAll(arena, write, MANY, LONG);
    await settle();
    expect(socket.writableLength).toBeGreaterThan(0);
    leave(socket, away);
    // Fulfilled or rejected: to Node a write that was under way when its socket was destroyed is no failure.
    await Promise.allSettled(writes.map(({ done }) => done));
    for (const { bytes } of writes) expect(isZero(bytes())).toBe(true);
    await close();
    expectDrained(arena);
  });

  test("comes back when what it is kept for fails at once", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
    const file = await open(join(folder, `${revoke}-closed`), "w");
    await file.close();
    const [write] = writeAll(arena, (bytes) => file.write(bytes), 1, SHORT);
    await expect(write?.done).rejects.toMatchObject({ code: "EBADF" });
    expect(write && isZero(write.bytes())).toBe(true);
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
      const { bytes } = lease;
      const place = placeOf(lease);
      const read = lease.releaseAfter(
        pipe.read(bytes, 0, 4096).then(({ bytesRead }) => Buffer.from(bytes.subarray(0, bytesRead))),
      );
      await settle();
      expect(arena.stats().liveLeases).toBe(1);
      const others = exhaust(arena, 4096);
      for (const other of others) other.bytes.fill(0xee);
      expect(isZero(bytesNow(place))).toBe(true);
      releaseAll(others);
      await pipe.write(pattern(4096), 0, 4096);
      expect((await read).equals(pattern(4096))).toBe(true);
      expect(isZero(bytesNow(place))).toBe(true);
      await pipe.close();
      expectDrained(arena);
    },
  );
});
