/**
 * Writing leases to real sockets, files and responses, in the states in which a
 * wipe after `write()` would send zeros: slow, corked, not connected yet, gone.
 */

import { once } from "node:events";
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import net, { type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, gunzipSync } from "node:zlib";
import type { Arena, Lease } from "cleanslab";
import { collect, LeaseTransform, pipeLeases, readableFrom, readFileLeases, writeAndRelease } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import {
  deferred,
  expectArenaError,
  expectThrow,
  growUnder,
  isSettled,
  MODES,
  promptly,
  rejectionOf,
  settle,
  smallArena,
  thrownBy,
  wrong,
} from "../helpers.ts";
import { expectDrained, pattern, type Served, serveHttp, serveTcp } from "./helpers.ts";

const MESSAGE = pattern(100_000);
const CHUNK_BYTES = 10_000;

/** The message as leases, made one by one. */
function* leasesOf(arena: Arena, message = MESSAGE): Generator<Lease, void, undefined> {
  for (let at = 0; at < message.length; at += CHUNK_BYTES) {
    yield arena.copyOf(message.subarray(at, at + CHUNK_BYTES));
  }
}

/** A server that takes one connection, slowly if told so, and gives all that came over it. */
async function sink(isSlow = false): Promise<Served & { received: Promise<Buffer>; start(): void }> {
  const received = deferred<Buffer>();
  const started = deferred<void>();
  const served = await serveTcp(async (socket) => {
    if (isSlow) await started.promise;
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => received.resolve(Buffer.concat(chunks)));
  });
  return { ...served, received: received.promise, start: () => started.resolve() };
}

