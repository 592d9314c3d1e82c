/**
 * Four ways to have a request's body in one buffer. Owns what becomes of the
 * bytes, and knows nothing of what the server does with them.
 */

import type { IncomingMessage } from "node:http";
import { Arena, type ArenaStats, type RevokeMode } from "cleanslab";
import { collect } from "cleanslab/node";

/** Longest body that the server takes, in bytes. */
export const BODY_LIMIT = 256 * 1024;

export const STRATEGIES = ["concat", "fresh", "leased", "leased, never"] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** Lends the body of `request` to `work` until its promise settles. */
export type LendBody = <T>(request: IncomingMessage, work: (body: Uint8Array) => Promise<T>) => Promise<T>;

export interface Bodies {
  lend: LendBody;
  stats(): ArenaStats | null;
}

export class BodyTooLong extends Error {}

export function createBodies(strategy: Strategy, maxBytes: number): Bodies {
  switch (strategy) {
    case "concat":
      return { lend: async (request, work) => work(await concat(request)), stats: () => null };
    case "fresh":
      return { lend: async (request, work) => work(await fillFresh(request)), stats: () => null };
    case "leased":
      return leasedBodies("before-reuse", maxBytes);
    case "leased, never":
      return leasedBodies("never", maxBytes);
  }
}

/** What most servers do today. */
async function concat(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let byteLength = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    byteLength += chunk.length;
    if (byteLength > BODY_LIMIT) throw new BodyTooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, byteLength);
}

/** A new array as long as the client says, filled as the chunks come. */
async function fillFresh(request: IncomingMessage): Promise<Uint8Array> {
  const byteLength = announcedBytes(request);
  if (byteLength === undefined) return concat(request);
  if (byteLength > BODY_LIMIT) throw new BodyTooLong();
  const body = new Uint8Array(byteLength);
  let at = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

function leasedBodies(revoke: RevokeMode, maxBytes: number): Bodies {
  const arena = new Arena({ revoke, maxBytes });
  const lend: LendBody = async (request, work) => {
    // The announced length: the chunks go straight into a lease of it.
    const byteLength = announcedBytes(request);
    const lease = await collect(request, arena, { limit: BODY_LIMIT, byteLength });
    try {
      return await work(lease.bytes);
    } finally {
      lease.release();
    }
  };
  return { lend, stats: () => arena.stats() };
}

function announcedBytes({ headers }: IncomingMessage): number | undefined {
  const length = Number(headers["content-length"]);
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined;
}
