/**
 * Faults that come from outside, each provoked for real in a process of its own
 * where it cannot be in this one: the library answers with its policy or a typed
 * error, loses nothing, and works on.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Arena } from "cleanslab";
import { describe, expect, test } from "vitest";
import { expectSound, expectThrow, expectUsable, isZero, MODES, smallArena, thrownBy } from "./helpers.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What a program prints as JSON, run by a fresh Node. */
function answerOf(program: string, flags: readonly string[] = [], shell = ""): unknown {
  const args = [...flags, "--input-type=module", "--eval", program];
  const { stdout, stderr, status } =
    shell === ""
      ? spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" })
      : spawnSync("sh", ["-c", `${shell} && exec "$0" "$@"`, process.execPath, ...args], {
          cwd: root,
          encoding: "utf8",
        });
  if (status !== 0) throw new Error(`the program ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Holds memories until the engine has no more, and then does `then` with every mode. */
const exhausted = (then: string): string => `
  import { Arena } from "cleanslab";
  const held = [];
  try { for (;;) held.push(new WebAssembly.Memory({ initial: 1, maximum: 1 })); } catch {}
  const codeOf = (fn) => { try { fn(); return "none"; } catch (error) { return error.code ?? String(error); } };
  const answers = {};
  for (const revoke of ["before-reuse", "on-release", "never"]) {
    answers[revoke] = (() => { ${then} })();
  }
  console.log(JSON.stringify({ held: held.length, answers }));
`;

describe("with every memory that the engine has already taken", () => {
  const forEachMode = (value: unknown): unknown => Object.fromEntries(MODES.map((mode) => [mode, value]));

  test("a lease becomes a heap buffer, or an error with onExhausted: throw, and nothing stays reserved", () => {
    const answer = answerOf(
      exhausted(`
        const arena = new Arena({ revoke });
        const lease = arena.acquire(100);
        const { origin } = lease;
        lease.bytes.fill(7);
        lease.release();
        const strict = new Arena({ revoke, onExhausted: "throw" });
        const code = codeOf(() => strict.acquire(100));
        const { reservedBytes, liveLeases, overflowed } = arena.stats();
        return { origin, code, reservedBytes, liveLeases, overflowed, ok: arena.audit().ok && strict.audit().ok };
      `),
    );
    expect(answer).toMatchObject({
      answers: forEachMode({
        origin: "heap",
        code: "ERR_ARENA_EXHAUSTED",
        reservedBytes: 0,
        liveLeases: 0,
        overflowed: 1,
        ok: true,
      }),
    });
    // Thousands, so that it was the engine that refused.
    expect((answer as { held: number }).held).toBeGreaterThan(100);
  });

  test("an arena that has a segment serves out of it, with its guards counted as missed", () => {
    const answer = answerOf(`
      import { Arena } from "cleanslab";
      const answers = {};
      const arenas = ["before-reuse", "never"].map((revoke) => new Arena({ revoke, guardEvery: 2 }));
      for (const arena of arenas) arena.acquire(100).release();
      const held = [];
      try { for (;;) held.push(new WebAssembly.Memory({ initial: 1, maximum: 1 })); } catch {}
      for (const arena of arenas) {
        const leases = [1, 2, 3, 4].map(() => arena.acquire(100));
        const origins = leases.map((lease) => lease.origin).join();
        for (const lease of leases) lease.release();
        const { missedGuards, liveLeases } = arena.stats();
        answers[origins] = { missedGuards, liveLeases, ok: arena.audit().ok };
      }
      // Used to the end, or the collector gives them back to the engine before the arenas ask.
      console.log(JSON.stringify({ answers, held: held.length }));
    `);
    expect(answer).toMatchObject({
      answers: { "arena,arena,arena,arena": { missedGuards: 2, liveLeases: 0, ok: true } },
    });
    expect((answer as { held: number }).held).toBeGreaterThan(100);
  });
});

test("without address space for any memory a lease becomes a heap buffer, if the engine needs so much", () => {
  const program = `
    import { Arena } from "cleanslab";
    let memories = 0;
    try { new WebAssembly.Memory({ initial: 1, maximum: 1 }); memories++; } catch {}
    const arena = new Arena();
    const lease = arena.acquire(100);
    const { origin } = lease;
    lease.release();
    console.log(JSON.stringify({ memories, origin, reservedBytes: arena.stats().reservedBytes, ok: arena.audit().ok }));
  `;
  // 8 GiB: enough for Node, too little for the 10 GiB that V8 sets aside for each memory.
  const answer = answerOf(program, [], "ulimit -v 8388608") as { memories: number };
  // Node 26 falls back to memories that take no more than their length.
  const hasMemory = answer.memories > 0;
  if (process.versions.node.startsWith("20.")) expect(hasMemory).toBe(false);
  expect(answer).toMatchObject({ origin: hasMemory ? "arena" : "heap", ok: true });
  expect(answer).toHaveProperty("reservedBytes", hasMemory ? 1_114_112 : 0); // a segment
});

test("where there is no WebAssembly, creating an arena is a typed error, and the import is none", () => {
  const program = `
    import { Arena } from "cleanslab";
    let code;
    try { new Arena(); } catch (error) { code = error.code; }
    console.log(JSON.stringify({ wasm: typeof WebAssembly, code }));
  `;
  expect(answerOf(program, ["--jitless"])).toEqual({ wasm: "undefined", code: "ERR_WASM_UNAVAILABLE" });
});

test("where the engine refuses to compile the module, creating an arena is a typed error with the engine's as its cause", () => {
  // Node has no Content-Security-Policy; what a page's gives is an error from the same constructor.
  const program = `
    import v8 from "node:v8";
    import { Arena } from "cleanslab";
    v8.setFlagsFromString("--wasm-max-module-size=1024");
    let code, cause;
    try { new Arena(); } catch (error) { code = error.code; cause = error.cause instanceof Error; }
    console.log(JSON.stringify({ code, cause }));
  `;
  expect(answerOf(program)).toEqual({ code: "ERR_WASM_UNAVAILABLE", cause: true });
});

test.each(MODES)("with frozen intrinsics an arena works, tracing and channels included, in %s mode", (revoke) => {
  const program = `
    import { subscribe } from "node:diagnostics_channel";
    import { Arena } from "cleanslab";
    let seen = 0;
    subscribe("cleanslab:acquire", () => seen++);
    const arena = new Arena({ revoke: ${JSON.stringify(revoke)}, trace: "all" });
    for (let each = 0; each < 100; each++) arena.use(1000, (bytes) => bytes.fill(7));
    arena.acquire(10);
    let message = "";
    try { arena.assertDrained(); } catch (error) { message = error.message; }
    console.log(JSON.stringify({ seen, ok: arena.audit().ok, sites: message.includes("acquired") }));
  `;
  expect(answerOf(program, ["--frozen-intrinsics"])).toEqual({ seen: 101, ok: true, sites: true });
});

test("with Uint8Array replaced and its fill patched after the import, leases are zero and wiped as before", () => {
  const program = `
    import { Arena } from "cleanslab";
    const { fill } = Uint8Array.prototype;
    const Original = Uint8Array;
    const arenas = ["before-reuse", "on-release", "never"].map((revoke) => new Arena({ revoke, maxBytes: 2 ** 22, onExhausted: "throw" }));
    globalThis.Uint8Array = class extends Original { constructor() { throw new Error("replaced"); } };
    Original.prototype.fill = function () { throw new Error("patched"); };
    const dirty = [];
    for (const arena of arenas) {
      for (const byteLength of [100, 5000, 70000, 2000000]) {
        for (let round = 0; round < 3; round++) {
          const lease = arena.acquire(byteLength);
          if (lease.bytes.some((byte) => byte !== 0)) dirty.push(byteLength);
          fill.call(lease.bytes, 7);
          const { memory, byteOffset } = lease;
          lease.release();
          if (new Original(memory.buffer, byteOffset, byteLength).some((byte) => byte !== 0)) dirty.push(-byteLength);
        }
      }
    }
    console.log(JSON.stringify({ dirty, ok: arenas.every((arena) => arena.audit().ok) }));
  `;
  expect(answerOf(program)).toEqual({ dirty: [], ok: true });
});

test("two copies of the library work side by side, and know each other's errors by their code", async () => {
  const url = new URL("../dist/index.js", import.meta.url).href;
  const program = `
    import * as one from "cleanslab";
    import { build } from "esbuild";
    const { outputFiles } = await build({ entryPoints: [${JSON.stringify(fileURLToPath(url))}], bundle: true, format: "esm", write: false });
    const two = await import("data:text/javascript;base64," + Buffer.from(outputFiles[0].contents).toString("base64"));
    const arenas = [new one.Arena(), new two.Arena()];
    const [mine, other] = arenas.map((arena) => arena.acquire(100));
    mine.bytes.fill(7);
    const copy = arenas[1].copyOf(mine.bytes);
    mine.release();
    let code, same;
    try { mine.bytes; } catch (error) { code = error.code; same = error instanceof two.ArenaError; }
    console.log(JSON.stringify({ copies: one.Arena !== two.Arena, code, same, copied: copy.bytes[99], other: other.bytes[0], ok: arenas.every((arena) => arena.audit().ok) }));
  `;
  expect(answerOf(program)).toEqual({
    copies: true,
    code: "ERR_LEASE_RELEASED",
    same: false,
    copied: 7,
    other: 0,
    ok: true,
  });
});

test("a worker terminated in the middle of its work takes its arena along, and no other", async () => {
  using arena = smallArena();
  const lease = arena.acquire(1000);
  lease.bytes.fill(7);
  const library = new URL("../dist/index.js", import.meta.url).href;
  const work = `
    const { parentPort } = require("node:worker_threads");
    import(${JSON.stringify(library)}).then(({ Arena }) => {
      const arena = new Arena({ segmentBytes: 262144 });
      for (let each = 0; ; each++) {
        const leases = Array.from({ length: 50 }, () => arena.acquire(10_000));
        for (const { bytes } of leases) bytes.fill(9);
        if (each === 3) parentPort.postMessage("working");
        for (const lease of leases) lease.release();
      }
    });
  `;
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(work, { eval: true });
    await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    await worker.terminate();
  }
  expect(lease.bytes.every((byte) => byte === 7)).toBe(true);
  lease.release();
  expectUsable(arena);
});

describe.each(MODES)("revoke: %s, structuredClone", (revoke) => {
  test("of a lease or an arena gives an object without any of it", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    const clone = structuredClone(lease);
    expect(clone).not.toHaveProperty("bytes");
    expect(Object.keys(clone)).toEqual([]);
    const arenaClone = structuredClone(arena);
    expect(arenaClone).not.toBeInstanceOf(Arena);
    expect(arenaClone).not.toHaveProperty("acquire");
    lease.release();
    expectUsable(arena);
  });
});

describe.each(MODES)("revoke: %s, where the engine has no memory in the middle of an acquire", (revoke) => {
  test("for the view: the error passes, the block comes back", () => {
    // A stub: a buffer too short for any view stands in for the engine's refusal.
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const first = arena.acquire(100);
    const { memory } = first;
    if (memory === undefined) throw new Error("an arena lease has a memory");
    const before = arena.stats();
    Object.defineProperty(memory, "buffer", { get: () => new ArrayBuffer(0), configurable: true });
    if (revoke !== "on-release") {
      (memory as unknown as { grow(pages: number): number }).grow(0);
      expect(thrownBy(() => arena.acquire(100))).toBeInstanceOf(RangeError);
      const { liveLeases, acquired } = arena.stats();
      expect({ liveLeases, acquired }).toEqual({ liveLeases: before.liveLeases, acquired: before.acquired });
    }
    Reflect.deleteProperty(memory, "buffer");
    expectSound(arena);
    first.release();
    expectUsable(arena);
  });
});

test("a lease of nothing throws like any other once its arena was disposed", () => {
  for (const revoke of MODES) {
    const arena = smallArena({ revoke });
    const lease = arena.acquire(0);
    expect(isZero(lease.bytes)).toBe(true);
    arena[Symbol.dispose]();
    expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED");
  }
});
