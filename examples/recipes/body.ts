/** What the Fastify and Express recipes share: the body of one of Node's requests. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { Arena, Lease } from "cleanslab";
import { collect } from "cleanslab/node";
import { announcedLength, endWith, statusOf, whenOver } from "./incoming.ts";

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
