/**
 * HTTP uploads of 16 KiB to 1 MiB, hashed and written to disk. `uploads`: 64 at a time.
 * `uploads-capped`: 200 clients under 16 MiB of body memory, first come first served.
 */

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Arena, type Lease } from "cleanslab";
import { collect } from "cleanslab/node";
import {
  eachOf,
  type Figures,
  free,
  latencyFigures,
  leases,
  listen,
  numbersFrom,
  ordinary,
  type Server,
  type ServerProgram,
} from "./program.ts";

const CAP_BYTES = 16 << 20;
const LIMIT = 1 << 20;

type Handler = (request: IncomingMessage, path: string) => Promise<string>;

async function store(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.write(bytes);
  } finally {
    await file.close();
  }
}

const concat: Handler = async (request, path) => {
  const hash = createHash("sha256");
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    hash.update(chunk as Buffer);
    chunks.push(chunk as Buffer);
  }
  await store(path, Buffer.concat(chunks));
  return hash.digest("hex");
};

function preallocated(frees: boolean): Handler {
  return (request, path) =>
    new Promise((resolve, reject) => {
      const hash = createHash("sha256");
      const body = Buffer.allocUnsafe(Number(request.headers["content-length"]));
      let at = 0;
      request.on("data", (chunk: Buffer) => {
        at += chunk.copy(body, at);
        hash.update(chunk);
        if (frees) free(chunk);
      });
      request.on("end", () => store(path, body).then(() => resolve(hash.digest("hex")), reject));
      request.on("error", reject);
    });
}

/** Bytes of bodies under a cap, by hand: who does not fit waits in line. */
class Budget {
  #left: number;
  readonly #queue: { byteLength: number; resolve: () => void }[] = [];

  constructor(byteLength: number) {
    this.#left = byteLength;
  }

