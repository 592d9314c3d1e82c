/** Nonsense, other copies of the package, other flags of Node: typed errors, and nothing reached that is not the caller's. */

import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { Arena, type Lease } from "cleanslab";
import * as node from "cleanslab/node";
import * as web from "cleanslab/web";
import { afterAll, describe, expect, test } from "vitest";
import { fillUp, inChild, isZero, KiB, MODES, REVOKING_MODES, rejectedCode, small, thrownCode } from "./helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("who holds a lease", () => {
  // Once its class had a static method that gave out the arena's bookkeeping.
  test.for(MODES)('reaches no memory but its own and no module, in "%s"', (revoke) => {
    const arena = new Arena({ revoke, trace: "all" });
    const lease = arena.acquire(100);
    const own = lease.memory;
    const things = {
      lease,
      pin: lease.pin(),
      scope: arena.scope(),
      writer: arena.writer(),
      pool: arena.pool(8),
      filler: arena.filler(8),
      arena,
    };
    const seen = new Set<object>();
    const found: string[] = [];
    const walk = (value: unknown, path: string, depth: number): void => {
      if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value) || depth > 6)
        return;
      seen.add(value);
      const kind = Object.prototype.toString.call(value);
      if (/WebAssembly\.(Instance|Module)|Arguments/.test(kind)) found.push(path);
      if (kind === "[object WebAssembly.Memory]" && value !== own) found.push(path);
      if (ArrayBuffer.isView(value) || value === globalThis) return;
      for (const key of Reflect.ownKeys(value)) {
        let inner: unknown;
        try {
          inner = Reflect.get(value, key, value);
        } catch {
          continue;
        }
        if (key === "exports" || key === "ledger" || key === "book") found.push(`${path}.${String(key)}`);
        walk(inner, `${path}.${String(key)}`, depth + 1);
      }
      walk(Object.getPrototypeOf(value), `${path}.__proto__`, depth + 1);
    };
    walk(things, "", 0);
    expect(found).toEqual([]);
    expect(Reflect.ownKeys(lease.constructor).sort().map(String)).toEqual(["length", "name", "prototype"]);
  });

  test("changes no other lease through its class, its prototype or an object like it", () => {
    const arena = new Arena(small(2));
    const victim = arena.acquire(100);
    victim.bytes.fill(7);
    const mine = arena.acquire(100);
    const { prototype } = mine.constructor;
    for (const name of ["release", "pin", "resize", "copy", "view"] as const) {
      expect(thrownCode(() => prototype[name].call(Object.create(victim), 10))).toMatch(/TypeError/);
    }
    expect(victim.released).toBe(false);
    expect(victim.bytes.every((byte) => byte === 7)).toBe(true);
  });
});

describe("two copies of the package", () => {
  // Once the adapters of one copy took an arena of the other for something else.
  test("work together, and see no dirty bytes of each other", async () => {
    const copy = join(folder, "copy");
    cpSync("dist", join(copy, "dist"), { recursive: true });
    writeFileSync(join(copy, "package.json"), '{ "type": "module" }');
    const load = (path: string): Promise<never> =>
      import(/* @vite-ignore */ pathToFileURL(join(copy, "dist", path)).href) as Promise<never>;
    const other: typeof import("cleanslab") = await load("index.js");
    const otherNode: typeof node = await load("node/index.js");
    const otherWeb: typeof web = await load("web/index.js");
    const file = join(folder, "a file");
    writeFileSync(file, Buffer.alloc(1000, 1));
    for (const [arena, adapters, webAdapters] of [
      [new Arena(), otherNode, otherWeb],
      [new other.Arena() as unknown as Arena, node, web],
    ] as const) {
      const lengths: number[] = [];
      for await (const lease of adapters.readFileLeases(file, arena, { chunkBytes: 400 })) {
        lengths.push(lease.byteLength);
        expect(lease.bytes.every((byte) => byte === 1)).toBe(true);
        lease.release();
      }
      expect(lengths).toEqual([400, 400, 200]);
      const handle = { read: (_: Uint8Array, options?: { at?: number }) => (options?.at ? 0 : 10), write: () => 0 };
      for (const lease of webAdapters.readAccessHandle(handle, arena)) {
        expect(lease.byteLength).toBe(10);
        expect(isZero(lease.bytes)).toBe(true);
        lease.release();
      }
      const body = await adapters.collect(Readable.from([Buffer.from("abc")], { objectMode: false }), arena, {
        limit: 10,
      });
      expect(adapters.bufferOf(body).toString()).toBe("abc");
      body.release();
      const server = net.createServer((socket) => socket.end("hello")).listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const { port } = server.address() as net.AddressInfo;
      let text = "";
      const socket = adapters.readSocketLeases((onread) => net.connect({ port, host: "127.0.0.1", onread }), arena, {
        onLease(lease) {
          text += adapters.bufferOf(lease).toString();
          lease.release();
        },
      });
      await new Promise((resolve) => socket.once("close", resolve));
      server.close();
      expect(text).toBe("hello");
      expect(arena.stats().liveLeases).toBe(0);
    }
  });
});

