/**
 * Faults that come from outside, each provoked for real in a process of its own where it
 * cannot be in this one: the library answers with its policy or a typed error, loses
 * nothing, and works on.
 */

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Arena } from "cleanslab";
import { describe, expect, test } from "vitest";
import { expectUsable, isAll, MODES, smallArena } from "../helpers.ts";
import { answerOf, bundleLibrary } from "./helpers.ts";

/** Holds memories until the engine has no more, and then does `then` with every mode. */
const exhausted = (then: string): string => `
  import { Arena } from LIBRARY;
  const codeOf = (fn) => { try { fn(); return "none"; } catch (error) { return error.code ?? String(error); } };
  const prepared = Object.fromEntries(["before-reuse", "on-release", "never"].map((revoke) => [revoke, new Arena({ revoke })]));
  const held = [];
  try { for (;;) held.push(new WebAssembly.Memory({ initial: 1, maximum: 1 })); } catch {}
  const answers = {};
  for (const revoke of ["before-reuse", "on-release", "never"]) {
    answers[revoke] = (() => { ${then} })();
  }
  console.log(JSON.stringify({ held: held.length, answers }));
`;

describe("with every memory that the engine has already taken", () => {
  const forEachMode = (value: unknown): unknown => Object.fromEntries(MODES.map((mode) => [mode, value]));

  test("a lease becomes a heap buffer, and nothing stays reserved", async () => {
    const answer = await answerOf(
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
    expect(answer).toMatchObject({
      answers: forEachMode({ origin: "heap", reservedBytes: 0, liveLeases: 0, overflowed: 1, ok: true }),
    });
    // Thousands, so that it was the engine that refused.
    expect((answer as { held: number }).held).toBeGreaterThan(100);
  });

  test("an arena whose book there is no memory for is a typed error", async () => {
    const answer = (await answerOf(exhausted("return codeOf(() => new Arena({ revoke }));"))) as {
      answers: Record<string, string>;
    };
    expect(answer.answers["on-release"]).toBe("none");
    for (const mode of ["before-reuse", "never"])
      expect(answer.answers[mode]).toMatch(/^ERR_(ARENA_EXHAUSTED|WASM_UNAVAILABLE)$/);
  });

  test("an arena that has a segment serves out of it, with its guards counted as missed", async () => {
    const answer = await answerOf(`
      import { Arena } from LIBRARY;
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
  });
});

test("without address space for a memory every arena is a typed error or a heap, if the engine needs so much", async () => {
  // 8 GiB: enough for Node, too little for the 10 GiB that V8 sets aside for each memory.
  const answer = (await answerOf(
    `
      import { Arena } from LIBRARY;
      let memories = 0;
      try { new WebAssembly.Memory({ initial: 1, maximum: 1 }); memories++; } catch {}
      const answers = ["before-reuse", "on-release", "never"].map((revoke) => {
        try {
          const arena = new Arena({ revoke });
          const lease = arena.acquire(100);
          const { origin } = lease;
          lease.release();
          return origin;
        } catch (error) { return error.code ?? String(error); }
      });
      console.log(JSON.stringify({ memories, answers }));
    `,
    [],
    "ulimit -v 8388608",
  )) as { memories: number; answers: string[] };
  // Node 26 falls back to memories that take no more than their length.
  if (answer.memories > 0) expect(answer.answers).toEqual(["arena", "arena", "arena"]);
  else for (const each of answer.answers) expect(each).toMatch(/^(heap|ERR_ARENA_EXHAUSTED|ERR_WASM_UNAVAILABLE)$/);
});

test("where there is no WebAssembly, creating an arena is a typed error, and the import is none", async () => {
  const program = `
    import { Arena } from LIBRARY;
    let code;
    try { new Arena(); } catch (error) { code = error.code; }
    console.log(JSON.stringify({ wasm: typeof WebAssembly, code }));
  `;
  expect(await answerOf(program, ["--jitless"])).toEqual({ wasm: "undefined", code: "ERR_WASM_UNAVAILABLE" });
});

describe("where the engine refuses to compile the module", () => {
  // Node has no Content-Security-Policy; what a page's gives is an error from the same constructor.
  const program = (then: string): string => `
    import v8 from "node:v8";
    import { readFileSync } from "node:fs";
    import { Arena } from LIBRARY;
    const module = new WebAssembly.Module(readFileSync(${JSON.stringify(fileURLToPath(new URL("../../build/release.wasm", import.meta.url)))}));
    v8.setFlagsFromString("--wasm-max-module-size=1024");
    ${then}
  `;

  test("creating an arena is a typed error that says what to do, with the engine's as its cause", async () => {
    const answer = await answerOf(
      program(`
        let code, cause, says;
        try { new Arena(); } catch (error) { code = error.code; cause = error.cause instanceof Error; says = error.message.includes("new Arena({ module })"); }
        console.log(JSON.stringify({ code, cause, says }));
      `),
    );
    expect(answer).toEqual({ code: "ERR_WASM_UNAVAILABLE", cause: true, says: true });
  });

  test("an arena that is given the compiled module works, in every mode", async () => {
    const answer = await answerOf(
      program(`
        const ok = ["before-reuse", "on-release", "never"].map((revoke) => {
          const arena = new Arena({ revoke, module });
          arena.use(1000, (bytes) => bytes.fill(7));
          return arena.audit().ok;
        });
        console.log(JSON.stringify(ok));
      `),
    );
    expect(answer).toEqual([true, true, true]);
  });
});

test.each(MODES)("with frozen intrinsics an arena works, tracing and channels included, in %s mode", async (revoke) => {
  const program = `
    import { subscribe } from "node:diagnostics_channel";
    import { Arena } from LIBRARY;
    let seen = 0;
    subscribe("cleanslab:acquire", ({ count }) => { seen += count; });
    const arena = new Arena({ revoke: ${JSON.stringify(revoke)}, trace: "all" });
    for (let each = 0; each < 100; each++) arena.use(1000, (bytes) => bytes.fill(7));
    arena.acquire(10);
    let message = "";
    try { arena.assertDrained(); } catch (error) { message = error.message; }
    setImmediate(() => console.log(JSON.stringify({ seen, ok: arena.audit().ok, sites: message.includes("acquired") })));
  `;
  expect(await answerOf(program, ["--frozen-intrinsics"])).toEqual({ seen: 101, ok: true, sites: true });
});

test("two copies of the library work side by side, know each other's errors by their code, and share the channels", async () => {
  const other = await bundleLibrary("other.mjs");
  const program = `
    import { subscribe } from "node:diagnostics_channel";
    import * as one from LIBRARY;
    const two = await import(${JSON.stringify(other)});
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
      copies: one.Arena !== two.Arena, code, same, copied: copy.bytes[99], other: foreign.bytes[0],
      ok: arenas.every((arena) => arena.audit().ok), heard: heard.sort(),
    }));
  `;
  expect(await answerOf(program)).toEqual({
    copies: true,
    code: "ERR_LEASE_RELEASED",
    same: false,
    copied: 7,
    other: 0,
    ok: true,
    heard: [0, 1],
  });
});

test("a worker terminated in the middle of its work takes its arena along, and no other", async () => {
  using arena = smallArena();
  const lease = arena.acquire(1000);
  lease.bytes.fill(7);
  const library = await bundleLibrary("worker.mjs");
  const work = fileURLToPath(library).replace(/worker\.mjs$/, "work.mjs");
  writeFileSync(
    work,
    `
      import { parentPort } from "node:worker_threads";
      import { Arena } from ${JSON.stringify(library)};
      const arena = new Arena({ segmentBytes: 262144 });
      for (let each = 0; ; each++) {
        const leases = Array.from({ length: 50 }, () => arena.acquire(10_000));
        for (const { bytes } of leases) bytes.fill(9);
        if (each === 3) parentPort.postMessage("working");
        for (const lease of leases) lease.release();
      }
    `,
  );
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(work);
    await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    await worker.terminate();
  }
  expect(isAll(lease.bytes, 7)).toBe(true);
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
