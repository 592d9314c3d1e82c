/** `serveWatch`: what it sends to whom, and that it costs nothing and keeps nothing while nobody looks. */

import { execFile } from "node:child_process";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { serveWatch, type WatchSnapshot } from "cleanslab/node";
import { afterEach, describe, expect, test } from "vitest";
import { collectGarbageUntil, expectArenaError, rejectionOf, SEGMENT_BYTES, smallArena, wrong } from "../helpers.ts";

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

  test("ends connections and listens to no arena any more once it is closed, and may be closed twice", async () => {
    using arena = smallArena();
    const server = await serveWatch({ arena });
    const from = lines(server.port);
    await next(from);
    server.close();
    server.close();
    expect((await from.next()).done).toBe(true);
    const again = connect({ port: server.port, host: "127.0.0.1" });
    expect(await rejectionOf(new Promise((_, reject) => again.once("error", reject)))).toMatchObject({
      code: "ECONNREFUSED",
    });
  });

  test("listens on the loopback interface alone, reads nothing, and outlives clients that vanish", async () => {
    using arena = smallArena();
    using server = await serveWatch({ arena }, { intervalMs: 2 });
    for (let each = 0; each < 20; each++) {
      const rude = connect({ port: server.port, host: "127.0.0.1" });
      rude.on("error", () => {});
      rude.write("GET / HTTP/1.1\r\n\r\n".repeat(1000));
      await new Promise((resolve) => rude.once("data", resolve));
      rude.resetAndDestroy();
    }
    expect((await next(lines(server.port))).arenas).toHaveLength(1);
  });

  test("does not keep the program running, with or without somebody who looks", async () => {
    const program = `
      import { connect } from "node:net";
      import { Arena } from "cleanslab";
      import { serveWatch } from "cleanslab/node";
      const server = await serveWatch({ arena: new Arena() }, { intervalMs: 5 });
      connect({ port: server.port, host: "127.0.0.1" }).once("data", () => console.log("seen")).unref();
      setTimeout(() => {}, 200);`;
    const cwd = new URL("../..", pathToFileURL(import.meta.filename));
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program], {
      cwd,
      timeout: 20_000,
    });
    expect(stdout).toBe("seen\n");
  });

  test("shows a disposed arena, and goes on", async () => {
    const arena = smallArena();
    using server = await serveWatch({ arena }, { intervalMs: 2 });
    arena[Symbol.dispose]();
    expect((await next(lines(server.port))).arenas[0]?.stats.reservedBytes).toBe(0);
  });

  test("rejects for what it cannot serve, and a port that is taken", async () => {
    using arena = smallArena();
    using server = await serveWatch({ arena });
    const refusals: [Parameters<typeof serveWatch>, string][] = [
      [[wrong(null)], "arenas is null"],
      [[wrong({ a: {} })], "arena is"],
      [[{ arena }, { port: -1 }], "port is -1"],
      [[{ arena }, { port: Number.NaN }], "port is NaN"],
      [[{ arena }, { port: 65_536 }], "port is 65536"],
      [[{ arena }, { intervalMs: 0 }], "intervalMs is 0"],
      [[{ arena }, wrong(null)], "options is null"],
      [[{ arena }, { port: server.port }], "EADDRINUSE"],
    ];
    for (const [args, words] of refusals) {
      expectArenaError(await rejectionOf(serveWatch(...args)), "ERR_INVALID_ARGUMENT", words);
    }
  });
});
