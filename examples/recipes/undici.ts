/**
 * undici: answers into leases, and leases as bodies. A body is copied: undici says that it was
 * sent when it gave it to the socket, and an answer may come before the socket has sent it.
 */

import type { Arena, Lease } from "cleanslab";
import { collect } from "cleanslab/node";
import { collect as collectWeb } from "cleanslab/web";
import { type Dispatcher, fetch, type RequestInit, request } from "undici";

type Options = Omit<Dispatcher.RequestOptions, "origin" | "path" | "method"> & { method?: Dispatcher.HttpMethod };
export type LeasedAnswer = Omit<Dispatcher.ResponseData, "body"> & { lease: Lease };

/** @param limit of the answer's body, in bytes. */
export async function requestLease(arena: Arena, limit: number, url: string, options?: Options): Promise<LeasedAnswer> {
  const { body, ...answer } = await request(url, options);
  try {
    // A hint: an answer to HEAD has a length and no body.
    const announced = options?.method === "HEAD" ? 0 : Number(answer.headers["content-length"] ?? 0);
    return { ...answer, lease: await collect(body, arena, { limit, byteLengthHint: announced }) };
  } catch (error) {
    // Unread, it would keep the connection.
    body.destroy();
    throw error;
  }
}

/** The same with `fetch`, which unzips: `content-length` is not the length of what comes. */
export async function fetchLease(arena: Arena, limit: number, url: string, init?: RequestInit): Promise<Lease> {
  return collectWeb(await fetch(url, init), arena, { limit, signal: init?.signal ?? undefined });
}

/** A copy for `body`, and the end of `lease`. */
export function copyAndRelease(lease: Lease): Uint8Array {
  const copy = lease.copy();
  lease.release();
  return copy;
}
