/** Hono on Node: bodies in `c.var.lease`, read from the web stream, and web streams from a lease. */

import type { HttpBindings } from "@hono/node-server";
import type { Arena, Lease } from "cleanslab";
import { collect } from "cleanslab/web";
import { createMiddleware } from "hono/factory";
import { HTTPException } from "hono/http-exception";
import { announcedLength, endWith, statusOf, whenOver } from "./incoming.ts";

/** `lease` is the body, until the response is sent. */
export type LeasedBody = { Bindings: HttpBindings; Variables: { lease: Lease } };

/** @param limit of a body, in bytes. */
export const leasedBody = (arena: Arena, limit: number) =>
  createMiddleware<LeasedBody>(async (c, next) => {
    // A `Response` does not tell when it was sent: the one of Node behind it does.
    const over = whenOver(c.env.incoming, c.env.outgoing);
    const byteLength = announcedLength(c.req.header("content-length"));
    try {
      c.set(
        "lease",
        endWith(over, await collect(c.req.raw, arena, { limit, byteLength, signal: over, waitForRoom: true })),
      );
    } catch (cause) {
      throw new HTTPException(statusOf(cause), { message: (cause as Error).message, cause });
    }
    await next();
  });

/** The lease's bytes, a copy of each piece when it is asked for. The lease stays yours; once it ends the stream fails. */
export function streamOf(lease: Lease, chunkBytes = 64 * 1024): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < lease.byteLength) controller.enqueue(lease.bytes.slice(at, at + chunkBytes));
      at += chunkBytes;
      if (at >= lease.byteLength) controller.close();
    },
  });
}
