/**
 * `npm run soak -- [--minutes N]`: mixed load on an arena of each mode at once, for
 * as long as one likes: sockets on loopback, files, timers, bursts past the cap, and
 * leaks now and then. Samples what the process holds after a collection, prints it,
 * and exits with 1 unless resident memory is flat over the last half and every audit
 * is clean.
 */

import { once } from "node:events";
import { open } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { setImmediate, setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Arena, type Lease, type RevokeMode } from "cleanslab";

/** What resident memory may seem to grow by over the last half: a twentieth, or 8 MiB if that is more. */
const GROWTH_BOUND = { share: 0.05, bytes: 8 * 1024 * 1024 };
const SAMPLES = 40;
const LEAK_EVERY = 400;
const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];
const MiB = 1024 * 1024;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "2" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes}: pass a number above 0`);
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

async function holdForAWhile(arena: Arena): Promise<void> {
  const lease = await arena.acquireAsync(1 + random(100_000));
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
  for (let each = 0; each < 500; each++) {
    const lease = each % 2 === 0 ? arena.acquire(random(5000)) : arena.pool(1024).acquire();
    lease.bytes.fill(3);
    // Where segments are held until dispose, so would the leak be.
    if (random(LEAK_EVERY) > 0 || arena === arenas[2]) lease.release();
  }
}

interface Sample {
  readonly seconds: number;
  readonly resident: number;
  readonly external: number;
  readonly reserved: number;
}

async function sample(start: number): Promise<Sample> {
  for (let turn = 0; turn < 2; turn++) {
    gc?.();
    await setImmediate();
  }
  for (const [at, arena] of arenas.entries()) {
    const { problems } = arena.audit();
    if (problems.length > 0) throw new Error(`${MODES[at]}: ${problems.join("; ")}`);
    const { reservedBytes, maxBytes } = arena.stats();
    if (reservedBytes > maxBytes) throw new Error(`${MODES[at]}: ${reservedBytes} bytes reserved`);
  }
  const { rss, external } = process.memoryUsage();
  const reserved = arenas.reduce((sum, arena) => sum + arena.stats().reservedBytes, 0);
  return { seconds: (performance.now() - start) / 1000, resident: rss, external, reserved };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

/** Bytes that resident memory grew by over `samples`: the median of all slopes (Theil and Sen), so that single peaks do not count. */
function growthOf(samples: readonly Sample[]): number {
  const slopes = samples.flatMap((a, at) =>
    samples.slice(at + 1).map((b) => (b.resident - a.resident) / (b.seconds - a.seconds)),
  );
  const [first, last] = [samples[0], samples.at(-1)];
  return first === undefined || last === undefined ? 0 : median(slopes) * (last.seconds - first.seconds);
}

const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
if (address === null || typeof address === "string") throw new Error("no port");
const sockets = arenas.map(() => connect(address.port, "127.0.0.1"));
await Promise.all(sockets.map((socket) => once(socket, "connect")));

const start = performance.now();
const samples: Sample[] = [];
console.log(" seconds   resident   external   reserved  leases so far, MiB");
for (let rounds = 0; performance.now() - start < minutes * 60_000; rounds++) {
  await Promise.all(
    arenas.map(async (arena, at) => {
      const socket = sockets[at];
      if (socket !== undefined) await talk(arena, socket);
      await Promise.all([readFile(arena), holdForAWhile(arena), holdForAWhile(arena)]);
      churn(arena);
      if (rounds % 20 === 0) burst(arena);
    }),
  );
  if (performance.now() - start < ((samples.length + 1) * minutes * 60_000) / SAMPLES) continue;
  const each = await sample(start);
  samples.push(each);
  const acquired = arenas.reduce((sum, arena) => sum + arena.stats().acquired, 0);
  const inMiB = [each.resident, each.external, each.reserved].map((bytes) => (bytes / MiB).toFixed(1).padStart(11));
  console.log(`${each.seconds.toFixed(0).padStart(8)}${inMiB.join("")}  ${acquired}`);
}
for (const socket of sockets) socket.destroy();
server.close();

const half = samples.slice(samples.length >> 1);
const bound = Math.max(GROWTH_BOUND.bytes, GROWTH_BOUND.share * median(half.map(({ resident }) => resident)));
const growth = growthOf(half);
const leaked = arenas.reduce((sum, arena) => sum + arena.stats().leakedLeases, 0);
const isFlat = growth <= bound && half.length >= 5;
console.log(
  `${half.length} samples in the last half: resident memory grew by ${(growth / MiB).toFixed(1)} MiB, ` +
    `${isFlat ? "within" : "NOT within"} ${(bound / MiB).toFixed(1)}; ${leaked} leaked leases found; all audits clean`,
);
process.exitCode = isFlat ? 0 : 1;