  take(byteLength: number): Promise<void> | undefined {
    if (this.#queue.length === 0 && this.#left >= byteLength) {
      this.#left -= byteLength;
      return undefined;
    }
    return new Promise((resolve) => this.#queue.push({ byteLength, resolve }));
  }

  give(byteLength: number): void {
    this.#left += byteLength;
    for (;;) {
      const next = this.#queue[0];
      if (next === undefined || this.#left < next.byteLength) return;
      this.#queue.shift();
      this.#left -= next.byteLength;
      next.resolve();
    }
  }
}

function budgeted(handler: Handler): Handler {
  const budget = new Budget(CAP_BYTES);
  return async (request, path) => {
    const byteLength = Number(request.headers["content-length"]);
    await budget.take(byteLength);
    try {
      return await handler(request, path);
    } finally {
      budget.give(byteLength);
    }
  };
}

async function storeLease(path: string, lease: Lease): Promise<void> {
  const file = await open(path, "w");
  try {
    await lease.releaseAfter(file.write(lease.bytes));
  } finally {
    await file.close();
  }
}

function leased(arena: Arena, freeChunks: boolean, waits: boolean): Handler {
  return async (request, path) => {
    const hash = createHash("sha256");
    const byteLength = Number(request.headers["content-length"]);
    const lease = await collect(request, arena, {
      limit: LIMIT,
      byteLength,
      freeChunks,
      waitForRoom: waits,
      onChunk: (chunk) => hash.update(chunk),
    });
    await storeLease(path, lease);
    return hash.digest("hex");
  };
}

function handlerOf(variant: string, isCapped: boolean): Handler {
  const frees = variant.endsWith("freed");
  if (variant.startsWith("leases")) {
    const arena = new Arena({ maxBytes: isCapped ? CAP_BYTES : 128 << 20, trace: "off" });
    return leased(arena, frees, isCapped);
  }
  const handler = variant.startsWith("allocUnsafe") ? preallocated(frees) : concat;
  return isCapped ? budgeted(handler) : handler;
}

async function serveWith(variant: string, isCapped: boolean): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "uploads-"));
  const handler = handlerOf(variant, isCapped);
  let count = 0;
  const server = http.createServer((request: IncomingMessage, response: ServerResponse) => {
    // 64 files are written over again and again: the disk is not what is measured.
    const path = join(folder, `${count++ & 63}`);
    handler(request, path).then(
      (digest) => response.end(digest),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  const { port, close } = await listen(server);
  return {
    port,
    async close() {
      server.closeAllConnections();
      await close();
      rmSync(folder, { recursive: true });
    },
  };
}

export interface UploadLoad {
  /** How many upload at a time. */
  readonly clients: number;
  readonly uploads: number;
  /** Whether clients pause between pieces of 64 KiB. */
  readonly isSlow: boolean;
  /** What bodies of 16 KiB to 1 MiB are cut from. */
  readonly source: Buffer;
  check(answer: Buffer, byteLength: number): boolean;
}

export async function load(port: number, { clients, uploads, isSlow, source, check }: UploadLoad): Promise<Figures> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
  const random = numbersFrom(7);
  const latencies: number[] = [];
  let sentBytes = 0;
  const upload = (byteLength: number): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const request = http.request(
        { port, host: "127.0.0.1", method: "POST", agent, headers: { "content-length": byteLength } },
        (response) => {
          const answer: Buffer[] = [];
          response.on("data", (chunk: Buffer) => answer.push(chunk));
          response.on("end", () => resolve(Buffer.concat(answer)));
        },
      );
      request.on("error", reject);
      if (!isSlow) {
        request.end(source.subarray(0, byteLength));
        return;
      }
      let at = 0;
      const next = (): void => {
        const piece = source.subarray(at, Math.min(at + 65536, byteLength));
        at += piece.length;
        if (at >= byteLength) request.end(piece);
        else request.write(piece, () => setTimeout(next, 2));
      };
      next();
    });
  const start = performance.now();
  await eachOf(uploads, clients, async () => {
    const byteLength = (((random() >>> 8) % 64) + 1) * 16384;
    const began = performance.now();
    const answer = await upload(byteLength);
    latencies.push(performance.now() - began);
    sentBytes += byteLength;
    if (!check(answer, byteLength)) throw new Error(`an upload of ${byteLength} bytes came out wrong: ${answer}`);
  });
  const seconds = (performance.now() - start) / 1000;
  agent.destroy();
  return { megabytesPerSecond: sentBytes / seconds / 1e6, ...latencyFigures(latencies) };
}

function loadHashed(port: number, clients: number, uploads: number, isSlow: boolean): Promise<Figures> {
  const source = Buffer.alloc(1 << 20);
  for (let at = 0; at < source.length; at += 4) source.writeUInt32LE(Math.imul(at, 2654435761) >>> 0, at);
  const digests = new Map<number, string>();
  const check = (answer: Buffer, byteLength: number): boolean => {
    let expected = digests.get(byteLength);
    if (expected === undefined) {
      expected = createHash("sha256").update(source.subarray(0, byteLength)).digest("hex");
      digests.set(byteLength, expected);
    }
    return answer.toString() === expected;
  };
  return load(port, { clients, uploads, isSlow, source, check });
}

export const uploads: ServerProgram = {
  name: "uploads",
  title: "HTTP uploads to 1 MiB, hashed and written, 64 at a time",
  variants: [
    ordinary("Buffer.concat"),
    ordinary("allocUnsafe"),
    ordinary("allocUnsafe, chunks freed", 22),
    leases("leases"),
    leases("leases, chunks freed", 22),
  ],
  serve: (variant) => serveWith(variant, false),
  load: (port) => loadHashed(port, 64, 3000, false),
};

export const cappedUploads: ServerProgram = {
  name: "uploads-capped",
  title: "The same under a cap of 16 MiB, 200 slow clients, first come first served",
  variants: [ordinary("allocUnsafe, a budget by hand"), leases("leases"), leases("leases, chunks freed", 22)],
  serve: (variant) => serveWith(variant, true),
  load: (port) => loadHashed(port, 200, 2000, true),
};
