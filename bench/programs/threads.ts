/**
 * Programs with a worker beside their main thread. `lines`: a file in chunks of 4 KiB, read
 * here and counted there. `compress`: HTTP bodies to 1 MiB, received here, compressed there,
 * and answered. `piscina`, `piscina-short`: jobs of 1 MiB and of 16 KiB for two workers.
 * Owns both threads of each: workers begin in this same file.
 */

import { createHash } from "node:crypto";
import { openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import http, { type IncomingMessage } from "node:http";
import { join } from "node:path";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { gunzipSync, gzip, gzipSync } from "node:zlib";
import { SharedArena } from "cleanslab/shared";
import { CLONE, FILLED, openWay, POOL, type Reader, RING, receive, type Start, TRANSFER, tell } from "../messages.ts";
import { countLines, csv } from "./files.ts";
import {
  eachOf,
  type Figures,
  type JobProgram,
  leases,
  listen,
  numbersFrom,
  ordinary,
  quantile,
  type Server,
  type ServerProgram,
} from "./program.ts";
import { load } from "./uploads.ts";

const ALONE = "one thread alone";
/** The bundle of this file: scripts/bench.mjs. */
const ENTRY = new URL("./program-thread.js", import.meta.url);
const WINDOW = 64;

/** Milliseconds, the same in all threads. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

const CHUNK_BYTES = 4096;
/** Every so many chunks one is timed, from before it is read until it is counted. */
const TIMED = 64;

/** A file, chunk by chunk of whole lines. */
class LineSource {
  readonly #file: number;
  readonly #began: Float64Array;
  readonly #kept = new Uint8Array(CHUNK_BYTES);
  #keptBytes = 0;
  chunks = 0;

  constructor(folder: string, began: Float64Array) {
    this.#file = openSync(join(folder, "big.csv"), "r");
    this.#began = began;
  }

  readonly write = (bytes: Uint8Array): number => {
    const each = this.chunks++;
    if (each % TIMED === 0) this.#began[(each / TIMED) % this.#began.length] = now();
    bytes.set(this.#kept.subarray(0, this.#keptBytes));
    const end = this.#keptBytes + readSync(this.#file, bytes, this.#keptBytes, bytes.length - this.#keptBytes, null);
    const length = end === 0 ? 0 : bytes.lastIndexOf(10, end - 1) + 1;
    this.#keptBytes = end - length;
    this.#kept.set(bytes.subarray(length, end));
    return length;
  };
}

class LineCounter implements Reader {
  readonly #began: Float64Array;
  readonly #totals = { fields: 0, sum: 0 };
  readonly #latencies: number[] = [];
  #chunks = 0;

  constructor(began: Float64Array) {
    this.#began = began;
  }

  readonly read = (bytes: Uint8Array): void => {
    countLines(bytes, 0, bytes.length, this.#totals);
    const each = this.#chunks++;
    if (each % TIMED !== 0) return;
    this.#latencies.push(now() - (this.#began[(each / TIMED) % this.#began.length] as number));
  };

  readonly result = () => ({ totals: this.#totals, latencies: this.#latencies });
}

async function lines(variant: string, folder: string): Promise<Figures> {
  const { fileBytes, ...totals } = JSON.parse(readFileSync(join(folder, "big.json"), "utf8"));
  const [way = "", length] = variant.split("; ");
  const byteLength = length === undefined ? CHUNK_BYTES : 65536;
  const sender = way === ALONE ? alone(byteLength) : await openWay(ENTRY, "lines", way, byteLength, WINDOW);
  const source = new LineSource(folder, sender.shared);
  const start = now();
  const counted = (await sender.send(source.write)) as ReturnType<LineCounter["result"]>;
  const ms = now() - start;
  if (JSON.stringify(totals) !== JSON.stringify(counted.totals)) throw new Error(`${variant} counted wrong`);
  const { chunks: operations } = source;
  return { operations, megabytesPerSecond: fileBytes / ms / 1000, p99Ms: quantile(counted.latencies, 0.99) };
}

/** One buffer for all chunks. */
function alone(byteLength: number): Pick<Awaited<ReturnType<typeof openWay>>, "send" | "shared"> {
  const shared = new Float64Array(1);
  const { read, result } = new LineCounter(shared);
  const bytes = new Uint8Array(byteLength);
  return {
    shared,
    async send(write) {
      for (let length = write(bytes); length > 0; length = write(bytes)) read(bytes.subarray(0, length));
      return result();
    },
  };
}

const LIMIT = 1 << 20;
const LEVEL = { level: 1 };
const GZIP = "zlib.gzip, its own threads";

/** A compressed body, and what to do when it is sent. */
interface Answer {
  readonly bytes: Uint8Array;
  sent?(): void;
}

type Compress = (request: IncomingMessage, byteLength: number) => Promise<Answer>;

/** Reads the body into `bytes`. */
function receiveBody(request: IncomingMessage, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    let at = 0;
    request.on("data", (chunk: Buffer) => {
      bytes.set(chunk, at);
      at += chunk.length;
    });
    request.on("end", () => resolve(at));
    request.on("error", reject);
  });
}

async function compressor(way: string): Promise<Compress> {
  if (way === ALONE || way === GZIP) {
    return async (request, byteLength) => {
      const body = Buffer.allocUnsafe(byteLength);
      await receiveBody(request, body);
      if (way === ALONE) return { bytes: gzipSync(body, LEVEL) };
      return new Promise((resolve, reject) => {
        gzip(body, LEVEL, (error, bytes) => (error === null ? resolve({ bytes }) : reject(error)));
      });
    };
  }
  const { arena, port, worker } = await openWay(ENTRY, "compress", way, LIMIT, WINDOW);
  const waiting = new Map<number, (answer: Answer) => void>();
  let last = 0;
  const answer = (): Promise<Answer> => new Promise((resolve) => waiting.set(++last, resolve));
  const settle = (id: number, answer: Answer): void => {
    waiting.get(id)?.(answer);
    waiting.delete(id);
  };
  if (way === FILLED) {
    void (async () => {
      for await (const lease of port) settle(lease.tag, { bytes: lease.bytes, sent: () => lease.release() });
    })();
    return async (request, byteLength) => {
      const lease = await arena.acquireFilled(byteLength, (bytes) => receiveBody(request, bytes));
      const answered = answer();
      await port.send(lease, last);
      return answered;
    };
  }
  const free: ArrayBuffer[] = [];
  worker.on("message", ({ id, bytes }: { id: number; bytes: Uint8Array<ArrayBuffer> }) =>
    settle(id, { bytes, sent: () => free.push(bytes.buffer) }),
  );
  return async (request, byteLength) => {
    const buffer = free.pop() ?? (Buffer.allocUnsafeSlow(LIMIT).buffer as ArrayBuffer);
    const bytes = new Uint8Array(buffer, 0, byteLength);
    await receiveBody(request, bytes);
    const answered = answer();
    worker.postMessage({ id: last, bytes }, [buffer]);
    return answered;
  };
}

async function compressInWorker({ way, handle, port2 }: Start): Promise<void> {
  if (way === FILLED) {
    const arena = SharedArena.attach(handle);
    const port = arena.open(port2);
    for await (const lease of port) {
      const answer = arena.copyOf(gzipSync(lease.bytes, LEVEL));
      const { tag } = lease;
      lease.release();
      await port.send(answer, tag);
    }
  }
  parentPort?.on("message", ({ id, bytes }: { id: number; bytes: Uint8Array<ArrayBuffer> }) => {
    const compressed = gzipSync(bytes, LEVEL);
    // Back in the buffer that it came in.
    const answer = new Uint8Array(bytes.buffer, 0, compressed.length);
    answer.set(compressed);
    tell({ id, bytes: answer }, [bytes.buffer]);
  });
}

async function serve(variant: string): Promise<Server> {
  const compress = await compressor(variant);
  const server = http.createServer((request, response) => {
    compress(request, Number(request.headers["content-length"])).then(
      ({ bytes, sent }) => response.setHeader("content-length", bytes.length).end(bytes, sent),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  const { port, close } = await listen(server);
  return {
    port,
    async close() {
      server.closeAllConnections();
      await close();
    },
  };
}

/** Text that compresses to a third or so. */
function records(): Buffer {
  const next = numbersFrom(7);
  let text = "";
  while (text.length < LIMIT) {
    const seed = next();
    text += `{"id":${seed},"name":"name ${seed % 1000}","value":${seed % 100000},"ok":true}\n`;
  }
  return Buffer.from(text.slice(0, LIMIT));
}

async function loadCompress(port: number): Promise<Figures> {
  const source = records();
  /** Unpacked once for each length; what comes later is compared. */
  const known = new Map<number, Buffer>();
  const check = (answer: Buffer, byteLength: number): boolean => {
    const first = known.get(byteLength);
    if (first !== undefined) return answer.equals(first);
    known.set(byteLength, answer);
    return gunzipSync(answer).equals(source.subarray(0, byteLength));
  };
  return load(port, { clients: 16, uploads: 1000, isSlow: false, source, check });
}

const WORKERS = 2;
const TOKEN = "leases, tokens";
const IN_FLIGHT = 8;
const SOURCES = 16;
const DIGEST_BYTES = 32;

export function digestOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function jobs(byteLength: number, count: number): JobProgram["work"] {
  return async (variant) => {
    const text = Buffer.concat([records(), records()]);
    const sources = Array.from({ length: SOURCES }, (_, each) => text.subarray(each * 1000, each * 1000 + byteLength));
    const digests = sources.map(digestOf);
    const run = await hasher(variant, byteLength);
    const latencies: number[] = [];
    await Promise.all(sources.map(run));
    const start = now();
    await eachOf(count, IN_FLIGHT, async (each) => {
      const began = now();
      const digest = await run(sources[each % SOURCES] as Buffer);
      latencies.push(now() - began);
      if (digests[each % SOURCES]?.compare(digest) !== 0) throw new Error(`${variant}: a digest came out wrong`);
    });
    const ms = now() - start;
    return {
      operations: count,
      megabytesPerSecond: (count * byteLength) / ms / 1000,
      p99Ms: quantile(latencies, 0.99),
    };
  };
}

/** Copies what it is given, as a read would, and has it hashed. */
async function hasher(variant: string, byteLength: number): Promise<(source: Uint8Array) => Promise<Uint8Array>> {
  const bytes = Buffer.allocUnsafeSlow(byteLength);
  if (variant === ALONE) {
    return async (source) => {
      bytes.set(source);
      return digestOf(bytes);
    };
  }
  const { Piscina } = await import("piscina");
  const arena = new SharedArena();
  const pool = new Piscina({
    filename: ENTRY.href,
    name: variant === TOKEN ? "hashToken" : variant === POOL ? "hashInPlace" : "digestOf",
    minThreads: WORKERS,
    maxThreads: WORKERS,
    workerData: { handle: arena.handle },
  });
  if (variant === TOKEN) return (source) => pool.run(arena.copyOf(source).handOver());
  const free: Uint8Array<ArrayBuffer>[] = [];
  return async (source) => {
    const own = free.pop() ?? (Buffer.allocUnsafeSlow(byteLength) as Uint8Array<ArrayBuffer>);
    own.set(source);
    const answer: Uint8Array<ArrayBuffer> = await pool.run(own, {
      transferList: variant === CLONE ? [] : [own.buffer],
    });
    if (variant !== POOL) return answer;
    free.push(answer);
    return answer.slice(0, DIGEST_BYTES);
  };
}

/** Answers the job's own buffer, with the digest at its front. */
export async function hashInPlace(bytes: Uint8Array<ArrayBuffer>): Promise<unknown> {
  const { move } = await import("piscina");
  bytes.set(digestOf(bytes));
  return move(bytes);
}

let attached: SharedArena | undefined;

export function hashToken(token: number): Uint8Array {
  attached ??= SharedArena.attach((workerData as Start).handle);
  const lease = attached.adopt(token);
  try {
    return digestOf(lease.bytes);
  } finally {
    lease.release();
  }
}

const posted = [ordinary(ALONE), ordinary(CLONE), ordinary(TRANSFER), ordinary(POOL)];
const piscina = (name: string, length: string, byteLength: number, count: number): JobProgram => ({
  name,
  title: `Jobs of ${length} hashed by piscina, two workers`,
  variants: [...posted, leases(TOKEN)],
  work: jobs(byteLength, count),
});

export const threadPrograms: readonly (JobProgram | ServerProgram)[] = [
  {
    name: "lines",
    title: "Lines of a file of 200 MB in chunks of 4 KiB, counted in a worker",
    variants: [...posted, ordinary(`${POOL}; 64 KiB`), ordinary(RING), leases(FILLED), leases(`${FILLED}; 64 KiB`)],
    async prepare(folder) {
      await csv.prepare?.(folder);
      const bytes = readFileSync(join(folder, "big.csv"));
      const totals = { fields: 0, sum: 0 };
      countLines(bytes, 0, bytes.length, totals);
      writeFileSync(join(folder, "big.json"), JSON.stringify({ fileBytes: bytes.length, ...totals }));
    },
    work: lines,
  },
  {
    name: "compress",
    title: "HTTP bodies to 1 MiB compressed in a worker and answered, 16 at a time",
    variants: [ordinary(ALONE), ordinary(GZIP), ordinary(POOL), leases(FILLED)],
    serve,
    load: loadCompress,
  },
  piscina("piscina", "1 MiB", 1 << 20, 3000),
  piscina("piscina-short", "16 KiB", 16384, 60_000),
];

const start = workerData as Start | null;
if (!isMainThread && start?.task === "lines") receive(start, new LineCounter(start.shared));
if (!isMainThread && start?.task === "compress") {
  void compressInWorker(start);
  tell({});
}