describe.each(MODES)("revoke: %s, writeAndRelease", (revoke) => {
  test("sends the right bytes over a socket that is not yet connected, corked, and connected", async () => {
    using arena = smallArena({ revoke, trace: "all" });
    const server = await sink();
    const socket = net.connect(server.port, "127.0.0.1");
    const early = [...leasesOf(arena)].map((lease) => {
      const written = writeAndRelease(socket, lease);
      expect(lease.released).toBe(true);
      return written;
    });
    expect(arena.stats().liveLeases).toBe(10);
    await Promise.all(early);
    expectDrained(arena);
    socket.cork();
    expect(socket.listenerCount("close")).toBeLessThan(5);
    const corked = [...leasesOf(arena)].map((lease) => writeAndRelease(socket, lease));
    await settle();
    expect(arena.stats().liveLeases).toBe(10);
    socket.uncork();
    await Promise.all(corked);
    for (const lease of leasesOf(arena)) await writeAndRelease(socket, lease);
    expectDrained(arena);
    socket.end();
    expect((await server.received).equals(Buffer.concat([MESSAGE, MESSAGE, MESSAGE]))).toBe(true);
    await server.close();
  });

  test("sends the right bytes to a slow peer, and holds the leases until then", async () => {
    using arena = smallArena({ revoke }, 64);
    const server = await sink(true);
    const socket = net.connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    const message = pattern(8_000_000);
    const writes: Promise<void>[] = [];
    for (let at = 0; at < message.length; at += 200_000) {
      writes.push(writeAndRelease(socket, arena.copyOf(message.subarray(at, at + 200_000))));
    }
    await settle();
    expect(arena.stats().liveLeases).toBeGreaterThan(0);
    server.start();
    await Promise.all(writes);
    expectDrained(arena);
    socket.end();
    expect((await server.received).equals(message)).toBe(true);
    await server.close();
  });

  test("releases and rejects when the peer goes away, or this side is destroyed, in the middle", async () => {
    using arena = smallArena({ revoke }, 64);
    for (const leave of [(_: Socket, peer: Socket) => peer.resetAndDestroy(), (socket: Socket) => socket.destroy()]) {
      const connected = deferred<Socket>();
      const server = await serveTcp((socket) => connected.resolve(socket.pause()));
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      const peer = await connected.promise;
      const writes = Array.from({ length: 40 }, () => writeAndRelease(socket, arena.acquire(250_000)));
      const outcomes = Promise.allSettled(writes);
      leave(socket, peer);
      expect((await outcomes).some(({ status }) => status === "rejected")).toBe(true);
      expectDrained(arena);
      await server.close();
    }
  });

  test("releases and rejects when there is no one to connect to, or no stream any more", async () => {
    using arena = smallArena({ revoke });
    const gone = await serveTcp(() => {});
    await gone.close();
    const refused = net.connect(gone.port, "127.0.0.1");
    refused.on("error", () => {});
    await rejectionOf(writeAndRelease(refused, arena.acquire(1000)));
    const neverConnected = new net.Socket();
    neverConnected.on("error", () => {});
    const never = rejectionOf(writeAndRelease(neverConnected, arena.acquire(1000)));
    neverConnected.destroy();
    await never;
    await rejectionOf(writeAndRelease(neverConnected, arena.acquire(1000)));
    const ended = new PassThrough().end();
    ended.on("error", () => {});
    await rejectionOf(writeAndRelease(ended, arena.acquire(1000)));
    expectDrained(arena);
  });

  test("rejects when a stream drops a write without a word, at its close", async () => {
    using arena = smallArena({ revoke });
    const silent = new Writable({ write() {} });
    const written = writeAndRelease(silent, arena.acquire(1000));
    expect(await isSettled(written)).toBe(false);
    silent.destroy();
    expect(await promptly(rejectionOf(written))).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    expectDrained(arena);
  });

  test("writes nothing to a stream that is closed, and makes no error of it there", async () => {
    using arena = smallArena({ revoke });
    const errors: unknown[] = [];
    const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
    stream.on("error", (error) => errors.push(error));
    stream.destroy();
    await once(stream, "close");
    expect(await rejectionOf(writeAndRelease(stream, arena.acquire(1000)))).toMatchObject({
      code: "ERR_STREAM_PREMATURE_CLOSE",
    });
    await settle();
    expect(errors).toEqual([]);
    expectDrained(arena);
  });

  test("writes files, and passes on what goes wrong", async () => {
    using arena = smallArena({ revoke });
    const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
    const path = join(folder, "out");
    const file = createWriteStream(path);
    expect(await pipeLeases(leasesOf(arena), file)).toBe(MESSAGE.length);
    file.end();
    await once(file, "close");
    expect(readFileSync(path).equals(MESSAGE)).toBe(true);
    const nowhere = createWriteStream(join(folder, "none", "out"));
    nowhere.on("error", () => {});
    expect(await rejectionOf(writeAndRelease(nowhere, arena.acquire(10)))).toMatchObject({ code: "ENOENT" });
    rmSync(folder, { recursive: true });
    expectDrained(arena);
  });

  test("answers requests, and survives clients that hang up", async () => {
    using arena = smallArena({ revoke }, 16);
    const outcome = deferred<number | unknown>();
    const server = await serveHttp(async (incoming, response) => {
      // As much as no connection takes at once.
      const forever = function* (): Generator<Lease> {
        for (let round = 0; round < 1000; round++) yield* leasesOf(arena);
      };
      try {
        await pipeLeases(incoming.url === "/forever" ? forever() : leasesOf(arena), response);
        response.end();
        if (incoming.url === "/forever") outcome.resolve("all was written");
      } catch (error) {
        outcome.resolve(error);
      }
    });
    const good = request({ port: server.port }).end();
    const [response] = await once(good, "response");
    const body = await collect(response, arena, { limit: MESSAGE.length });
    expect(MESSAGE.equals(body.bytes)).toBe(true);
    body.release();
    const bad = request({ port: server.port, path: "/forever" }).end();
    bad.on("error", () => {});
    bad.on("response", (each) => each.once("data", () => bad.destroy()));
    expect(await outcome.promise).toBeInstanceOf(Error);
    expectDrained(arena);
    await server.close();
  });

  test("releases a lease whose memory someone else has revoked, and writes nothing", async () => {
    // The release may be the first to find the damage, or not: either way that is what is said.
    using arena = smallArena({ revoke });
    const lease = arena.acquire(10);
    growUnder(lease, 0);
    const stream = new PassThrough();
    expectArenaError(await rejectionOf(writeAndRelease(stream, lease)), "ERR_LEASE_DETACHED");
    expect([stream.readableLength, lease.released]).toEqual([0, true]);
    arena.assertDrained();
  });

  test("refuses a lease that has ended, and writes nothing", async () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(10);
    lease.release();
    const stream = new PassThrough();
    expectArenaError(await rejectionOf(writeAndRelease(stream, lease)), "ERR_LEASE_RELEASED");
    expect([stream.readableLength, stream.listenerCount("close")]).toEqual([0, 0]);
  });
});

