/**
 * Faults that come from outside, each provoked for real in a process of its own where it
 * cannot be in this one: the library answers with its policy or a typed error, loses
 * nothing, and works on.
 */

import { writeFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Arena } from "cleanslab";
import * as node from "cleanslab/node";
import * as web from "cleanslab/web";
import { describe, expect, test } from "vitest";
import { copyLibrary, folder, inChild } from "../child.ts";
import { expectUsable, isAll, isZero, MODES, smallArena } from "../helpers.ts";

/** Holds memories until the engine has no more, and then does `then` in each mode. */
const exhausted = (then: string): string => `
  import { Arena } from "cleanslab";
  const modes = ["before-reuse", "on-release", "never"];
  const prepared = Object.fromEntries(modes.map((revoke) => [revoke, new Arena({ revoke })]));
  const guarded = Object.fromEntries(modes.map((revoke) => [revoke, new Arena({ revoke, guardEvery: 2 })]));
  for (const arena of Object.values(guarded)) arena.acquire(100).release();
  const held = [];
  try { for (;;) held.push(new WebAssembly.Memory({ initial: 1, maximum: 1 })); } catch {}
  const answers = modes.map((revoke) => { ${then} });
  // Used to the end, or the collector gives them back to the engine before the arenas ask.
  console.log(JSON.stringify({ held: held.length, answers }));
`;

describe("with every memory that the engine has already taken", () => {
  test("a lease becomes a heap buffer, and nothing stays reserved", async () => {
    const answer = await inChild<{ held: number; answers: object[] }>(
      exhausted(`
        const arena = prepared[revoke];
        const lease = arena.acquire(100);
        const { origin } = lease;
        lease.bytes.fill(7);
        lease.release();
        const { reservedBytes, liveLeases, overflowed } = arena.stats();
        return { origin, reservedBytes, liveLeases, overflowed, ok: arena.audit().ok };
      `),
    );
    const heap = { origin: "heap", reservedBytes: 0, liveLeases: 0, overflowed: 1, ok: true };
    expect(answer.answers).toEqual([heap, heap, heap]);
    // Thousands, so that it was the engine that refused.
    expect(answer.held).toBeGreaterThan(100);
  });

  test("an arena whose book there is no memory for is a typed error", async () => {
    const { answers } = await inChild<{ answers: string[] }>(
      exhausted("try { new Arena({ revoke }); return 'none'; } catch (error) { return error.code ?? String(error); }"),
    );
    expect(answers[1]).toBe("none");
    for (const mode of [0, 2]) expect(answers[mode]).toMatch(/^ERR_(ARENA_EXHAUSTED|WASM_UNAVAILABLE)$/);
  });

  test("an arena that has a segment serves out of it, with its guards counted as missed", async () => {
    const { answers } = await inChild<{ answers: object[] }>(
      exhausted(`
        const arena = guarded[revoke];
        const leases = [1, 2, 3, 4].map(() => arena.acquire(100));
        const origins = leases.map((lease) => lease.origin).join();
        for (const lease of leases) lease.release();
        return { origins, missedGuards: arena.stats().missedGuards, ok: arena.audit().ok };
      `),
    );
    const served = { origins: "arena,arena,arena,arena", missedGuards: 2, ok: true };
    expect([answers[0], answers[2]]).toEqual([served, served]);
  });
});

test("without address space for a memory every arena is a typed error or a heap, if the engine needs so much", async () => {
  // 8 GiB: enough for Node, too little for the 10 GiB that V8 sets aside for each memory.
  const answer = await inChild<{ memories: number; answers: string[] }>(
    `
      import { Arena } from "cleanslab";
      let memories = 0;
      try { new WebAssembly.Memory({ initial: 1, maximum: 1 }); memories++; } catch {}
      const answers = ["before-reuse", "on-release", "never"].map((revoke) => {
        try {
          const lease = new Arena({ revoke }).acquire(100);
          const { origin } = lease;
          lease.release();
          return origin;
        } catch (error) { return error.code ?? String(error); }
      });
      console.log(JSON.stringify({ memories, answers }));
    `,
    [],
    "ulimit -v 8388608",
  );
  // Node 26 falls back to memories that take no more than their length.
  if (answer.memories > 0) expect(answer.answers).toEqual(["arena", "arena", "arena"]);
  else for (const each of answer.answers) expect(each).toMatch(/^(heap|ERR_ARENA_EXHAUSTED|ERR_WASM_UNAVAILABLE)$/);
});

