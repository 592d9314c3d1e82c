/** Real sockets read as leases: plain and TLS, good peers and bad ones. */

import { once } from "node:events";
import net, { type OnReadOpts, type Socket } from "node:net";
import tls from "node:tls";
import type { Lease } from "cleanslab";
import { readSocketLeases } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectArenaError,
  expectThrow,
  isZero,
  MODES,
  releaseAll,
  settle,
  smallArena,
  thrownBy,
  wrong,
} from "../helpers.ts";
import { expectDrained, listen, pattern, type Served, serveTcp } from "./helpers.ts";
import { selfSigned } from "./tls.ts";

const identity = selfSigned();

interface Transport {
  serve(onSocket: (socket: Socket) => void): Promise<Served>;
  connect(port: number, onread: OnReadOpts): Socket;
}

const plain: Transport = {
  serve: serveTcp,
  connect: (port, onread) => net.connect({ port, host: "127.0.0.1", onread }),
};
const secure: Transport = {
  serve: (onSocket) => listen(tls.createServer({ ...identity }, onSocket)),
  connect: (port, onread) =>
    // The types do not have it, tls.connect passes it on.
    tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, onread } as tls.ConnectionOptions),
};
const transports: [string, Transport][] =
  identity === null
    ? [["net", plain]]
    : [
        ["net", plain],
        ["tls", secure],
      ];

test("there is an openssl to make the TLS server's certificate", () => {
  expect(identity).not.toBeNull();
});

