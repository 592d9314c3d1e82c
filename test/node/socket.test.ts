/** Real sockets read into leases: plain and TLS, good peers and bad ones. */

import { once } from "node:events";
import net, { type OnReadOpts, type Socket } from "node:net";
import tls from "node:tls";
import type { Arena, Lease } from "cleanslab";
import { readSocket, readSocketLeases } from "cleanslab/node";
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
import { expectDrained, listen, pattern, type Served, selfSigned, serveTcp } from "./helpers.ts";

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
const TRANSPORTS: [name: string, transport: Transport][] = [["net", plain]];
if (identity !== null) TRANSPORTS.push(["tls", secure]);

test("there is an openssl to make the TLS server's certificate", () => expect(identity).not.toBeNull());

/** Waits for the socket's end, and gives its error if there was one. */
async function closed(socket: Socket): Promise<Error | undefined> {
  let error: Error | undefined;
  socket.on("error", (each) => {
    error = each;
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return error;
}

type OnLease = (lease: Lease, socket: Socket) => unknown;
/** Copies what came, and releases the lease. */
const into =
  (got: Buffer[]): OnLease =>
  (lease) => {
    got.push(Buffer.from(lease.bytes));
    lease.release();
  };

describe.each(TRANSPORTS)("over %s, readSocketLeases", (transport, { serve, connect }) => {
  interface Reading {
    readonly arena?: Arena;
    readonly chunkBytes?: number;
    readonly serve: (peer: Socket) => unknown;
    readonly onLease: OnLease;
  }
  /** Reads until the socket is closed. */
  async function read({ arena = smallArena({ trace: "all" }, 16), serve: onPeer, ...options }: Reading) {
    const server = await serve(onPeer);
    const socket = readSocketLeases((onread) => connect(server.port, onread), arena, options);
    const error = await closed(socket);
    await server.close();
    return { error, arena };
  }

  test.each(MODES)(
    "brings all bytes in leases of exactly what came, none read into twice, revoke: %s",
    async (revoke) => {
      const kept: Lease[] = [];
      const arena = smallArena({ revoke, trace: "all" }, 16);
      const onLease: OnLease = (lease) => kept.push(lease);
      const { error } = await read({ arena, chunkBytes: 10_000, serve: (peer) => peer.end(pattern(400_000)), onLease });
      expect([error, Buffer.concat(kept.map(({ bytes }) => bytes)).equals(pattern(400_000))]).toEqual([
        undefined,
        true,
      ]);
      expect(arena.stats().liveLeases).toBe(kept.length);
      releaseAll(kept);
      expectDrained(arena);
    },
  );

  test("pauses when told so, goes on with resume, and loses nothing", async () => {
    const got: Buffer[] = [];
    let isPaused = false;
    const onLease: OnLease = (lease, from) => {
      // TLS goes on with what has come before it was paused.
      if (transport === "net") expect(isPaused).toBe(false);
      into(got)(lease, from);
      isPaused = true;
      settle().then(() => {
        isPaused = false;
        from.resume();
      });
      return false;
    };
    const { error, arena } = await read({ chunkBytes: 8192, serve: (peer) => peer.end(pattern(200_000)), onLease });
    expect([error, Buffer.concat(got).equals(pattern(200_000))]).toEqual([undefined, true]);
    expectDrained(arena);
  });

  test("releases the armed lease when the peer goes away, is silent, or was never there", async () => {
    const { arena } = await read({ serve: (peer) => peer.write("hello", () => peer.destroy()), onLease: into([]) });
    expectDrained(arena);
    const server = await serve(() => {});
    const silent = readSocketLeases((onread) => connect(server.port, onread), arena, { onLease: into([]) });
    await once(silent, "connect");
    expect(arena.stats().liveLeases).toBe(1);
    await closed(silent.destroy());
    expectDrained(arena);
    await server.close();
    const refused = readSocketLeases((onread) => connect(server.port, onread), arena, { onLease: into([]) });
    expect(await closed(refused)).toMatchObject({ code: "ECONNREFUSED" });
    expectDrained(arena);
  });

  test("destroys the socket when onLease throws, and releases its lease", async () => {
    const mine = new Error("cannot parse");
    let calls = 0;
    const onLease = (): never => {
      calls++;
      throw mine;
    };
    const { error, arena } = await read({ serve: (peer) => peer.write(pattern(100_000)), onLease });
    expect([error, calls]).toEqual([mine, 1]);
    expectDrained(arena);
  });

  test("destroys the socket when the arena has no room for the next lease", async () => {
    const arena = smallArena({ onExhausted: "throw" });
    let held: Lease[] = [];
    const onLease = (lease: Lease): void => {
      held = [lease, ...exhaust(arena, 4096)];
    };
    const { error } = await read({ arena, chunkBytes: 4096, serve: (peer) => peer.write(pattern(200_000)), onLease });
    expectArenaError(error, "ERR_ARENA_EXHAUSTED");
    const { bytes } = held[0] as Lease;
    expect(pattern(bytes.length).equals(bytes)).toBe(true);
    releaseAll(held);
    expectDrained(arena);
  });

  test("and readSocket, which reads all into one lease, bring the same bytes", async () => {
    using arena = smallArena({ trace: "all" });
    const server = await serve((peer) => peer.end(pattern(300_000)));
    const got: Buffer[] = [];
    const buffers = new Set<ArrayBuffer>();
    const onBytes = (bytes: Uint8Array<ArrayBuffer>, socket: Socket): boolean => {
      got.push(Buffer.from(bytes));
      buffers.add(bytes.buffer);
      settle().then(() => socket.resume());
      return got.length % 3 !== 0;
    };
    const socket = readSocket((onread) => connect(server.port, onread), arena, { chunkBytes: 10_000, onBytes });
    expect(await closed(socket)).toBe(undefined);
    expect(Buffer.concat(got).equals(pattern(300_000))).toBe(true);
    // Into the lease, but for the first read, which came before there was a socket.
    expect(buffers.size).toBe(2);
    expectDrained(arena);
    await server.close();
  });
});

describe("readSocketLeases", () => {
  test("arms one lease when the socket tries one address after another", async () => {
    using arena = smallArena();
    const server = await serveTcp((socket) => socket.end("hello"));
    const addresses = ["127.0.0.3", "127.0.0.2", "127.0.0.1"].map((address) => ({ address, family: 4 }));
    const got: Buffer[] = [];
    const lookup: net.LookupFunction = (_host, _options, found) => found(null, addresses);
    const options = { host: "several", port: server.port, autoSelectFamily: true, lookup };
    const socket = readSocketLeases((onread) => net.connect({ ...options, onread }), arena, { onLease: into(got) });
    expect([await closed(socket), String(got)]).toEqual([undefined, "hello"]);
    expectDrained(arena);
    await server.close();
  });

  test("keeps nothing when no socket comes of it, or one that was closed before", async () => {
    using arena = smallArena({ onExhausted: "throw" }, 1);
    const onLease = into([]);
    const error = thrownBy(() =>
      readSocketLeases((onread) => net.connect({ port: 70_000, onread }), arena, { onLease }),
    );
    expect(error).toMatchObject({ code: "ERR_SOCKET_BAD_PORT" });
    expectDrained(arena);
    const full = exhaust(arena, 4096);
    expectThrow(
      () => readSocketLeases((onread) => net.connect({ port: 1, onread }), arena, { onLease }),
      "ERR_ARENA_EXHAUSTED",
    );
    releaseAll(full);
    const before = new net.Socket().destroy();
    await once(before, "close");
    readSocketLeases(() => before, arena, { onLease });
    expectDrained(arena);
  });

  test.each(["throws after it made the socket", "forgets to return the socket"])(
    "lets no socket read into anyone's lease when connect %s",
    async (mishap) => {
      using arena = smallArena();
      const server = await serveTcp((peer) => peer.write("SECRET"));
      let lost = new net.Socket();
      const got: Buffer[] = [];
      const connect = (onread: OnReadOpts): Socket => {
        lost = plain.connect(server.port, onread);
        if (mishap.startsWith("throws")) throw new Error("too many sockets");
        return wrong(undefined);
      };
      const error = thrownBy(() => readSocketLeases(connect, arena, { onLease: into(got) }));
      if (mishap.startsWith("throws")) expect(error).toMatchObject({ message: "too many sockets" });
      else expectArenaError(error, "ERR_INVALID_ARGUMENT", "connect", "undefined");
      expectDrained(arena);
      const next = arena.acquire(65_536);
      await once(lost, "connect");
      while (lost.bytesRead === 0) await settle();
      expect([isZero(next.bytes), got]).toEqual([true, []]);
      next.release();
      await closed(lost.destroy());
      expectDrained(arena);
      await server.close();
    },
  );
});
