/**
 * `npm run soak -- [--millions N]`: mixed load on an arena of each mode at once, for
 * N million leases: sockets on loopback, files, timers, bursts past the cap, and
 * leaks now and then. Samples what the process holds between rounds, after a
 * collection and with nothing leased, and prints it. Exits with 1 unless that is
 * flat after the warm-up and every audit is clean.
 *
 * Judged by the million leases, not by the minute: under another load the same
 * minute is other work. `--keep N` makes it fail: see below.
 */

import { once } from "node:events";
import { open } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { setImmediate, setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Arena, type Lease, type RevokeMode } from "cleanslab";

/** Bytes that a million leases may seem to add to the heap in use, and to what is resident outside it. */
const HEAP_BOUND = 128 * 1024;
const NATIVE_BOUND = 3 * 1024 * 1024;
/** The share of the leases before which compilers and collector are still taking what they need. */
const WARM_UP = 1 / 3;
const SAMPLES = 40;
const LEAK_EVERY = 2000;
const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];
const MiB = 1024 * 1024;

const { values } = parseArgs({
  options: { millions: { type: "string", default: "6" }, keep: { type: "string", default: "0" } },
});
const millions = Number(values.millions);
if (!(millions > 0)) throw new Error(`--millions ${values.millions}: pass a number above 0`);
/** Of one lease in this many the object is kept, as a list in the library that only grows would: the soak must find it. */
const keepEvery = Number(values.keep);
const kept: Lease[] = [];
const { gc } = globalThis;
if (gc === undefined) throw new Error("run with --expose-gc, so that samples come after a collection");

const arenas = MODES.map((revoke) => new Arena({ revoke, maxBytes: 16 * MiB, guardEvery: 1000, trace: "sampled" }));