describe("the flags of Node", () => {
  const program = `
    import { Arena } from "cleanslab";
    import { bufferOf, readFileLeases } from "cleanslab/node";
    import { collect } from "cleanslab/web";
    const out = [];
    for (const revoke of ["before-reuse", "on-release", "never"]) for (const trace of ["off", "all"]) {
      try {
        const a = new Arena({ revoke, trace, guardEvery: 3, maxBytes: 1 << 21 });
        for (let i = 0; i < 50; i++) { const l = a.acquire(i * 977); if (l.bytes.some((x) => x)) out.push("not zero"); l.bytes.fill(1); l.release(); }
        const held = Array.from({ length: 60 }, () => a.acquire(65536)); held.forEach((l) => l.release());
        const w = a.writer(16); w.writeString("h\\u00e9llo"); w.writeVarint(2n ** 64n - 1n); w.writeFloat64(1.5); const m = w.take(); m.release();
        a.pool(100).acquire().release(); const s = a.scope(); s.bytes(5); s.release();
        const f = a.acquireFilled(100, (b) => { b[0] = 1; return 1; }); f.resize(10); f.release();
        try { m.bytes; } catch (e) { if (e.code !== "ERR_LEASE_RELEASED" || e.name !== "ArenaError") out.push(e.name); }
        try { a.acquire(-1); } catch (e) { if (e.code !== "ERR_INVALID_ARGUMENT") out.push(String(e)); }
        for await (const l of readFileLeases("package.json", a)) { bufferOf(l).toString(); l.release(); }
        if (typeof Response !== "undefined") (await collect(new Response("abc"), a, { limit: 10 })).release();
        await a.drained(); a.assertDrained(); if (!a.audit().ok) out.push(a.audit().problems); a[Symbol.dispose]();
      } catch (e) { out.push(revoke + " " + trace + ": " + (e.code ?? e.stack)); }
    }
    console.log(out.length ? JSON.stringify(out) : "ok");
  `;

  // Once a frozen Error.stackTraceLimit made tracing throw.
  test.for([
    ["--frozen-intrinsics"],
    ["--disable-proto=delete"],
    ["--disable-proto=throw"],
    ["--no-opt"],
    ["--liftoff", "--no-wasm-tier-up"],
    ["--stack-trace-limit=0"],
    ["--disallow-code-generation-from-strings"],
  ])("%s changes nothing", { timeout: 60_000 }, async (flags) => {
    const { output } = await inChild(program, flags);
    expect(output.trim().split("\n").at(-1)).toBe("ok");
  });

  test("--jitless is a typed error that says what to do", async () => {
    const { output } = await inChild(program, ["--jitless"]);
    const lines = JSON.parse(output.trim().split("\n").at(-1) as string) as string[];
    expect(lines).toHaveLength(6);
    for (const line of lines) expect(line).toContain("ERR_WASM_UNAVAILABLE");
  });
});

