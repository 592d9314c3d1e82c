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

const STATUS: Record<string, 400 | 413 | 503> = {
  ECONNRESET: 400,
  ERR_LENGTH_MISMATCH: 400,
  ERR_LIMIT_EXCEEDED: 413,
  ERR_ARENA_EXHAUSTED: 503,
};

/** The status for an error of `collect`. */
export function statusOf(error: unknown): 400 | 413 | 500 | 503 {
  return STATUS[(error as { code?: string }).code ?? ""] ?? 500;
}