describe("pipeLeases", () => {
  test("asks for a lease once the one before it is written", async () => {
    using arena = smallArena();
    const steps: string[] = [];
    const callbacks: (() => void)[] = [];
    const stream = new Writable({ write: (_chunk, _encoding, done) => void callbacks.push(done) });
    const leases = (function* () {
      for (const name of ["first", "second"]) {
        steps.push(name);
        yield arena.acquire(10);
      }
      steps.push("end");
    })();
    const piped = pipeLeases(leases, stream);
    for (const expected of ["first", "second"]) {
      await settle();
      expect(steps.at(-1)).toBe(expected);
      callbacks.pop()?.();
    }
    expect(await piped).toBe(20);
    expect(steps).toEqual(["first", "second", "end"]);
    expectDrained(arena);
  });

  test("is no part of a leak's stack, not even between the caller's own frames", async () => {
    using arena = smallArena({ trace: "all" });
    const stacks: string[] = [];
    const leases = function* (): Generator<Lease> {
      const lease = arena.acquire(10);
      stacks.push((thrownBy(() => arena.assertDrained()) as Error).message);
      yield lease;
    };
    const callPipe = (): Promise<number> => pipeLeases(leases(), new PassThrough());
    await callPipe();
    const [, , ...frames] = stacks[0]?.split("\n") ?? [];
    expect(frames[0]).toContain("write.test");
    expect(frames[1]).toContain("callPipe");
    expect(stacks[0]).not.toMatch(/dist[/\\]node[/\\]/);
  });

  test("closes the iterator when a write fails", async () => {
    using arena = smallArena();
    const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
    writeFileSync(join(folder, "in"), MESSAGE);
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("full")) });
    stream.on("error", () => {});
    const leases = readFileLeases(join(folder, "in"), arena, { chunkBytes: 1000 });
    expect(await rejectionOf(pipeLeases(leases, stream))).toMatchObject({ message: "full" });
    expectDrained(arena);
    rmSync(folder, { recursive: true });
  });
});

describe("readableFrom", () => {
  test("is a stream of the leases' bytes, which are released as they are read", async () => {
    using arena = smallArena();
    const chunks: Buffer[] = [];
    await pipeline(readableFrom(leasesOf(arena)), createGzip(), async (zipped) => {
      for await (const chunk of zipped) chunks.push(chunk);
    });
    expect(gunzipSync(Buffer.concat(chunks)).equals(MESSAGE)).toBe(true);
    expectDrained(arena);
  });

  test("closes an iterator that was begun, also when it is destroyed before its first read", async () => {
    using arena = smallArena();
    let isClosed = false;
    const begun = (function* () {
      try {
        yield* leasesOf(arena);
      } finally {
        isClosed = true;
      }
    })();
    begun.next().value?.release();
    const stream = readableFrom(begun).destroy();
    await once(stream, "close");
    expect(isClosed).toBe(true);
    expectDrained(arena);
  });

  test("closes no iterator that has come to its end or thrown, as for-of does not", async () => {
    using arena = smallArena();
    for (const last of ["ends", "throws"]) {
      const steps: string[] = [];
      const leases: Iterable<Lease> = {
        [Symbol.iterator]: () => ({
          next() {
            steps.push("next");
            if (steps.length === 1) return { done: false, value: arena.acquire(10) };
            if (last === "throws") throw new Error("no more");
            return { done: true, value: undefined };
          },
          return() {
            steps.push("return");
            return { done: true, value: undefined };
          },
        }),
      };
      const stream = readableFrom(leases).on("error", () => {});
      stream.resume();
      await new Promise((resolve) => stream.once("close", resolve));
      expect(steps).toEqual(["next", "next"]);
    }
    expectDrained(arena);
  });

  test("refuses what cannot be iterated", () => {
    for (const leases of [undefined, null, 1, {}]) {
      expectThrow(() => readableFrom(wrong(leases)), "ERR_INVALID_ARGUMENT", "leases is");
    }
  });

  test("releases what it has when it is destroyed, and passes on errors", async () => {
    using arena = smallArena();
    for await (const chunk of readableFrom(leasesOf(arena))) {
      expect(chunk).toEqual(MESSAGE.subarray(0, CHUNK_BYTES));
      break;
    }
    expectDrained(arena);
    const failing = function* (): Generator<Lease> {
      yield arena.acquire(10);
      throw new Error("no more");
    };
    expect(await rejectionOf(readableFrom(failing()).forEach(() => {}))).toMatchObject({ message: "no more" });
    expectDrained(arena);
  });
});

