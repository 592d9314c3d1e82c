/** `cleanslab watch`: the picture, and what the command does where there is nobody to watch. */

import { createServer } from "node:net";
import type { WatchSnapshot } from "cleanslab/node";
import { serveWatch } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { drawWatch } from "../../cli/watch-frame.ts";
import { smallArena } from "../helpers.ts";
import { openWorkshop } from "./helpers.ts";

const { cleanslab } = openWorkshop();
const SCREEN = { columns: 80, rows: 24 };

function snapshot(uptimeMs: number, change: Partial<WatchSnapshot["arenas"][number]["stats"]> = {}): WatchSnapshot {
  using arena = smallArena({ trace: "all" });
  function remembersWithAVeryLongNameThatFillsTheLine() {
    return arena.acquire(1000);
  }
  const leases = Array.from({ length: 3 }, remembersWithAVeryLongNameThatFillsTheLine);
  leases.pop()?.release();
  const stats = { ...arena.stats(), ...change };
  const events = [
    { atMs: 0, text: `leak: ${arena.sites[0]?.summary}` },
    { atMs: 0, text: "past the cap: 3 leases" },
  ];
  return {
    pid: 7,
    title: "/srv/app/server.js",
    uptimeMs,
    arenas: [{ name: "uploads", trace: "all", stats, sites: arena.sites, events }],
  };
}

describe("the picture", () => {
  test("fits 80 columns, and says who holds memory and what is amiss", () => {
    const waits = { waiting: 3, waitingBytes: 5000, waitingMs: 1234, leakedLeases: 2, overflowed: 1, pinnedLeases: 1 };
    const lines = drawWatch(snapshot(61_000, waits), undefined, SCREEN);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
    const text = lines.join("\n");
    expect(lines[0]).toMatch(/^app\/server\.js {2}pid 7 +up 1 min$/);
    for (const words of [
      /── uploads ─+ trace: all$/m,
      /^live 2 KiB in 2 leases \(1 pinned\)/m,
      /^WAITING: 3 for 4\.9 KiB, the first for 1\.2 s/m,
      /^AMISS: 1 past the cap · 2 leaked$/m,
      /^ +2 KiB +2 +\d+ ms {2}remembersWithAVery.* watch\.test\.ts:\d+$/m,
      /^ {9}1 other was released$/m,
      /leak: 2 leases of 2000 bytes at remembersWith/,
      /past the cap: 3 leases$/m,
    ]) {
      expect(text).toMatch(words);
    }
  });

  test("has rates from one line to the next, and no waits where nobody waits", () => {
    const before = snapshot(1000, { acquired: 100, revocations: 5 });
    const after = snapshot(3000, { acquired: 2100, revocations: 9, waited: { count: 2, totalMs: 30, longestMs: 20 } });
    expect(drawWatch(before, undefined, SCREEN).join("\n")).toContain("– leases/s · – revocations/s");
    const text = drawWatch(after, before, SCREEN).join("\n");
    expect(text).toContain("1,000 leases/s · 2 revocations/s");
    expect(text).toContain("nobody waits · 2 had to: 15 ms on average, 20 ms at most");
    expect(text).not.toContain("AMISS:  ");
  });

  test("draws the shares of the cap to scale", () => {
    const MiB = 2 ** 20;
    const stats = {
      maxBytes: 10 * MiB,
      reservedBytes: 8 * MiB,
      liveBytes: 5 * MiB,
      restingBytes: 2 * MiB,
      idleBytes: MiB,
    };
    const bar = drawWatch(snapshot(1, stats), undefined, SCREEN).find((line) => line.startsWith("[")) ?? "";
    const [, drawn = ""] = /^\[(.*?)\]/.exec(bar) ?? [];
    const share = (letter: string) => drawn.split(letter).length - 1;
    const scaled = ["█", "▒", "░", "·"].map((letter) => Math.round((share(letter) / drawn.length) * 10));
    expect(scaled).toEqual([5, 2, 1, 2]);
  });

  test("is cut to the screen's rows, with as many sites as fit", () => {
    const many = snapshot(1);
    const [arena] = many.arenas;
    if (arena === undefined) throw new Error("no arena");
    const sites = Array.from({ length: 20 }, (_, each) => ({
      ...(arena.sites[0] as (typeof arena.sites)[number]),
      leases: each,
    }));
    const lines = drawWatch({ ...many, arenas: [{ ...arena, sites }] }, undefined, SCREEN);
    expect(lines.length).toBeLessThan(SCREEN.rows);
    expect(lines.join("\n")).toMatch(/^ +\d+ more$/m);
  });
});

describe("the command", () => {
  test("--once draws a running program's arenas, with rates, and ends", async () => {
    using arena = smallArena({ trace: "all" });
    using lease = arena.acquire(5000);
    using server = await serveWatch({ uploads: arena }, { intervalMs: 20 });
    const { code, stdout } = await cleanslab(["watch", String(server.port), "--once"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`pid ${process.pid}`);
    expect(stdout).toMatch(/^ +4\.9 KiB +1 .*watch\.test/m);
    expect(stdout.split("pid ")).toHaveLength(2);
    expect(stdout).toMatch(/^\d+ leases\/s/m);
    lease.bytes[0] = 1;
  });

  test("--once draws without rates what a program said that ends before it says more", async () => {
    const server = createServer((socket) => socket.end(`${JSON.stringify(snapshot(1000))}\n`));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const { code, stdout } = await cleanslab(["watch", String(port), "--once"]);
    server.close();
    expect([code, stdout]).toEqual([0, expect.stringContaining("– leases/s")]);
  });

  test("follows until the program ends", async () => {
    using arena = smallArena();
    const server = await serveWatch({ arena }, { intervalMs: 20 });
    const ended = cleanslab(["watch", String(server.port)]);
    setTimeout(() => server.close(), 1500);
    const { code, stdout } = await ended;
    expect(code).toBe(0);
    expect(stdout.split("pid ").length).toBeGreaterThan(2);
  });

  test.each([[[]], [["nine"]], [["0"]], [["65536"]], [["1", "2"]]])("takes one port: %j is a mistake", async (args) => {
    const { code, stderr } = await cleanslab(["watch", ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/say the port that serveWatch gave|one port/);
  });

  test("fails where nobody listens, and where somebody else does", async () => {
    const server = createServer((socket) => socket.end("220 mail\r\n"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const other = await cleanslab(["watch", String(port)]);
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining("is no serveWatch of cleanslab")]);
    await new Promise((resolve) => server.close(resolve));
    const nobody = await cleanslab(["watch", String(port)]);
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining(`nobody serves a watch on port ${port}`)]);
    expect(nobody.stderr).not.toMatch(/^\s+at /m);
  });
});
