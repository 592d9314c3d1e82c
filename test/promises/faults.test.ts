/**
 * Faults that come from outside, each provoked for real in a process of its own where it
 * cannot be in this one: the library answers with its policy or a typed error, loses
 * nothing, and works on.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Arena } from "cleanslab";
import * as node from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { copyLibrary, folder, inChild } from "../child.ts";
import { isAll, MODES, smallArena } from "../helpers.ts";

test("with every memory that the engine has already taken, leases are heap buffers, and nothing is lost", async () => {
  const { held, answers } = await inChild<{ held: number; answers: object }>(`
    import { Arena } from "cleanslab";
    const modes = ["before-reuse", "on-release", "never"];
    const fresh = modes.map((revoke) => new Arena({ revoke }));
    // Those with a segment serve out of it, and count their guards as missed.
    const used = ["before-reuse", "never"].map((revoke) => new Arena({ revoke, guardEvery: 2 }));
    for (const arena of used) arena.acquire(100).release();
    const held = [];
    try { for (;;) held.push(new WebAssembly.Memory({ initial: 1, maximum: 1 })); } catch {}
    const serve = (arena) => {
      const leases = [1, 2, 3, 4].map(() => arena.acquire(100));
      const origins = leases.map((lease) => lease.origin).join();
      for (const lease of leases) lease.release();
      const { reservedBytes, liveLeases, overflowed, missedGuards } = arena.stats();
      return [origins, reservedBytes, liveLeases, overflowed, missedGuards, arena.audit().ok];
    };
    const create = (revoke) => { try { new Arena({ revoke }); } catch (error) { return error.code ?? String(error); } };
    const answers = { fresh: fresh.map(serve), used: used.map(serve), made: modes.map(create) };
    // Used to the end, or the collector gives them back to the engine before the arenas ask.
    console.log(JSON.stringify({ held: held.length, answers }));
  `);
  const heap = ["heap,heap,heap,heap", 0, 0, 4, 0, true];
  const served = ["arena,arena,arena,arena", 2 ** 20, 0, 0, 2, true];
  const none = "ERR_ARENA_EXHAUSTED";
  expect(answers).toEqual({ fresh: [heap, heap, heap], used: [served, served], made: [none, null, none] });
  // Thousands, so that it was the engine that refused.
  expect(held).toBeGreaterThan(100);
});

// Node has no Content-Security-Policy; what a page's gives is an error from the same constructor.
test("where the engine refuses to compile the module, an arena is a typed error that says what to do, and one that is given the module works", async () => {
  const module = fileURLToPath(new URL("../../build/release.wasm", import.meta.url));
  const answer = await inChild(`
      import v8 from "node:v8";
      import { readFileSync } from "node:fs";
      import { Arena } from "cleanslab";
      const module = new WebAssembly.Module(readFileSync(${JSON.stringify(module)}));
      v8.setFlagsFromString("--wasm-max-module-size=1024");
      let code, cause, says;
      try { new Arena(); } catch (error) { code = error.code; cause = error.cause instanceof Error; says = error.message.includes("new Arena({ module })"); }
      const ok = ["before-reuse", "on-release", "never"].map((revoke) => {
        const arena = new Arena({ revoke, module });
        arena.use(1000, (bytes) => void bytes.fill(7));
        return arena.audit().ok;
      });
      console.log(JSON.stringify({ code, cause, says, ok }));
    `);
  expect(answer).toEqual({ code: "ERR_WASM_UNAVAILABLE", cause: true, says: true, ok: [true, true, true] });
});

/** Much of the API in every mode, with and without tracing. Answers what went wrong. */
const EVERYTHING = `
  import { subscribe } from "node:diagnostics_channel";
  import { Arena } from "cleanslab";
  import { bufferOf, readFileLeases } from "cleanslab/node";
  import { collect } from "cleanslab/web";
  const out = [];
  let seen = 0;
  subscribe("cleanslab:acquire", ({ count }) => { seen += count; });
  for (const revoke of ["before-reuse", "on-release", "never"]) for (const trace of ["off", "all"]) {
    try {
      const a = new Arena({ revoke, trace, guardEvery: 3, maxBytes: 1 << 21 });
      for (let i = 0; i < 50; i++) { const l = a.acquire(i * 977); if (l.bytes.some((x) => x)) out.push("not zero"); l.bytes.fill(1); l.release(); }
      const held = Array.from({ length: 60 }, () => a.acquire(65536));
      if (trace === "all") try { a.assertDrained(); } catch (e) { if (!e.message.includes("60 leases")) out.push(e.message); }
      held.forEach((l) => l.release());
      const w = a.writer(16); w.writeString("h\\u00e9llo"); w.writeVarint(2n ** 64n - 1n); w.writeFloat64(1.5); const m = w.take(); m.release();
      a.pool(100).acquire().release(); const s = a.scope(); s.bytes(5); s.release();
      const f = a.acquireFilled(100, (b) => { b[0] = 1; return 1; }); f.resize(10); f.release();
      try { m.bytes; } catch (e) { if (e.code !== "ERR_LEASE_RELEASED" || e.name !== "ArenaError") out.push(e.name); }
      try { a.acquire(-1); } catch (e) { if (e.code !== "ERR_INVALID_ARGUMENT") out.push(String(e)); }
      for await (const l of readFileLeases("package.json", a)) { bufferOf(l).toString(); l.release(); }
      if (typeof Response !== "undefined") (await collect(new Response("abc"), a, { limit: 10 })).release();
      await a.drained(); a.assertDrained(); if (!a.audit().ok) out.push(a.audit().problems); a[Symbol.dispose]();
    } catch (e) { out.push(e.code ?? e.stack); }
  }
  await new Promise(setImmediate);
  if (seen === 0 && out.length === 0) out.push("no message");
  console.log(JSON.stringify(out));
`;

