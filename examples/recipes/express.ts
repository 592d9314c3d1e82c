/** Express 5 and 4: bodies in `request.lease`. */

import type { Arena, Lease } from "cleanslab";
import type { RequestHandler } from "express";
import { leaseBody } from "./incoming.ts";

declare global {
  namespace Express {
    interface Request {
      /** The body, until the response is sent. Only behind `leasedBody`. */
      lease: Lease;
    }
  }
}

/** @param limit of a body, in bytes. */
export function leasedBody(arena: Arena, limit: number): RequestHandler {
  return (request, response, next) => {
    leaseBody(arena, limit, request, response).then((lease) => {
      request.lease = lease;
      next();
    }, next);
  };
}
