/** What the server recipes share: a body in a lease that ends with the response, and which error gets which status. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { Arena, Lease } from "cleanslab";
import { collect } from "cleanslab/node";

/** Aborts when the response has been sent, or can never be. */
export function whenOver({ socket }: IncomingMessage, response: ServerResponse): AbortSignal {
  const over = new AbortController();
  const end = (): void => {
    socket.off("close", end);
    over.abort(Object.assign(new Error("the request is over"), { code: "ECONNRESET" }));
  };
  response.once("close", end);
  // A pipelined response waits for its turn without a socket. If the client goes away meanwhile, it never closes.
  if (response.socket === null) socket.setMaxListeners(0).once("close", end);
  return over.signal;
}

/** Releases `lease`, unless that was done before, when `over` aborts. */
export function endWith(over: AbortSignal, lease: Lease): Lease {
  if (over.aborted) lease.release();
  else over.addEventListener("abort", () => lease[Symbol.dispose]());
  return lease;
}

export const announcedLength = (contentLength: string | undefined): number | undefined =>
  contentLength === undefined ? undefined : Math.min(Number(contentLength), Number.MAX_SAFE_INTEGER);

const STATUS: Record<string, 413 | 500 | 503> = {
  ERR_LIMIT_EXCEEDED: 413,
  ERR_ARENA_EXHAUSTED: 503,
  ERR_ARENA_DISPOSED: 503,
  ERR_INVALID_ARGUMENT: 500,
};

/** The status for an error of `collect`. Any other error is the stream's, and so the client's. */
export const statusOf = (error: unknown): 400 | 413 | 500 | 503 =>
  STATUS[(error as { code?: string }).code ?? ""] ?? 400;

/**
 * The body in a lease, which ends with the response. At the cap it waits for room, first come,
 * first served: for its length if that is known, else for `limit`, which has to fit under the cap.
 *
 * @param body what is read, if it is not the request itself: unzipped, for instance.
 */
export async function leaseBody(
  arena: Arena,
  limit: number,
  request: IncomingMessage,
  response: ServerResponse,
  body: Readable = request,
): Promise<Lease> {
  const signal = whenOver(request, response);
  const byteLength = body === request ? announcedLength(request.headers["content-length"]) : undefined;
  try {
    return endWith(signal, await collect(body, arena, { limit, byteLength, signal, waitForRoom: true }));
  } catch (error) {
    // What was not read is in the way of the next request.
    if (!response.headersSent) response.setHeader("connection", "close");
    throw Object.assign(error as Error, { statusCode: statusOf(error) });
  }
}