// Once a frozen Error.stackTraceLimit made tracing throw.
test.each([
  "--frozen-intrinsics",
  "--disable-proto=delete",
  "--disable-proto=throw",
  "--no-opt",
  "--liftoff --no-wasm-tier-up",
  "--stack-trace-limit=0",
  "--disallow-code-generation-from-strings",
])("node %s changes nothing", async (flags) => {
  expect(await inChild(EVERYTHING, flags.split(" "))).toEqual([]);
});

test("node --jitless, which has no WebAssembly, is a typed error for each arena, and the import is none", async () => {
  expect(await inChild(EVERYTHING, ["--jitless"])).toEqual(new Array(6).fill("ERR_WASM_UNAVAILABLE"));
});

describe("two copies of the library", () => {
  test("know each other's errors by their code, and share the channels", async () => {
    await copyLibrary("other");
    const program = `
      import { subscribe } from "node:diagnostics_channel";
      import * as one from "cleanslab";
      import * as two from "other";
      const arenas = [new one.Arena(), new two.Arena()];
      const heard = [];
      subscribe("cleanslab:acquire", ({ arena }) => heard.push(arenas.indexOf(arena)));
      const [mine, foreign] = arenas.map((arena) => arena.acquire(100));
      mine.bytes.fill(7);
      const copy = arenas[1].copyOf(mine.bytes);
      mine.release();
      let code, same;
      try { mine.bytes; } catch (error) { code = error.code; same = error instanceof two.ArenaError; }
      await new Promise(setImmediate);
      console.log(JSON.stringify({
        code, same, bytes: [copy.bytes[99], foreign.bytes[0]], ok: arenas.every((arena) => arena.audit().ok), heard: heard.sort(),
      }));
    `;
    const answer = { code: "ERR_LEASE_RELEASED", same: false, bytes: [7, 0], ok: true, heard: [0, 1] };
    expect(await inChild(program)).toEqual(answer);
  });

  // Once the adapters of one copy took an arena of the other for something else.
  test("work with each other's arenas, and see no dirty bytes of them", async () => {
    const copy = await copyLibrary("copy");
    const load = <T>(path: string): Promise<T> => import(/* @vite-ignore */ join(copy, path));
    const other = await load<typeof import("cleanslab")>("index.js");
    const file = join(folder, "a file");
    writeFileSync(file, Buffer.alloc(1000, 1));
    for (const [arena, adapters] of [
      [new Arena(), await load<typeof node>("node/index.js")],
      [new other.Arena() as unknown as Arena, node],
    ] as const) {
      const lengths: number[] = [];
      for await (const lease of adapters.readFileLeases(file, arena, { chunkBytes: 400 })) {
        lengths.push(lease.byteLength);
        expect(isAll(lease.bytes, 1)).toBe(true);
        lease.release();
      }
      expect(lengths).toEqual([400, 400, 200]);
      const stream = Readable.from([Buffer.from("abc")], { objectMode: false });
      const body = await adapters.collect(stream, arena, { limit: 10 });
      expect(adapters.bufferOf(body).toString()).toBe("abc");
      body.release();
      expect(arena.stats().liveLeases).toBe(0);
    }
  });
});

test.each(MODES)("a clone of a lease or an arena has nothing of it, in %s mode", (revoke) => {
  using arena = smallArena({ revoke });
  using lease = arena.acquire(100);
  expect(Object.keys(structuredClone(lease))).toEqual([]);
  expect(structuredClone(arena)).not.toHaveProperty("acquire");
  expect(lease.bytes.length).toBe(100);
});
