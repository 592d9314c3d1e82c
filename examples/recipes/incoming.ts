/** What the server recipes share: a lease that ends with the response, and which error gets which status. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Lease } from "cleanslab";

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
