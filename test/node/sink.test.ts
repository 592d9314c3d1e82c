/**
 * Leases written in loops: when their blocks come back, and which streams get copies.
 * How streams end is completion-table.test.ts.
 */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { Arena, type Lease } from "cleanslab";
import { LeaseSink } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import { isSettled, rejectionOf, settle, wrong } from "../helpers.ts";
import { expectDrained, pattern, quiet, reuse, serveTcp, temporaryFolder } from "./helpers.ts";

const folder = temporaryFolder();

/** What the sink and its arena say is still out. */
const out = (sink: LeaseSink, arena: Arena): [pending: number, leases: number] => [
  sink.pending,
  arena.stats().liveLeases,
];

describe("LeaseSink", () => {
  test("ends the lease at once; its block comes back when the system took all bytes, and not before", async () => {
    const arena = new Arena();
    const server = await serveTcp((peer) => peer.resume());
    const socket = net.connect(server.port, "127.0.0.1");
    const returned: number[] = [];
    const sink = new LeaseSink(socket, { onReleased: ({ pending }) => returned.push(pending) });
    const lease = arena.copyOf(pattern(10));
    sink.write(lease);
    expect([lease.released, ...out(sink, arena)]).toEqual([true, 1, 1]); // not connected yet
    await once(socket, "connect");
    await settle();
    sink.write(arena.copyOf(pattern(20)));
    // Taken at once, before Node calls back.
    expect([...out(sink, arena), returned]).toEqual([1, 0, [0]]);
    await settle();
    expect(returned).toEqual([0, 0]);
    socket.destroy();
    await server.close();
  });

  test("gives a stream of somebody's own a copy, and tells when it calls back, at its close at the latest", async () => {
    const arena = new Arena();
    const chunks: Buffer[] = [];
    const callbacks: (() => void)[] = [];
    const write = (chunk: Buffer, _encoding: unknown, done: () => void): void => {
      chunks.push(chunk);
      callbacks.push(done);
    };
    const stream = new Writable({ write });
    const released: number[] = [];
    const sink = new LeaseSink(stream, { onReleased: (each) => released.push(each.pending) });
    for (let each = 0; each < 3; each++) sink.write(arena.copyOf(pattern(1000)));
    await settle();
    expect([...out(sink, arena), released]).toEqual([3, 0, []]);
    callbacks[0]?.();
    await settle();
    expect(released).toEqual([2]);
    await once(stream.destroy(), "close");
    callbacks[1]?.();
    await settle();
    expect([released, sink.pending]).toEqual([[2, 1, 0], 0]);
    expect(chunks.map((chunk) => chunk.equals(pattern(1000)))).toEqual([true, true]);
  });

  test("keeps what is under way when a later write fails first", async () => {
    const arena = new Arena();
    // Ended, it fails what is written at once, and tells of no close.
    const file = quiet(createWriteStream(join(folder, "file"), { emitClose: false }));
    const sink = new LeaseSink(file);
    await once(file, "ready");
    for (const act of [() => {}, () => file.end(), () => {}]) {
      sink.write(arena.copyOf(pattern(1000)));
      act();
    }
    await new Promise<void>((resolve) => process.nextTick(resolve));
    expect(sink.pending).toBeGreaterThan(0);
    while (sink.pending > 0) await settle();
    expectDrained(arena);
  });

  test("sends thousands of leases over a real connection, in order and intact", async () => {
    const arena = new Arena({ maxBytes: 4 << 20 });
    const all: Buffer[] = [];
    const server = await serveTcp((socket) => socket.on("data", (chunk) => all.push(chunk)));
    const socket = net.connect(server.port, "127.0.0.1");
    const sink = new LeaseSink(socket);
    const messages = Array.from({ length: 2000 }, (_, each) => pattern(1 + ((each * 37) % 3000), each));
    for (const message of messages) if (!sink.write(arena.copyOf(message))) await sink.ready();
    await once(socket.end(), "close");
    expect([sink.pending, Buffer.concat(all).equals(Buffer.concat(messages))]).toEqual([0, true]);
    expectDrained(arena);
    await server.close();
  });

  /** A peer that reads after a while; whether it got what was `0xee` in memory, by then others'. */
  async function slowPeer(greet: (peer: net.Socket) => void) {
    let isSpoilt = false;
    const served = await serveTcp((peer) => {
      greet(peer);
      peer.on("data", (chunk) => {
        isSpoilt ||= chunk.includes(0xee);
      });
      setTimeout(() => peer.resume(), 200);
    });
    return { ...served, isSpoilt: () => isSpoilt };
  }
  const leaseOf = (arena: Arena, byteLength = 65536): Lease => arena.copyOf(new Uint8Array(byteLength).fill(0x41));

  test("keeps the blocks of a request that was upgraded until its socket has sent them", async () => {
    const arena = new Arena({ revoke: "never", onExhausted: "throw" });
    const server = await slowPeer((peer) => {
      peer.once("data", () => {
        peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        peer.pause();
      });
    });
    const headers = { connection: "Upgrade", upgrade: "x", "content-length": 200 * 65536 };
    const request = http.request({ port: server.port, host: "127.0.0.1", method: "POST", headers });
    request.flushHeaders();
    const [socket] = (await once(request, "socket")) as [net.Socket];
    if (socket.connecting) await once(socket, "connect");
    const sink = new LeaseSink(request);
    const upgraded = once(request, "upgrade");
    for (let each = 0; each < 200; each++) sink.write(leaseOf(arena));
    await upgraded;
    reuse(arena, 65536);
    await once(socket.end(), "close");
    await settle();
    expect(server.isSpoilt()).toBe(false);
    expectDrained(arena);
    await server.close();
  });

  test("does not take a copy's callback for that of a write before it", async () => {
    const arena = new Arena({ revoke: "never", onExhausted: "throw" });
    const server = await slowPeer((peer) => peer.pause());
    const socket = net.connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    const sink = new LeaseSink(socket);
    for (let each = 0; each < 150; each++) sink.write(leaseOf(arena));
    // From now on copies are written, by a function that may drop the callback.
    const { write } = socket;
    socket.write = wrong((chunk: Uint8Array) => {
      write.call(socket, chunk);
      return true;
    });
    for (let each = 0; each < 150; each++) sink.write(leaseOf(arena, 8));
    await settle();
    reuse(arena, 65536);
    await once(socket.end(), "close");
    expect([server.isSpoilt(), sink.pending]).toEqual([false, 0]);
    expectDrained(arena);
    await server.close();
  });

  test("gives a copy to a socket whose subclass takes chunks by a way of its own", async () => {
    const arena = new Arena();
    const kept: number[] = [];
    class Keeping extends net.Socket {
      override _writev(chunks: { chunk: Uint8Array }[], done: () => void): void {
        kept.push(...chunks.map(({ chunk }) => chunk.length));
        done();
      }
    }
    const server = await serveTcp(() => {});
    const socket = new Keeping().connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    socket.cork();
    const sink = new LeaseSink(socket);
    for (let each = 0; each < 3; each++) sink.write(arena.copyOf(pattern(1000)));
    expect(out(sink, arena)).toEqual([3, 0]);
    socket.uncork();
    await settle();
    expect([kept, sink.pending]).toEqual([[1000, 1000, 1000], 0]);
    socket.destroy();
    await server.close();
  });

  test("returns the block if the stream's write throws", () => {
    const arena = new Arena();
    const stream = new PassThrough();
    stream.write = () => {
      throw new Error("no");
    };
    const sink = new LeaseSink(stream);
    expect(() => sink.write(arena.copyOf(pattern(10)))).toThrow("no");
    expect(out(sink, arena)).toEqual([0, 0]);
  });

  test("takes nothing once the stream is closed, and makes no error of it there", async () => {
    const arena = new Arena();
    const stream = new PassThrough();
    const sink = new LeaseSink(stream);
    await once(stream.destroy(), "close");
    // Without a listener the error of a write would be thrown.
    expect([sink.write(arena.copyOf(pattern(10))), ...out(sink, arena)]).toEqual([false, 0, 0]);
    await settle();
  });

  test("is ready when the stream takes more, also where only the answer of a replaced write tells", async () => {
    const arena = new Arena();
    for (const isReplaced of [false, true]) {
      const callbacks: (() => void)[] = [];
      const write = (_chunk: Buffer, _encoding: unknown, done: () => void): void => void callbacks.push(done);
      const stream = new Writable({ highWaterMark: isReplaced ? 1000 : 10, write });
      if (isReplaced) stream.write = () => false;
      const sink = new LeaseSink(stream);
      await sink.ready();
      expect(sink.write(arena.copyOf(pattern(100)))).toBe(false);
      const [one, other] = [sink.ready(), sink.ready()];
      expect(await isSettled(one)).toBe(false);
      if (isReplaced) stream.emit("drain");
      else callbacks[0]?.();
      await Promise.all([one, other]);
      await sink.ready();
      expect([sink.pending, stream.listenerCount("error")]).toEqual([0, 0]);
    }
  });

  test.each<[what: string, spoil: (stream: Writable) => unknown, error: object]>([
    ["closes", (stream) => stream.destroy(), { code: "ERR_STREAM_PREMATURE_CLOSE" }],
    ["fails", (stream) => stream.destroy(new Error("full")), { message: "full" }],
    ["fails and tells no close", (stream) => stream.emit("error", new Error("mine")), { message: "mine" }],
  ])(
    "is never ready again once the stream %s, while it waits or before, and the error is told once",
    async (...row) => {
      const [, spoil, error] = row;
      const arena = new Arena();
      const stream = new Writable({ highWaterMark: 10, write: () => {} });
      const sink = new LeaseSink(stream);
      sink.write(arena.copyOf(pattern(100)));
      const waiting = rejectionOf(sink.ready());
      spoil(stream);
      if (stream.destroyed) expect(await rejectionOf(sink.ready())).toMatchObject(error);
      expect(await waiting).toMatchObject(error);
      expect(stream.listenerCount("error")).toBe(0);
    },
  );

  test("is not ready after the stream's end, and hides no error of a stream that lives on", async () => {
    const stream = new PassThrough().resume();
    const sink = new LeaseSink(stream);
    stream.end();
    expect(await rejectionOf(sink.ready())).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    expect(stream.listenerCount("error")).toBe(0);
  });

  test("ends a natural loop over a file without room with its error: nothing waits for ever, and no lease stays out", async () => {
    const answer = await inChild(`
      import { createWriteStream } from "node:fs";
      import { Arena } from "cleanslab";
      import { eachFileLease, LeaseSink } from "cleanslab/node";
      const arena = new Arena();
      const sink = new LeaseSink(createWriteStream("/dev/full", { highWaterMark: 1 }));
      const error = await eachFileLease(process.execPath, arena, { end: 1_000_000 }, async (lease) => {
        if (!sink.write(lease)) await sink.ready();
      }).catch((error) => error);
      arena.assertDrained();
      console.log(JSON.stringify(error.code));`);
    expect(answer).toBe("ENOSPC");
  });
});
