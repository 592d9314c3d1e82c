/** Leases written in loops: when their blocks come back, and every way in which a stream may not say so. */

import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { Arena, type Lease } from "cleanslab";
import { LeaseSink, writeAndRelease } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { expectBytes, expectThrow, settle, wrong } from "../helpers.ts";
import { expectDrained, listen, pattern, serveTcp } from "./helpers.ts";

/** A stream that keeps what it is given and calls back when told to. */
class Slow extends Writable {
  readonly chunks: Buffer[] = [];
  readonly callbacks: ((error?: Error) => void)[] = [];

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.chunks.push(chunk);
    this.callbacks.push(done);
  }
}

describe("LeaseSink", () => {
  test("ends the lease at once, and returns its block when the stream is done with it", async () => {
    const arena = new Arena();
    const server = await serveTcp(() => {});
    const socket = net.connect(server.port, "127.0.0.1");
    const released: number[] = [];
    const sink = new LeaseSink(socket, { onReleased: (each) => released.push(each.pending) });
    const lease = arena.copyOf(pattern(1000));
    sink.write(lease);
    expect(lease.released).toBe(true);
    expect([sink.pending, arena.stats().liveLeases]).toEqual([1, 1]);
    await once(socket, "connect");
    await settle();
    expect(released).toEqual([0]);
    expectDrained(arena);
    socket.destroy();
    await server.close();
  });

  test("gives a stream of somebody's own a copy, and tells when it calls back", async () => {
    const arena = new Arena();
    const stream = new Slow();
    const released: number[] = [];
    const sink = new LeaseSink(stream, { onReleased: (each) => released.push(each.pending) });
    sink.write(arena.copyOf(pattern(1000)));
    expect([sink.pending, arena.stats().liveLeases]).toEqual([1, 0]);
    await settle();
    expect(released).toEqual([]);
    stream.callbacks[0]?.();
    await settle();
    expect(released).toEqual([0]);
    expect(Buffer.compare(stream.chunks[0] as Buffer, pattern(1000))).toBe(0);
  });

  test("keeps what is under way when a later write fails first", async () => {
    const arena = new Arena();
    const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
    // Ended, it fails what is written at once, and tells of no close.
    const file = createWriteStream(join(folder, "file"), { emitClose: false });
    const sink = new LeaseSink(file.on("error", () => {}));
    await once(file, "ready");
    sink.write(arena.copyOf(pattern(1000)));
    sink.write(arena.copyOf(pattern(1000)));
    file.end();
    sink.write(arena.copyOf(pattern(1000)));
    await new Promise<void>((resolve) => process.nextTick(resolve));
    expect(sink.pending).toBeGreaterThan(0);
    while (sink.pending > 0) await settle();
    expectDrained(arena);
    rmSync(folder, { recursive: true });
  });

  test("sends thousands of leases over a real connection, in order and intact", async () => {
    const arena = new Arena({ maxBytes: 4 << 20 });
    const all: Buffer[] = [];
    const server = await serveTcp((socket) => socket.on("data", (chunk) => all.push(chunk)));
    const socket = net.connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    const sink = new LeaseSink(socket);
    const expected: Buffer[] = [];
    for (let each = 0; each < 2000; each++) {
      const message = pattern(1 + ((each * 37) % 3000), each);
      expected.push(message);
      if (!sink.write(arena.copyOf(message))) await once(socket, "drain");
    }
    socket.end();
    await once(socket, "close");
    expect(sink.pending).toBe(0);
    expect(Buffer.compare(Buffer.concat(all), Buffer.concat(expected))).toBe(0);
    expectDrained(arena);
    await server.close();
  });

  test("returns the block at once if the system took all bytes, and not before if it did not", async () => {
    const arena = new Arena();
    let peer: net.Socket | undefined;
    const server = await serveTcp((socket) => {
      peer = socket.pause();
    });
    const socket = net.connect(server.port, "127.0.0.1");
    const returned: number[] = [];
    const sink = new LeaseSink(socket, { onReleased: ({ pending }) => returned.push(pending) });
    sink.write(arena.copyOf(pattern(10)));
    expect([sink.pending, arena.stats().liveLeases]).toEqual([1, 1]); // not connected yet
    await once(socket, "connect");
    await settle();
    sink.write(arena.copyOf(pattern(20)));
    expect([sink.pending, arena.stats().liveLeases]).toEqual([1, 0]);
    expect(returned).toEqual([0]);
    await settle();
    expect(returned).toEqual([0, 0]);
    // More than any socket takes while nobody reads.
    for (let each = 0; each < 3; each++) sink.write(arena.copyOf(pattern(16 << 20)));
    expect([sink.pending, arena.stats().liveLeases]).toEqual([3, 3]);
    let byteLength = 0;
    peer?.on("data", (chunk) => {
      byteLength += chunk.length;
    });
    peer?.resume();
    socket.end();
    await once(socket, "close");
    expect([sink.pending, byteLength]).toEqual([0, 30 + 3 * (16 << 20)]);
    expectDrained(arena);
    await server.close();
  });

  /** Memory that was given back belongs to others at once. */
  const scribble = (arena: Arena): void => {
    const others = Array.from({ length: 200 }, () => arena.acquire(65536));
    for (const { bytes } of others) bytes.fill(0xee);
    for (const other of others) other.release();
  };
  const leaseOf = (arena: Arena): Lease => arena.copyOf(new Uint8Array(65536).fill(0x41));

  test("keeps the blocks of a request that was upgraded until its socket has sent them", async () => {
    const arena = new Arena({ revoke: "never" });
    const all: Buffer[] = [];
    const server = await serveTcp((peer) => {
      peer.once("data", () => {
        peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        peer.pause();
      });
      peer.on("data", (chunk) => all.push(chunk));
      setTimeout(() => peer.resume(), 200);
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
    scribble(arena);
    socket.end();
    await once(socket, "close");
    expect(Buffer.concat(all).includes(0xee)).toBe(false);
    await settle();
    expectDrained(arena);
    await server.close();
  });

  test("does not take a copy's callback for that of a write before it", async () => {
    const arena = new Arena({ revoke: "never" });
    const all: Buffer[] = [];
    const server = await serveTcp((peer) => {
      peer.pause().on("data", (chunk) => all.push(chunk));
      setTimeout(() => peer.resume(), 200);
    });
    const socket = net.connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    const sink = new LeaseSink(socket);
    for (let each = 0; each < 150; each++) sink.write(leaseOf(arena));
    // From now on copies are written, by a function that may drop the callback.
    const write = socket.write;
    socket.write = ((chunk: Uint8Array) => {
      write.call(socket, chunk);
      return true;
    }) as never;
    for (let each = 0; each < 150; each++) sink.write(arena.copyOf(new Uint8Array(8).fill(0x41)));
    await settle();
    scribble(arena);
    socket.end();
    await once(socket, "close");
    expect(Buffer.concat(all).includes(0xee)).toBe(false);
    expect(sink.pending).toBe(0);
    expectDrained(arena);
    await server.close();
  });

  test("gives a copy to a socket whose subclass takes chunks by a way of its own", async () => {
    const arena = new Arena();
    const kept: Uint8Array[] = [];
    class Keeping extends net.Socket {
      override _writev(chunks: { chunk: Uint8Array }[], done: () => void): void {
        kept.push(...chunks.map(({ chunk }) => chunk));
        done();
      }
    }
    const server = await serveTcp(() => {});
    const socket = new Keeping().connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    const sink = new LeaseSink(socket);
    socket.cork();
    for (let each = 0; each < 3; each++) sink.write(arena.copyOf(pattern(1000)));
    expect(arena.stats().liveLeases).toBe(0);
    socket.uncork();
    await settle();
    expect(kept.map(({ length }) => length)).toEqual([1000, 1000, 1000]);
    socket.destroy();
    await server.close();
  });

  test("returns every block when the stream is destroyed", async () => {
    const arena = new Arena();
    const server = await serveTcp(() => {});
    const socket = net.connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    const sink = new LeaseSink(socket);
    for (let each = 0; each < 100; each++) sink.write(arena.copyOf(pattern(1000)));
    expect(arena.stats().liveLeases).toBe(100);
    socket.destroy(new Error("gone"));
    await settle();
    expect(sink.pending).toBe(0);
    expectDrained(arena);
    await server.close();
  });

  test("gives a copy to a stream that is closed, and keeps nothing", async () => {
    const arena = new Arena();
    const stream = new PassThrough();
    stream.on("error", () => {});
    stream.destroy();
    await settle();
    const sink = new LeaseSink(stream);
    sink.write(arena.copyOf(pattern(10)));
    expectDrained(arena);
    await settle();
  });

  test("returns the block if the stream's write throws", () => {
    const arena = new Arena();
    class Throwing extends Writable {
      override write(): boolean {
        throw new Error("no");
      }
    }
    const sink = new LeaseSink(new Throwing());
    expect(() => sink.write(arena.copyOf(pattern(10)))).toThrow("no");
    expect(sink.pending).toBe(0);
    expectDrained(arena);
  });

  test.each([
    ["no stream", 1],
    ["a stream without once", { write() {} }],
  ])("refuses %s", (_, stream) => {
    expectThrow(() => new LeaseSink(wrong(stream)), "ERR_INVALID_ARGUMENT", "stream");
  });

  test("refuses what is no lease, and options that are none", () => {
    const sink = new LeaseSink(new PassThrough());
    expectThrow(() => sink.write(wrong({})), "ERR_INVALID_ARGUMENT", "lease");
    expectThrow(() => new LeaseSink(new PassThrough(), wrong(null)), "ERR_INVALID_ARGUMENT", "options");
    expectThrow(() => new LeaseSink(new PassThrough(), { onReleased: wrong(1) }), "ERR_INVALID_ARGUMENT", "onReleased");
  });
});

test.each([
  ["writeAndRelease", writeAndRelease],
  ["a LeaseSink", async (stream: Writable, lease: Lease) => void new LeaseSink(stream).write(lease)],
])("%s gives a copy to a transform, which passes on what nobody has read yet", async (_, write) => {
  const arena = new Arena({ revoke: "never" });
  const stream = new PassThrough();
  await write(stream, arena.copyOf(pattern(1000)));
  await settle();
  // The block that the lease had.
  arena.acquire(1000).bytes.fill(0xff);
  expectBytes(stream.read(), pattern(1000));
});

/** Streams whose word on a write is worth nothing, each made with a server if it needs one. */
const untrusted: Record<string, (port: number) => Writable> = {
  "a stream whose write was replaced and drops the callback"() {
    // No transform: those are not trusted anyway.
    const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
    const { write } = stream;
    stream.write = ((chunk: unknown) => write.call(stream, chunk as never, undefined as never)) as never;
    return stream;
  },
  "a request that waits in its agent's queue"(port) {
    const agent = new http.Agent({ maxSockets: 1 });
    const first = http.request({ port, agent, method: "POST" });
    first.on("error", () => {});
    first.write("x");
    const queued = http.request({ port, agent, method: "POST" });
    queued.on("error", () => {});
    return queued;
  },
};

describe.each(Object.entries(untrusted))("%s", (_, make) => {
  test("gets a copy, and the blocks come back at once", async () => {
    const server = await listen(net.createServer(() => {}));
    const arena = new Arena();
    const stream = make(server.port);
    await settle();
    await writeAndRelease(stream, arena.copyOf(pattern(100_000)));
    expectDrained(arena);
    new LeaseSink(stream).write(arena.copyOf(pattern(100_000)));
    expectDrained(arena);
    stream.destroy();
    await server.close();
  });

  test("rejects once it is destroyed, and keeps nothing", async () => {
    const server = await listen(net.createServer(() => {}));
    const arena = new Arena();
    const stream = make(server.port);
    stream.on("error", () => {});
    stream.destroy();
    await settle();
    await expect(writeAndRelease(stream, arena.copyOf(pattern(100)))).rejects.toThrow();
    expectDrained(arena);
    await server.close();
  });
});