/** Waits for the socket's end, and gives its error if there was one. */
async function closed(socket: Socket): Promise<Error | undefined> {
  let error: Error | undefined;
  socket.on("error", (each) => {
    error = each;
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return error;
}

describe.each(transports)("over %s, readSocketLeases", (transport, { serve, connect }) => {
  test.each(MODES)("brings all bytes in leases of exactly what came, revoke: %s", async (revoke) => {
    using arena = smallArena({ revoke, trace: "all" }, 16);
    const sent = pattern(700_000);
    const server = await serve((socket) => socket.end(sent));
    const got: Buffer[] = [];
    const socket = readSocketLeases((onread) => connect(server.port, onread), arena, {
      chunkBytes: 10_000,
      onLease(lease) {
        expect(lease.bytes.length).toBe(lease.byteLength);
        got.push(Buffer.from(lease.bytes));
        lease.release();
      },
    });
    expect(await closed(socket)).toBeUndefined();
    expect(Buffer.concat(got).equals(sent)).toBe(true);
    expectDrained(arena);
    await server.close();
  });

  test("lets leases be kept: none is read into twice", async () => {
    using arena = smallArena({}, 16);
    const sent = pattern(300_000);
    const server = await serve((socket) => socket.end(sent));
    const kept: Lease[] = [];
    const socket = readSocketLeases((onread) => connect(server.port, onread), arena, {
      onLease: (lease) => kept.push(lease),
    });
    await closed(socket);
    expect(Buffer.concat(kept.map(({ bytes }) => bytes)).equals(sent)).toBe(true);
    expect(arena.stats().liveLeases).toBe(kept.length);
    releaseAll(kept);
    expectDrained(arena);
    await server.close();
  });

  test("pauses when told so, goes on with resume, and loses nothing", async () => {
    using arena = smallArena({}, 16);
    const sent = pattern(200_000);
    const server = await serve((socket) => socket.end(sent));
    const got: Buffer[] = [];
    let isPaused = false;
    const socket = readSocketLeases((onread) => connect(server.port, onread), arena, {
      chunkBytes: 8192,
      onLease(lease, from) {
        // TLS goes on with what has come before it was paused.
        if (transport === "net") expect(isPaused).toBe(false);
        got.push(Buffer.from(lease.bytes));
        lease.release();
        isPaused = true;
        settle().then(() => {
          isPaused = false;
          from.resume();
        });
        return false;
      },
    });
    expect(await closed(socket)).toBeUndefined();
    expect(Buffer.concat(got).equals(sent)).toBe(true);
    expectDrained(arena);
    await server.close();
  });

  test("releases the armed lease when the peer goes away, is silent, or was never there", async () => {
    using arena = smallArena();
    const onLease = (lease: Lease): void => lease.release();
    const rude = await serve((socket) => socket.write("hello", () => socket.destroy()));
    await closed(readSocketLeases((onread) => connect(rude.port, onread), arena, { onLease }));
    expectDrained(arena);
    await rude.close();
    const refused = readSocketLeases((onread) => connect(rude.port, onread), arena, { onLease });
    expect(await closed(refused)).toMatchObject({ code: "ECONNREFUSED" });
    expectDrained(arena);
    const silent = await serve(() => {});
    const socket = readSocketLeases((onread) => connect(silent.port, onread), arena, { onLease });
    await once(socket, "connect");
    expect(arena.stats().liveLeases).toBe(1);
    socket.destroy();
    await closed(socket);
    expectDrained(arena);
    await silent.close();
  });

  test("destroys the socket when onLease throws, and releases its lease", async () => {
    using arena = smallArena();
    const server = await serve((socket) => socket.write(pattern(100_000)));
    const error = new Error("cannot parse");
    let calls = 0;
    const socket = readSocketLeases((onread) => connect(server.port, onread), arena, {
      onLease() {
        calls++;
        throw error;
      },
    });
    expect(await closed(socket)).toBe(error);
    expect(calls).toBe(1);
    expectDrained(arena);
    await server.close();
  });

  test("destroys the socket when the arena has no room for the next lease", async () => {
    using arena = smallArena({ onExhausted: "throw" });
    const server = await serve((socket) => socket.write(pattern(200_000)));
    let held: Lease[] = [];
    const socket = readSocketLeases((onread) => connect(server.port, onread), arena, {
      chunkBytes: 4096,
      onLease(lease) {
        held = [lease, ...exhaust(arena, 4096)];
      },
    });
    expectArenaError(await closed(socket), "ERR_ARENA_EXHAUSTED");
    expect(Buffer.from(held[0]?.bytes ?? []).equals(pattern(4096).subarray(0, held[0]?.byteLength))).toBe(true);
    releaseAll(held);
    expectDrained(arena);
    await server.close();
  });

  test("goes on when onLease destroys the socket or sends over it", async () => {
    using arena = smallArena();
    const server = await serve((socket) => {
      socket.on("data", (data) => socket.write(data));
      socket.write("first");
    });
    const got: string[] = [];
    const socket = readSocketLeases((onread) => connect(server.port, onread), arena, {
      onLease(lease, from) {
        got.push(Buffer.from(lease.bytes).toString());
        lease.release();
        if (got.length === 3) from.destroy();
        else from.write(`answer ${got.length}`);
      },
    });
    await closed(socket);
    expect(got).toEqual(["first", "answer 1", "answer 2"]);
    expectDrained(arena);
    await server.close();
  });
});

describe("readSocketLeases", () => {
  test("arms one lease when the socket tries one address after another", async () => {
    using arena = smallArena();
    const server = await serveTcp((socket) => socket.end("hello"));
    const addresses = ["127.0.0.3", "127.0.0.2", "127.0.0.1"].map((address) => ({ address, family: 4 }));
    const got: string[] = [];
    const lookup: net.LookupFunction = (_host, _options, found) => found(null, addresses);
    const socket = readSocketLeases(
      (onread) => net.connect({ host: "several", port: server.port, autoSelectFamily: true, lookup, onread }),
      arena,
      {
        onLease(lease) {
          got.push(Buffer.from(lease.bytes).toString());
          lease.release();
        },
      },
    );
    expect(await closed(socket)).toBeUndefined();
    expect(got).toEqual(["hello"]);
    expectDrained(arena);
    await server.close();
  });

  test("keeps nothing when no socket comes of it", () => {
    using arena = smallArena({ onExhausted: "throw" }, 1);
    const onLease = (lease: Lease): void => lease.release();
    const error = thrownBy(() =>
      readSocketLeases((onread) => net.connect({ port: 70_000, onread }), arena, { onLease }),
    );
    expect(error).toMatchObject({ code: "ERR_SOCKET_BAD_PORT" });
    expectDrained(arena);
    const full = exhaust(arena, 4096);
    const connect = (onread: OnReadOpts): Socket => net.connect({ port: 1, onread });
    expectThrow(() => readSocketLeases(connect, arena, { onLease }), "ERR_ARENA_EXHAUSTED");
    releaseAll(full);
    expectThrow(() => readSocketLeases(wrong(null), arena, { onLease }), "ERR_INVALID_ARGUMENT", "connect");
    expectThrow(() => readSocketLeases(connect, arena, wrong({})), "ERR_INVALID_ARGUMENT", "onLease");
    expectThrow(() => readSocketLeases(connect, arena, { onLease, chunkBytes: 0 }), "ERR_INVALID_ARGUMENT");
    expectDrained(arena);
  });

  test.each(["throws after it made the socket", "forgets to return the socket"])(
    "lets no socket read into anyone's lease when connect %s",
    async (mishap) => {
      using arena = smallArena();
      const server = await serveTcp((peer) => peer.write("SECRET"));
      let lost = new net.Socket();
      const calls: Lease[] = [];
      const connect = (onread: OnReadOpts): Socket => {
        lost = net.connect({ port: server.port, host: "127.0.0.1", onread });
        if (mishap.startsWith("throws")) throw new Error("too many sockets");
        return wrong(undefined);
      };
      const error = thrownBy(() => readSocketLeases(connect, arena, { onLease: (lease) => calls.push(lease) }));
      if (mishap.startsWith("throws")) expect(error).toMatchObject({ message: "too many sockets" });
      else expectArenaError(error, "ERR_INVALID_ARGUMENT", "connect", "undefined");
      expectDrained(arena);
      const next = arena.acquire(65_536);
      await once(lost, "connect");
      while (lost.bytesRead === 0) await settle();
      expect(isZero(next.bytes)).toBe(true);
      expect(calls).toEqual([]);
      next.release();
      lost.destroy();
      await closed(lost);
      expectDrained(arena);
      await server.close();
    },
  );

  test("keeps nothing for a socket that was closed before", async () => {
    using arena = smallArena();
    const before = new net.Socket().destroy();
    await once(before, "close");
    readSocketLeases(() => before, arena, { onLease: (lease) => lease.release() });
    expectDrained(arena);
  });

  test("says in a leak's stack who reads the socket, and no file of the library", async () => {
    using arena = smallArena({ trace: "all" });
    const server = await serveTcp(() => {});
    const socket = readSocketLeases((onread) => plain.connect(server.port, onread), arena, { onLease() {} });
    const { message } = thrownBy(() => arena.assertDrained()) as Error;
    const [, , frame] = message.split("\n");
    expect(frame).toContain("socket.test");
    expect(message).not.toMatch(/dist[/\\]node[/\\]/);
    socket.destroy();
    await closed(socket);
    await server.close();
  });
});