/** Numbers from 0 up to `below`, the same in each run. */
let state = 1;
function random(below: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

/** Writes leases and reads their echo; a block is returned when its write is done. */
async function talk(arena: Arena, socket: Socket): Promise<void> {
  const leases = Array.from({ length: 20 }, () => arena.acquire(1 + random(16_384)));
  const expected = leases.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let received = 0;
  const echoed = new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      if (chunk.includes(0)) reject(new Error("the peer got zeros: a block was wiped too early"));
      received += chunk.length;
      if (received === expected) resolve();
    });
  });
  const writes = leases.map((lease) => {
    const { bytes } = lease;
    bytes.fill(7);
    const written = new Promise<void>((resolve, reject) => {
      socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    return lease.releaseAfter(written);
  });
  await Promise.all([echoed, ...writes]);
  socket.removeAllListeners();
}

async function readFile(arena: Arena): Promise<void> {
  const file = await open(fileURLToPath(import.meta.url));
  try {
    for (let position = 0; ; ) {
      const bytesRead = await arena.use(4096, async (bytes) => (await file.read(bytes, 0, 4096, position)).bytesRead);
      if (bytesRead === 0) return;
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** Nothing else is held for so long that there is no room for half a minute. */
async function holdForAWhile(arena: Arena): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  const lease = await arena.acquireAsync(1 + random(100_000), { signal }).catch((cause: unknown) => {
    throw new Error(`no room for half a minute, with ${arena.stats().liveLeases} leases out`, { cause });
  });
  lease.bytes.fill(1);
  await setTimeout(random(20));
  lease.release();
}

/** More than the cap for a moment, returned in another order. */
function burst(arena: Arena): void {
  const leases: Lease[] = [];
  for (let bytes = 0; bytes < 20 * MiB; ) {
    const lease = arena.acquire(random(40_000));
    bytes += lease.byteLength;
    leases.push(lease);
  }
  while (leases.length > 0) leases.splice(random(leases.length), 1)[0]?.release();
}

function churn(arena: Arena): void {
  for (let each = 0; each < 2000; each++) {
    const lease = each % 2 === 0 ? arena.acquire(random(5000)) : arena.pool(1024).acquire();
    lease.bytes.fill(3);
    if (keepEvery > 0 && random(keepEvery) === 0) kept.push(lease);
    // Where segments are held until dispose, so would the leak be.
    if (random(LEAK_EVERY) > 0 || arena === arenas[2]) lease.release();
  }
}

interface Sample {
  readonly seconds: number;
  /** Leases so far, in millions. */
  readonly leases: number;
  /** Of these, only the first two are judged: what is in use of the JavaScript heap, and what is resident outside it. */
  readonly heap: number;
  readonly native: number;
  readonly resident: number;
  readonly reserved: number;
}

function leasesSoFar(): number {
  return arenas.reduce((sum, arena) => sum + arena.stats().acquired, 0) / 1e6;
}

/** Called between rounds, so that nothing is leased: what is still held then is held for good. */
async function sample(start: number): Promise<Sample> {
  // Several, because what a finalizer lets go of goes with the next collection.
  for (let turn = 0; turn < 4; turn++) {
    gc?.();
    await setImmediate();
    // How many memories lie idle depends on the last burst, not on leaks.
    for (const arena of arenas) arena.trim();
  }
  for (const [at, arena] of arenas.entries()) {
    const { problems } = arena.audit();
    if (problems.length > 0) throw new Error(`${MODES[at]}: ${problems.join("; ")}`);
    const { reservedBytes, maxBytes } = arena.stats();
    if (reservedBytes > maxBytes) throw new Error(`${MODES[at]}: ${reservedBytes} bytes reserved`);
  }
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  const reserved = arenas.reduce((sum, arena) => sum + arena.stats().reservedBytes, 0);
  return {
    seconds: (performance.now() - start) / 1000,
    leases: leasesSoFar(),
    heap: heapUsed,
    native: rss - heapTotal,
    resident: rss,
    reserved,
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

/** Bytes for a million leases: the median of all slopes (Theil and Sen), so that single peaks do not count. */
function growthOf(samples: readonly Sample[], of: "heap" | "native"): number {
  return median(samples.flatMap((a, at) => samples.slice(at + 1).map((b) => (b[of] - a[of]) / (b.leases - a.leases))));
}

const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
if (address === null || typeof address === "string") throw new Error("no port");
const sockets = arenas.map(() => connect(address.port, "127.0.0.1"));
await Promise.all(sockets.map((socket) => once(socket, "connect")));

// Leaks fill the cap; who then waits for room would wait for the next collection.
const collecting = setInterval(gc, 500);

const start = performance.now();
const samples: Sample[] = [];
console.log("seconds  leases, millions  heap in use  native  reserved  resident, MiB");
for (let rounds = 0; samples.length < SAMPLES; rounds++) {
  await Promise.all(
    arenas.map(async (arena, at) => {
      const socket = sockets[at];
      if (socket !== undefined) await talk(arena, socket);
      await Promise.all([readFile(arena), holdForAWhile(arena), holdForAWhile(arena)]);
      churn(arena);
      if (rounds % 20 === 0) burst(arena);
    }),
  );
  if (leasesSoFar() < ((samples.length + 1) * millions) / SAMPLES) continue;
  const each = await sample(start);
  samples.push(each);
  console.log(
    each.seconds.toFixed(0).padStart(7) +
      each.leases.toFixed(2).padStart(18) +
      toMiB(each.heap, 2).padStart(13) +
      toMiB(each.native, 1).padStart(8) +
      toMiB(each.reserved, 1).padStart(10) +
      toMiB(each.resident, 1).padStart(10),
  );
}
clearInterval(collecting);
for (const socket of sockets) socket.destroy();
server.close();

const judged = samples.slice(Math.ceil(samples.length * WARM_UP));
const leaked = arenas.reduce((sum, arena) => sum + arena.stats().leakedLeases, 0);
console.log(`${judged.length} samples after the warm-up; ${leaked} leaked leases found; all audits clean`);
let isFlat = true;
for (const [of, bound] of [
  ["heap", HEAP_BOUND],
  ["native", NATIVE_BOUND],
] as const) {
  const growth = growthOf(judged, of);
  if (growth > bound) isFlat = false;
  console.log(
    `${of}: ${(growth / 1024).toFixed(1)} KiB for a million leases, ` +
      `${growth > bound ? "NOT within" : "within"} ${bound / 1024}`,
  );
}
process.exitCode = isFlat ? 0 : 1;

function toMiB(bytes: number, digits: number): string {
  return (bytes / MiB).toFixed(digits);
}
