/**
 * Leases into streams: when their blocks come back, and which errors come out.
 * How streams end is completion-table.test.ts.
 */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Arena, Lease } from "cleanslab";
import { LeaseTransform, pipeLeases, readableFrom, writeAndRelease } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import {
  expectArenaError,
  growUnder,
  isSettled,
  promptly,
  rejectionOf,
  settle,
  smallArena,
  thrownBy,
  wrong,
} from "../helpers.ts";
import { expectDrained, pattern, quiet, serveTcp, temporaryFolder } from "./helpers.ts";

const folder = temporaryFolder();
const MESSAGE = pattern(100_000);

/** The message as ten leases, made one by one. */
function* leasesOf(arena: Arena): Generator<Lease, void, undefined> {
  for (let at = 0; at < MESSAGE.length; at += 10_000) yield arena.copyOf(MESSAGE.subarray(at, at + 10_000));
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  return Buffer.concat(await stream.toArray());
}

describe("writeAndRelease", () => {
  test("ends the lease at once, and returns its block when the socket has written it: not connected yet, or corked", async () => {
    using arena = smallArena();
    const server = await serveTcp((peer) => peer.resume());
    const socket = quiet(net.connect(server.port, "127.0.0.1"));
    for (let round = 0; round < 2; round++) {
      const leases = [...leasesOf(arena)];
      const writes = leases.map((lease) => writeAndRelease(socket, lease));
      expect([leases.every(({ released }) => released), arena.stats().liveLeases]).toEqual([true, 10]);
      // One listener for all.
      expect(socket.listenerCount("close")).toBeLessThan(5);
      socket.uncork();
      await Promise.all(writes);
      expectDrained(arena);
      socket.cork();
    }
    await server.close();
  });

  test.each<[what: string, open: () => Writable, code: string]>([
    ["a folder that is not there", () => createWriteStream(join(folder, "none", "out")), "ENOENT"],
    ["a stream that has ended", () => new PassThrough().end(), "ERR_STREAM_WRITE_AFTER_END"],
    ["a stream that is destroyed", () => new PassThrough().destroy(), "ERR_STREAM_PREMATURE_CLOSE"],
  ])("rejects for %s, and keeps nothing", async (_, open, code) => {
    using arena = smallArena();
    expect(await rejectionOf(writeAndRelease(quiet(open()), arena.acquire(1000)))).toMatchObject({ code });
    expectDrained(arena);
  });

  test("writes nothing to a stream that is closed, and makes no error of it there", async () => {
    using arena = smallArena();
    const errors: unknown[] = [];
    const stream = new Writable().on("error", (error) => errors.push(error));
    await once(stream.destroy(), "close");
    await rejectionOf(writeAndRelease(stream, arena.acquire(1000)));
    await settle();
    expect(errors).toEqual([]);
  });

  test("refuses a lease that has ended, and one whose memory was revoked, and writes nothing", async () => {
    for (const [spoil, code] of [
      [(lease: Lease) => lease.release(), "ERR_LEASE_RELEASED"],
      // The release may be the first to find the damage, or not: either way that is what is said.
      [(lease: Lease) => growUnder(lease, 0), "ERR_LEASE_DETACHED"],
    ] as const) {
      using arena = smallArena();
      const lease = arena.acquire(10);
      spoil(lease);
      const stream = new PassThrough();
      expectArenaError(await rejectionOf(writeAndRelease(stream, lease)), code);
      expect([stream.readableLength, stream.listenerCount("close"), lease.released]).toEqual([0, 0, true]);
      arena.assertDrained();
    }
  });
});

describe("pipeLeases", () => {
  test("asks for a lease once the one before it is written, and says how many bytes there were", async () => {
    using arena = smallArena({ trace: "all" });
    const steps: string[] = [];
    const callbacks: (() => void)[] = [];
    const stream = new Writable({ write: (_chunk, _encoding, done) => void callbacks.push(done) });
    const leases = function* (): Generator<Lease> {
      for (const _name of ["first", "second"]) {
        const lease = arena.acquire(10);
        steps.push((thrownBy(() => arena.assertDrained()) as Error).message);
        yield lease;
      }
      steps.push("end");
    };
    const callPipe = (): Promise<number> => pipeLeases(leases(), stream);
    const piped = callPipe();
    for (const expected of [1, 2]) {
      expect(await isSettled(piped)).toBe(false);
      expect(steps.length).toBe(expected);
      callbacks.pop()?.();
    }
    expect([await piped, steps.at(-1)]).toEqual([20, "end"]);
    expectDrained(arena);
    // Of a leak's stack the library is no part, not even between the caller's own frames.
    const [, , first, second] = steps[0]?.split("\n") ?? [];
    expect([first, second]).toEqual([expect.stringContaining("write.test"), expect.stringContaining("callPipe")]);
  });

  test("closes the iterator when a write fails", async () => {
    using arena = smallArena();
    const leases = leasesOf(arena);
    const stream = quiet(new Writable({ write: (_chunk, _encoding, done) => done(new Error("full")) }));
    expect(await rejectionOf(pipeLeases(leases, stream))).toMatchObject({ message: "full" });
    expect(leases.next().done).toBe(true);
    expectDrained(arena);
  });
});