describe("nonsense", () => {
  const arena = new Arena({ trace: "off" });
  afterAll(() => arena.assertDrained());

  class Lies extends Uint8Array {
    override get length(): number {
      return 1;
    }
  }

  // Once some of these were an error of the engine, a wrong length, or a lease that stayed out.
  const cases: Record<string, [expected: string, fn: () => unknown]> = {
    "acquire(Symbol)": ["ERR_INVALID_ARGUMENT", () => arena.acquire(Symbol() as never)],
    "acquire(5n)": ["ERR_INVALID_ARGUMENT", () => arena.acquire(5n as never)],
    "acquire('5')": ["ERR_INVALID_ARGUMENT", () => arena.acquire("5" as never)],
    "acquire(1.5)": ["ERR_INVALID_ARGUMENT", () => arena.acquire(1.5)],
    "acquire(2 ** 32)": ["ERR_INVALID_ARGUMENT", () => arena.acquire(2 ** 32)],
    "copyOf an object like a view": ["ERR_INVALID_ARGUMENT", () => arena.copyOf(Object.create(Uint8Array.prototype))],
    "copyOf a proxy": ["ERR_INVALID_ARGUMENT", () => arena.copyOf(new Proxy(new Uint8Array(4), {}))],
    "copyOf a detached view": [
      "ERR_INVALID_ARGUMENT",
      () => {
        const bytes = new Uint8Array(5);
        structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
        arena.copyOf(bytes);
      },
    ],
    "segmentBytes that is no power of two": [
      "ERR_INVALID_ARGUMENT",
      () => new Arena({ segmentBytes: 2 ** 20 * (1 + 2 ** -52) }),
    ],
    "new Arena(5)": ["ERR_INVALID_ARGUMENT", () => new Arena(5 as never)],
    "Arena()": ["TypeError", () => (Arena as unknown as () => void)()],
    "trace = 5": [
      "ERR_INVALID_ARGUMENT",
      () => {
        arena.trace = 5 as never;
      },
    ],
    "scope().acquire(-1)": ["ERR_INVALID_ARGUMENT", () => arena.scope().acquire(-1)],
    "pool(-1)": ["ERR_INVALID_ARGUMENT", () => arena.pool(-1)],
    "writer(1.5)": ["ERR_INVALID_ARGUMENT", () => arena.writer(1.5)],
    "use(5) without a function": ["ERR_INVALID_ARGUMENT", () => arena.use(5, undefined as never)],
    "acquireFilled without a function": ["ERR_INVALID_ARGUMENT", () => arena.acquireFilled(5, undefined as never)],
    "acquireFilled that answers too much": ["ERR_INVALID_ARGUMENT", () => arena.acquireFilled(5, () => 6)],
    "acquireFilled that answers 1.5": ["ERR_INVALID_ARGUMENT", () => arena.acquireFilled(5, () => 1.5)],
    "acquireFilled that answers nothing": ["ERR_INVALID_ARGUMENT", () => arena.acquireFilled(5, (() => {}) as never)],
  };
  test.for(Object.keys(cases))("%s is a typed error", (name) => {
    const [expected, fn] = cases[name] as [string, () => unknown];
    expect(thrownCode(fn)).toContain(expected);
    expect(arena.stats().liveLeases).toBe(0);
  });

  const ofLeases: Record<string, [expected: string, fn: (lease: Lease) => unknown]> = {
    "view(Symbol)": ["ERR_INVALID_ARGUMENT", (lease) => lease.view(Symbol as never)],
    "view of 3-byte elements": [
      "ERR_INVALID_ARGUMENT",
      (lease) => lease.view(Object.assign(() => {}, { BYTES_PER_ELEMENT: 3 }) as never),
    ],
    "resize(-1)": ["ERR_INVALID_ARGUMENT", (lease) => lease.resize(-1)],
    "resize('8')": ["ERR_INVALID_ARGUMENT", (lease) => lease.resize("8" as never)],
    "releaseAfter(5)": ["ERR_INVALID_ARGUMENT", (lease) => lease.releaseAfter(5 as never)],
  };
  test.for(Object.keys(ofLeases))("%s is a typed error, and the lease stays as it was", (name) => {
    const lease = arena.acquire(8);
    lease.bytes.fill(3);
    const [expected, fn] = ofLeases[name] as [string, (lease: Lease) => unknown];
    expect(thrownCode(() => fn(lease))).toBe(expected);
    expect([...lease.bytes]).toEqual(new Array(8).fill(3));
    lease.release();
  });

  test.for([5, null, undefined] as const)("acquireAsync(5, %s) is a promise that settles", async (options) => {
    const code = await rejectedCode(arena.acquireAsync(5, options as never).then((lease) => lease.release()));
    expect(code).toBe(options === undefined ? "no error" : "ERR_INVALID_ARGUMENT");
  });

  test("-0 is 0", () => {
    const lease = arena.acquire(-0);
    expect(lease.bytes.length).toBe(0);
    lease.release();
    arena.pool(-0).acquire().release();
  });

  // Once a subclass whose length lies left bytes of an earlier lease in a message.
  test("a view that lies about its length brings its true bytes and no others", () => {
    arena.acquire(4 * KiB).release();
    const copy = arena.copyOf(new Lies(100).fill(7));
    expect(copy.byteLength).toBe(100);
    expect(copy.bytes.every((byte) => byte === 7)).toBe(true);
    copy.release();
    const writer = arena.writer();
    writer.writeBytes(new Lies(100).fill(7));
    const at = writer.reserve(50);
    expect(at).toBe(100);
    expect(isZero(writer.bytes.subarray(at))).toBe(true);
    writer.release();
  });

  // Once an error in a getter of the caller's left the lease out.
  test("a thenable that throws ends the lease or leaves it to its holder", async () => {
    const hostile = {
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
      get then(): never {
        throw new Error("then");
      },
    };
    expect(thrownCode(() => arena.use(5, () => hostile))).toContain("then");
    expect(arena.stats().liveLeases).toBe(0);
    const lease = arena.acquire(5);
    expect(thrownCode(() => lease.releaseAfter(hostile))).toContain("then");
    expect(lease.released).toBe(false);
    lease.release();
    let reads = 0;
    const once = {
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
      get then() {
        if (reads++ > 0) throw new Error("second");
        return (resolve: (value: number) => void) => resolve(1);
      },
    };
    const second = arena.acquire(5);
    await Promise.resolve(thrownCode(() => second.releaseAfter(once as never).catch(() => {})));
    await new Promise((resolve) => setImmediate(resolve));
    second[Symbol.dispose]();
    expect(arena.stats().liveLeases).toBe(0);
  });

  test("lone surrogates in pieces are written as the encoder writes each piece", () => {
    const writer = arena.writer(1);
    writer.writeString("a\ud800b\udc00\ud83d");
    writer.writeString("\ude00");
    const message = writer.take();
    const expected = Buffer.concat([Buffer.from("a\ud800b\udc00\ud83d"), Buffer.from("\ude00")]);
    expect(Buffer.from(message.bytes).equals(expected)).toBe(true);
    message.release();
  });

  test("arguments of no length at all: null, objects, functions", async () => {
    for (const value of [null, {}, [], () => {}, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(thrownCode(() => arena.acquire(value as never))).toBe("ERR_INVALID_ARGUMENT");
      expect(await rejectedCode(arena.acquireAsync([value] as never))).toBe("ERR_INVALID_ARGUMENT");
    }
  });
});

describe("copies that the platform makes", () => {
  // Once a transfer list with a lease's view was a copy on Node 20: it must at least never be the next owner's bytes.
  test.for(MODES)('of a view by structuredClone never show the next lease, in "%s"', (revoke) => {
    const arena = new Arena({ revoke });
    const lease = arena.acquire(100);
    lease.bytes[0] = 1;
    let clone: Uint8Array | undefined;
    try {
      clone = structuredClone(lease.bytes, { transfer: [lease.bytes.buffer] });
    } catch {
      // Refused, as the standard has it.
    }
    lease.release();
    const next = arena.acquire(100);
    next.bytes.fill(9);
    expect(clone?.[0] ?? 1).toBe(1);
    next.release();
  });

  // Response, Blob and digest take their copy before the release.
  test.for(REVOKING_MODES)('by Response, Blob and digest are taken at the call, in "%s"', async (revoke) => {
    const arena = new Arena({ revoke });
    const text = new TextEncoder().encode("hello world");
    const make = (): Lease => arena.copyOf(text);
    let lease = make();
    const response = new Response(lease.bytes);
    lease.release();
    lease = make();
    const blob = new Blob([lease.bytes]);
    lease.release();
    lease = make();
    const digest = crypto.subtle.digest("SHA-256", lease.bytes);
    lease.release();
    arena.acquire(11).bytes.fill(0x21);
    expect(await response.text()).toBe("hello world");
    expect(await blob.text()).toBe("hello world");
    expect(Buffer.from(await digest).equals(Buffer.from(await crypto.subtle.digest("SHA-256", text)))).toBe(true);
  });

  test("of a lease object are nothing, and its memory cannot be posted or transferred away", () => {
    const arena = new Arena(small(2));
    const lease = arena.acquire(10);
    expect(Object.keys(structuredClone(lease))).toEqual([]);
    const { port1 } = new MessageChannel();
    expect(thrownCode(() => port1.postMessage(lease.memory))).not.toBe("no error");
    try {
      port1.postMessage(1, [lease.bytes.buffer]);
    } catch {
      // Refused, or ignored.
    }
    port1.close();
    expect(lease.bytes.length).toBe(10);
    lease.release();
    arena.assertDrained();
  });
});

describe("heap leases past the cap", () => {
  // Once an own property on the buffer hid it from the release, and the view stayed alive.
  test.for(REVOKING_MODES)('die at release whatever was put on their buffer, in "%s"', (revoke) => {
    const arena = new Arena(small(1, { revoke }));
    const hold: Lease[] = [];
    while (arena.stats().overflowed === 0) hold.push(arena.acquire(60 * KiB));
    const lease = arena.acquire(32);
    const heap = lease.origin === "heap" ? lease : (hold.at(-1) as Lease);
    const kept = heap.bytes;
    Object.defineProperty(kept.buffer, "byteLength", { value: 0 });
    Object.defineProperty(kept.buffer, "transfer", {
      value() {
        throw new Error("transfer");
      },
    });
    kept.set(new TextEncoder().encode("written after the call"));
    expect(heap.origin).toBe("heap");
    heap.release();
    expect(kept.length).toBe(0);
    expect(heap.released).toBe(true);
  });
});

describe("everyday things, once wrong", () => {
  test("use() with asynchronous errors, an early release, a dispose inside", async () => {
    const arena = new Arena();
    const outcomes = await Promise.allSettled([
      arena.use(5, async () => {
        throw new Error("x");
      }),
      arena.use(5, (bytes) => Promise.resolve(bytes.length)),
      arena.use(5, () => new Promise((resolve) => setTimeout(() => resolve(1), 5))),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
    arena.assertDrained();
    const other = new Arena();
    other.use(5, () => other[Symbol.dispose]());
    expect(other.stats()).toMatchObject({ liveLeases: 0, reservedBytes: 0 });
  });

  test("a scope released twice, a lease of it released by hand", () => {
    const arena = new Arena();
    const scope = arena.scope();
    scope.acquire(5).release();
    scope.acquire(6);
    scope.release();
    expect(thrownCode(() => scope.release())).toBe("ERR_LEASE_RELEASED");
    arena.assertDrained();
  });

  test.for(MODES)('two pins keep the bytes until the last of them is released, in "%s"', (revoke) => {
    const arena = new Arena({ revoke, wipeOnRelease: true });
    const lease = arena.acquire(64);
    const [first, second] = [lease.pin(), lease.pin()];
    const view = lease.bytes;
    view[0] = 5;
    lease.release();
    first.release();
    expect(view[0]).toBe(5);
    second.release();
    expect(view[0] ?? 0).toBe(0);
    expect(thrownCode(() => second.release())).toBe("ERR_LEASE_RELEASED");
    arena.assertDrained();
  });

  test("a worker that is ended in the middle of its arena's work harms nobody", async () => {
    const { output, code, errors } = await inChild(`
      import { Worker } from "node:worker_threads";
      const source = \`
        import("cleanslab").then(async ({ Arena }) => {
          const { parentPort } = await import("node:worker_threads");
          const arena = new Arena();
          parentPort.postMessage(1);
          for (let i = 0; ; i++) { const lease = arena.acquire(1000 + (i * 7919) % 100000); lease.bytes.fill(1); lease.release(); }
        });\`;
      const workers = Array.from({ length: 3 }, () => new Worker(source, { eval: true }));
      await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
      for (const worker of workers) await worker.terminate();
      console.log("ended");
    `);
    expect({ output: output.trim(), code, errors }).toEqual({ output: "ended", code: 0, errors: "" });
  });

  test("the smallest arena refuses what it cannot hold, and serves all else", () => {
    const arena = new Arena(small(1, { onExhausted: "throw" }));
    const leases = fillUp(arena, 16);
    expect(leases.length).toBeGreaterThan(4000);
    for (const lease of leases) lease.release();
    arena.acquire(200 * KiB).release();
  });
});