describe("a LeaseTransform", () => {
  /** Upper case, in leases, with the number of chunks at the end. */
  function shouting(arena: Arena, onRelease?: () => void): LeaseTransform {
    let chunks = 0;
    return new LeaseTransform({
      transform(chunk, push) {
        chunks++;
        using writer = arena.writer(chunk.length);
        writer.writeString(chunk.toString().toUpperCase());
        push(writer.take());
      },
      async flush(push) {
        await settle();
        push(arena.copyOf(Buffer.from(` ${chunks}`)));
      },
      release: onRelease,
    });
  }

  test("works in leases between two streams of bytes", async () => {
    using arena = smallArena();
    let released = 0;
    const source = Readable.from([Buffer.from("some "), Buffer.from("text")]);
    const lease = await collect(source.pipe(shouting(arena, () => released++)), arena, { limit: 100 });
    expect(Buffer.from(lease.bytes).toString()).toBe("SOME TEXT 2");
    await settle();
    expect(released).toBe(1);
    lease.release();
    expectDrained(arena);
  });

  test("is destroyed by what its functions throw, and tells them to release", async () => {
    using arena = smallArena();
    const held: Lease[] = [];
    const release = (): void => {
      for (const lease of held.splice(0)) lease.release();
    };
    const transforms = [
      () => {
        throw new Error("sync");
      },
      async () => {
        throw new Error("async");
      },
      () => Promise.reject(wrong("no error")),
    ];
    for (const fail of transforms) {
      const transform = new LeaseTransform({
        transform: () => {
          held.push(arena.acquire(10));
          return fail();
        },
        release,
      });
      const error = await rejectionOf(
        pipeline(Readable.from([Buffer.from("x")]), transform, new PassThrough().resume()),
      );
      expect(String(error)).toMatch(/sync|no error/);
      expectDrained(arena);
    }
    expectThrow(() => new LeaseTransform(wrong({})), "ERR_INVALID_ARGUMENT", "options.transform");
  });

  test("does not mind what its functions return, if it is no promise", async () => {
    using arena = smallArena();
    const held = new Set<Lease>();
    const transform = new LeaseTransform({
      transform: (chunk, push) => wrong(push(arena.copyOf(chunk)) ?? 1),
      flush: () => wrong(null),
      release: () => wrong(held.clear() ?? true),
    });
    const chunks: Buffer[] = [];
    await pipeline(Readable.from([Buffer.from("some "), Buffer.from("text")]), transform, async (each) => {
      for await (const chunk of each) chunks.push(chunk);
    });
    expect(Buffer.concat(chunks).toString()).toBe("some text");
    expectDrained(arena);
  });

  test("copies a file through", async () => {
    using arena = smallArena();
    const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
    const file = createWriteStream(join(folder, "in"));
    file.end(MESSAGE);
    await once(file, "close");
    const copy = new LeaseTransform({ transform: (chunk, push) => push(arena.copyOf(chunk)) });
    await pipeline(createReadStream(join(folder, "in")), copy, createWriteStream(join(folder, "out")));
    expect(readFileSync(join(folder, "out")).equals(MESSAGE)).toBe(true);
    rmSync(folder, { recursive: true });
    expectDrained(arena);
  });
});
