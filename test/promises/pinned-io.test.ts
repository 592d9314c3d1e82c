/**
 * Promises 2 and 4 with what pins are for: sockets, threads and pipes that go on using a
 * lease's bytes after it was released. When each of Node's streams is done with them is
 * test/node's.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import net, { type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { deflate, inflateSync } from "node:zlib";
import type { Arena } from "cleanslab";
import { afterAll, describe, expect, test } from "vitest";
import { bytesNow, deferred, exhaust, isZero, MODES, placeOf, releaseAll, settle, smallArena } from "../helpers.ts";
import { expectDrained, pattern, serveTcp } from "../node/helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes `count` messages without waiting, and ends their leases at once. */
function writeAll(
  arena: Arena,
  count: number,
  byteLength: number,
  write: (bytes: Uint8Array<ArrayBuffer>) => Promise<unknown>,
) {
  return Array.from({ length: count }, (_, each) => {
    const message = pattern(byteLength, each + 1);
    const lease = arena.copyOf(message);
    const place = placeOf(lease);
    const done = lease.releaseAfter(write(lease.bytes));
    expect(lease.released).toBe(true);
    return { message, done, bytes: () => Buffer.from(bytesNow(place)) };
  });
}

/** A socket with messages under way: more together than the system takes for a peer that does not read. */
async function stalled(arena: Arena) {
  const connected = deferred<Socket>();
  const { port, close } = await serveTcp((peer) => connected.resolve(peer.pause()));
  const socket = net.connect(port, "127.0.0.1").on("error", () => {});
  const peer = await connected.promise;
  const write = (bytes: Uint8Array): Promise<unknown> =>
    new Promise<void>((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve())));
  const writes = writeAll(arena, 80, 200_000, write);
  await settle();
  expect(socket.writableLength).toBeGreaterThan(0);
  return { socket, peer, writes, close };
}

describe.each(MODES)("revoke: %s, a pinned block", (revoke) => {
  test("is written to a slow peer as it was at the release, and wiped after that", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
    const { socket, peer, writes, close } = await stalled(arena);
    const last = writes.at(-1);
    expect(last?.message.equals(last.bytes())).toBe(true);
    socket.end();
    expect(Buffer.concat(await peer.toArray()).equals(Buffer.concat(writes.map(({ message }) => message)))).toBe(true);
    await Promise.all(writes.map(({ done }) => done));
    for (const { bytes } of writes) expect(isZero(bytes())).toBe(true);
    await close();
    expectDrained(arena);
  });

  test.each<[string, (socket: Socket, peer: Socket) => unknown]>([
    ["the peer goes away", (_, peer) => peer.resetAndDestroy()],
    ["this side is destroyed", (socket) => socket.destroy()],
  ])("comes back when %s in the middle of a write", async (_name, leave) => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
    const { socket, peer, writes, close } = await stalled(arena);
    leave(socket, peer);
    // Fulfilled or rejected: to Node a write that was under way when its socket was destroyed is no failure.
    await Promise.allSettled(writes.map(({ done }) => done));
    for (const { bytes } of writes) expect(isZero(bytes())).toBe(true);
    await close();
    expectDrained(arena);
  });

  test("is read by a thread that compresses as it was at the release", async () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 100);
    const zipped: Promise<Buffer>[] = [];
    const writes = writeAll(arena, 8, 60_000, (bytes) => {
      zipped.push(promisify(deflate)(bytes));
      return zipped.at(-1) as Promise<Buffer>;
    });
    for (const [each, { message, done }] of writes.entries()) {
      await done;
      expect(inflateSync(await (zipped[each] as Promise<Buffer>)).equals(message)).toBe(true);
    }
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
