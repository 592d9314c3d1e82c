/** `serveWatch`: what it sends to whom, and that it costs nothing and keeps nothing while nobody looks. */

import { getEventListeners, once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { Arena } from "cleanslab";
import { serveWatch, type WatchSnapshot } from "cleanslab/node";
import { afterEach, describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import { collectGarbageUntil, expectArenaError, rejectionOf, SEGMENT_BYTES, smallArena, wrong } from "../helpers.ts";
import { quiet } from "./helpers.ts";

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function* lines(port: number): AsyncGenerator<WatchSnapshot> {
  const socket = connect({ port, host: "127.0.0.1" });
  sockets.push(socket);
  for await (const line of createInterface({ input: socket })) yield JSON.parse(line);
}

async function next(from: AsyncGenerator<WatchSnapshot>): Promise<WatchSnapshot> {
  const { value, done } = await from.next();
  if (done) throw new Error("the connection has ended");
  return value;
}

describe("serveWatch", () => {
  test("sends numbers and sites of each arena at once, and again at each interval, to all who connect", async () => {
    using first = smallArena({ trace: "all" });
    using second = smallArena();
    using lease = first.acquire(1000);
    using server = await serveWatch({ first, second }, { intervalMs: 5 });
    const [one, other] = [lines(server.port), lines(server.port)];
    for (const each of [one, other]) {
      const { pid, arenas } = await next(each);
      expect(pid).toBe(process.pid);
      expect(arenas).toMatchObject([
        {
          name: "first",
          trace: "all",
          stats: { liveBytes: lease.byteLength },
          sites: [{ leases: 1, byteLength: 1000 }],
        },
        { name: "second", trace: "off", stats: { liveBytes: 0 }, sites: [] },
      ]);
    }
    second.acquire(10);
    for (const each of [one, other]) {
      let snapshot = await next(each);
      while (snapshot.arenas[1]?.stats.liveBytes !== 10) snapshot = await next(each);
    }
  });

  test("sends what arenas said of late: leaks, and leases past the cap", async () => {
    using arena = smallArena({ trace: "all" }, 1);
    using server = await serveWatch({ arena }, { intervalMs: 5 });
    const held = arena.acquire(SEGMENT_BYTES);
    arena.acquire(77).release();
    held.release();
    (() => void arena.acquire(SEGMENT_BYTES))();
    await collectGarbageUntil(() => arena.stats().leakedLeases === 1);
    const from = lines(server.port);
    const { arenas } = await next(from);
    expect(arenas[0]?.events.map(({ text }) => text)).toEqual([
      "past the cap: 1 leases on the heap, the last of 77 bytes",
      expect.stringMatching(/^leak: 1 lease of 262144 bytes, .*watch\.test/),
    ]);
  });

  test("ends connections once it is closed, and may be closed twice", async () => {
    using arena = smallArena();
    const server = await serveWatch({ arena });
    const from = lines(server.port);
    await next(from);
    for (let times = 0; times < 2; times++) server.close();
    expect((await from.next()).done).toBe(true);
    const again = connect({ port: server.port, host: "127.0.0.1" });
    expect(await once(again, "error")).toMatchObject([{ code: "ECONNREFUSED" }]);
  });

  test("listens on the loopback interface alone, reads nothing, and outlives clients that vanish", async () => {
    using arena = smallArena();
    using server = await serveWatch({ arena }, { intervalMs: 2 });
    for (let each = 0; each < 20; each++) {
      const rude = quiet(connect({ port: server.port, host: "127.0.0.1" }));
      rude.write("GET / HTTP/1.1\r\n\r\n".repeat(1000));
      await once(rude, "data");
      rude.resetAndDestroy();
    }
    expect((await next(lines(server.port))).arenas).toHaveLength(1);
  });

  test("does not keep the program running, with or without somebody who looks", async () => {
    const seen = await inChild(`
      import { connect } from "node:net";
      import { Arena } from "cleanslab";
      import { serveWatch } from "cleanslab/node";
      const server = await serveWatch({ arena: new Arena() }, { intervalMs: 5 });
      connect({ port: server.port, host: "127.0.0.1" }).once("data", () => console.log('"seen"')).unref();
      setTimeout(() => {}, 200);`);
    expect(seen).toBe("seen");
  });

  test("shows a disposed arena, and goes on; rejects for a port that is taken, or is none", async () => {
    const arena = smallArena();
    using server = await serveWatch({ arena }, { intervalMs: 2 });
    arena[Symbol.dispose]();
    expect((await next(lines(server.port))).arenas[0]?.stats.reservedBytes).toBe(0);
    for (const [port, words] of [
      [server.port, "EADDRINUSE"],
      [65_536, "port is 65536"],
    ] as const) {
      expectArenaError(await rejectionOf(serveWatch({ arena }, { port })), "ERR_INVALID_ARGUMENT", words);
    }
    const others = { arena, other: wrong<Arena>({}) };
    expectArenaError(await rejectionOf(serveWatch(others)), "ERR_INVALID_ARGUMENT", "an Arena");
    // Those of the server that listens.
    expect(getEventListeners(wrong<EventTarget>(arena), "leak")).toHaveLength(1);
  });

  test("says what is wrong with the arenas", async () => {
    using arena = smallArena();
    for (const [arenas, words] of [
      [arena, "arenas is an arena itself; pass { name: arena }"],
      [[arena], "arenas is [object Array]; pass { name: arena }"],
      [{}, "arenas is empty; pass { name: arena }"],
      [{ mine: 5 }, "arenas.mine is 5; pass an Arena"],
    ] as const) {
      expectArenaError(await rejectionOf(serveWatch(wrong(arenas))), "ERR_INVALID_ARGUMENT", words);
    }
  });
});