describe("a stream's error, where the caller does not listen to it,", () => {
  const start = `
    import { createWriteStream } from "node:fs";
    import { setTimeout } from "node:timers/promises";
    import { Writable } from "node:stream";
    import { Arena } from "cleanslab";
    import { LeaseSink, pipeLeases, writeAndRelease } from "cleanslab/node";
    const arena = new Arena();
    const none = () => createWriteStream("/no/such/folder/file");
    const full = () => createWriteStream("/dev/full");
    const said = [];
    const say = (promise) => promise.then(() => said.push("done"), (error) => said.push(error.code ?? error.message));
    const end = () => { arena.assertDrained(); console.log(JSON.stringify(said)); };`;

  test("is the rejection alone, also of one that fails between two leases or after the last", async () => {
    const said = await inChild(`${start}
      for (const open of [none, full]) {
        await say(writeAndRelease(open(), arena.acquire(10)));
        await say(pipeLeases([arena.acquire(10)], open()));
        const stream = open();
        await Promise.all([1, 2].map(() => say(writeAndRelease(stream, arena.acquire(10)))));
      }
      for (const rest of [[], [10]]) {
        const stream = new Writable({ write: (chunk, encoding, done) => done() });
        await say(pipeLeases((async function* () {
          yield arena.acquire(10);
          stream.destroy(new Error("between"));
          await setTimeout(5);
          yield* rest.map((byteLength) => arena.acquire(byteLength));
        })(), stream));
      }
      await setTimeout(20);
      end();`);
    const ENOSPC = ["ENOSPC", "ENOSPC", "ENOSPC", expect.stringMatching(/ENOSPC|ERR_STREAM_DESTROYED/)];
    expect(said).toEqual([...Array(4).fill("ENOENT"), ...ENOSPC, "between", "between"]);
  });

  test("is the caller's again later: nothing stays that would hide it", async () => {
    const said = await inChild(`${start}
      process.on("uncaughtException", (error) => said.push("uncaught " + error.message));
      const good = new Writable({ write: (chunk, encoding, done) => done() });
      const bad = new Writable({ write: (chunk, encoding, done) => done(new Error("bad")), autoDestroy: false });
      for (const stream of [good, bad]) {
        await say(writeAndRelease(stream, arena.acquire(10)));
        await setTimeout(5);
        setImmediate(() => stream.emit("error", new Error("later")));
        await setTimeout(5);
        said.push(stream.listenerCount("error"));
      }
      end();`);
    expect(said).toEqual(["done", "uncaught later", 0, "bad", "uncaught later", 0]);
  });
});

describe("readableFrom", () => {
  test("is a stream of the leases' bytes, which are released as they are read, or when it is destroyed", async () => {
    using arena = smallArena();
    expect(MESSAGE.equals(await bytesOf(readableFrom(leasesOf(arena))))).toBe(true);
    expectDrained(arena);
    for await (const _ of readableFrom(leasesOf(arena))) break;
    expectDrained(arena);
  });

  test("closes an iterator that was begun, also when it is destroyed before its first read", async () => {
    using arena = smallArena();
    const begun = leasesOf(arena);
    begun.next().value?.release();
    await once(readableFrom(begun).destroy(), "close");
    expect(begun.next().done).toBe(true);
  });

  test("closes no iterator that has come to its end or thrown, as for-of does not, and passes its error on", async () => {
    using arena = smallArena();
    const done = { done: true, value: undefined } as const;
    for (const error of [undefined, new Error("no more")]) {
      const steps: string[] = [];
      const iterator: Iterator<Lease> = {
        next() {
          steps.push("next");
          if (steps.length === 1) return { done: false, value: arena.acquire(10) };
          if (error !== undefined) throw error;
          return done;
        },
        return() {
          steps.push("return");
          return done;
        },
      };
      const outcome = await bytesOf(readableFrom({ [Symbol.iterator]: () => iterator })).catch((thrown) => thrown);
      expect([outcome, steps]).toEqual([error ?? Buffer.alloc(10), ["next", "next"]]);
    }
    expectDrained(arena);
  });
});

describe("a LeaseTransform", () => {
  const source = (): Readable => Readable.from([Buffer.from("some "), Buffer.from("text")]);
  const thrower = (): never => {
    throw new Error("mine");
  };

  test("works in leases between two streams of bytes", async () => {
    using arena = smallArena();
    let [chunks, released] = [0, 0];
    const shouting = new LeaseTransform({
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
      release: () => void released++,
    });
    expect(String(await bytesOf(source().pipe(shouting)))).toBe("SOME TEXT 2");
    await settle();
    expect(released).toBe(1);
    expectDrained(arena);
  });

  test("is destroyed by what its functions throw, and tells them to release", async () => {
    using arena = smallArena();
    const held: Lease[] = [];
    for (const fail of [thrower, async () => thrower(), () => Promise.reject(wrong("mine"))]) {
      const transform = new LeaseTransform({
        transform: () => {
          held.push(arena.acquire(10));
          return fail();
        },
        release: () => held.pop()?.release(),
      });
      const error = await rejectionOf(pipeline(source(), transform, new PassThrough().resume()));
      expect(error).toMatchObject({ message: "mine" });
      expectDrained(arena);
    }
  });

  test("does not mind what its functions return, if it is no promise", async () => {
    using arena = smallArena();
    const transform = new LeaseTransform({
      transform: (chunk, push) => wrong(push(arena.copyOf(chunk)) ?? 1),
      flush: () => wrong(null),
      release: () => wrong(true),
    });
    expect(String(await promptly(bytesOf(source().pipe(transform))))).toBe("some text");
  });
});