describe("where the engine refuses to compile the module", () => {
  // Node has no Content-Security-Policy; what a page's gives is an error from the same constructor.
  test("creating an arena is a typed error that says what to do, and one that is given the module works", async () => {
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
    for (const [arena, adapters, webAdapters] of [
      [new Arena(), await load<typeof node>("node/index.js"), await load<typeof web>("web/index.js")],
      [new other.Arena() as unknown as Arena, node, web],
    ] as const) {
      const lengths: number[] = [];
      for await (const lease of adapters.readFileLeases(file, arena, { chunkBytes: 400 })) {
        lengths.push(lease.byteLength);
        expect(isAll(lease.bytes, 1)).toBe(true);
        lease.release();
      }
      expect(lengths).toEqual([400, 400, 200]);
      const handle = { read: (_: Uint8Array, options?: { at?: number }) => (options?.at ? 0 : 10), write: () => 0 };
      for (const lease of webAdapters.readAccessHandle(handle, arena)) {
        expect(lease.byteLength === 10 && isZero(lease.bytes)).toBe(true);
        lease.release();
      }
      const stream = Readable.from([Buffer.from("abc")], { objectMode: false });
      const body = await adapters.collect(stream, arena, { limit: 10 });
      expect(adapters.bufferOf(body).toString()).toBe("abc");
      body.release();
      const server = net.createServer((socket) => socket.end("hello")).listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const { port } = server.address() as AddressInfo;
      let text = "";
      const socket = adapters.readSocketLeases((onread) => net.connect({ port, host: "127.0.0.1", onread }), arena, {
        onLease(lease) {
          text += adapters.bufferOf(lease).toString();
          lease.release();
        },
      });
      await new Promise((resolve) => socket.once("close", resolve));
      server.close();
      expect([text, arena.stats().liveLeases]).toEqual(["hello", 0]);
    }
  });
});

test("a worker terminated in the middle of its work takes its arena along, and no other", async () => {
  using arena = smallArena();
  const lease = arena.acquire(1000);
  lease.bytes.fill(7);
  const source = `
    import { parentPort } from "node:worker_threads";
    import { Arena } from ${JSON.stringify(join(await copyLibrary("worker"), "index.js"))};
    const arena = new Arena({ segmentBytes: 262144 });
    for (let each = 0; ; each++) {
      const leases = Array.from({ length: 50 }, () => arena.acquire(10_000));
      for (const { bytes } of leases) bytes.fill(9);
      if (each === 3) parentPort.postMessage("working");
      for (const lease of leases) lease.release();
    }
  `;
  const work = join(folder, "work.mjs");
  writeFileSync(work, source);
  const workers = [1, 2, 3].map(() => new Worker(work));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
  for (const worker of workers) await worker.terminate();
  expect(isAll(lease.bytes, 7)).toBe(true);
  lease.release();
  expectUsable(arena);
});

test.each(MODES)("a clone of a lease or an arena has nothing of it, in %s mode", (revoke) => {
  using arena = smallArena({ revoke });
  using lease = arena.acquire(100);
  expect(Object.keys(structuredClone(lease))).toEqual([]);
  expect(structuredClone(arena)).not.toHaveProperty("acquire");
  const { port1 } = new MessageChannel();
  expect(() => port1.postMessage(lease.memory)).toThrow();
  port1.close();
  expect(lease.bytes.length).toBe(100);
});
