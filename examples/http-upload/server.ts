/**
 * A server that takes uploads, and answers with their length and digest. Runs in
 * a process of its own, told what to do by its parent.
 */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PerformanceObserver } from "node:perf_hooks";
import { promisify } from "node:util";
import { deflateRaw } from "node:zlib";
import { ArenaError } from "cleanslab";
import { BodyTooLong, createBodies, type LendBody, type Strategy } from "./bodies.ts";

export interface ServerPlan {
  strategy: Strategy;
  /** Cap of the arena, in bytes. */
  maxBytes: number;
  /** What is done with a body: digested at once, or compressed as well, on another thread, while it is held. */
  work: "digest" | "compress";
}

/** What the server saw of itself since it was started or last asked. */
export interface ServerReport {
  collections: number;
  collectionMs: number;
  peakResidentBytes: number;
  overflowed: number;
  reservedBytes: number;
  liveLeases: number;
}

const compress = promisify(deflateRaw);

export function startServer(plan: ServerPlan): Promise<{ server: Server; report: () => ServerReport }> {
  const { lend, stats } = createBodies(plan.strategy, plan.maxBytes);
  const collections = countCollections();
  const server = createServer((request, response) => {
    answer(request, response, lend, plan).catch((error: unknown) => refuse(response, error));
  });
  const report = (): ServerReport => ({
    ...collections.take(),
    peakResidentBytes: process.resourceUsage().maxRSS * 1024,
    overflowed: stats()?.overflowed ?? 0,
    reservedBytes: stats()?.reservedBytes ?? 0,
    liveLeases: stats()?.liveLeases ?? 0,
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve({ server, report }));
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, lend: LendBody, { work }: ServerPlan) {
  const result = await lend(request, async (body) => ({
    byteLength: body.length,
    digest: createHash("sha256").update(body).digest("hex"),
    // zlib reads the body on another thread: it is held until the promise settles.
    compressedBytes: work === "compress" ? (await compress(body, { level: 1 })).length : undefined,
  }));
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(result));
}

function refuse(response: ServerResponse, error: unknown): void {
  const isTooLong =
    error instanceof BodyTooLong || (error instanceof ArenaError && error.code === "ERR_LIMIT_EXCEEDED");
  // A client that went away hears nothing.
  if (response.destroyed) return;
  response.writeHead(isTooLong ? 413 : 500, { connection: "close" });
  response.end(isTooLong ? "too long\n" : "failed\n");
  if (!isTooLong) console.error(error);
}

function countCollections(): { take(): { collections: number; collectionMs: number } } {
  let collections = 0;
  let collectionMs = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      collections++;
      collectionMs += duration;
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  return {
    take() {
      const seen = { collections, collectionMs };
      collections = collectionMs = 0;
      return seen;
    },
  };
}

async function serveParent(): Promise<void> {
  const plan = await new Promise<ServerPlan>((resolve) =>
    process.once("message", (message) => resolve(message as ServerPlan)),
  );
  const { server, report } = await startServer(plan);
  process.on("message", () => process.send?.(report()));
  process.on("disconnect", () => process.exit());
  process.send?.((server.address() as AddressInfo).port);
}

if (process.send !== undefined && process.argv[2] === "--serve") await serveParent();
