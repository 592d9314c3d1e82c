/** Fastify: bodies in `request.lease`. Its other parsers stay as they are. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Arena, Lease } from "cleanslab";
import type { FastifyRequest } from "fastify";
import fastifyPlugin from "fastify-plugin";
import { leaseBody } from "./incoming.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The body, until the response is sent. Only of a content type that the plugin was given. */
    lease: Lease | null;
  }
}

export interface LeasedBodiesOptions {
  arena: Arena;
  /** Default `application/octet-stream`; `"*"` is everything that no other parser takes. */
  contentType?: string | string[] | RegExp;
}

/** The limit is the route's `bodyLimit`. */
export const leasedBodies = fastifyPlugin<LeasedBodiesOptions>(async (app, options) => {
  const { arena, contentType = "application/octet-stream" } = options;
  const responses = new WeakMap<FastifyRequest, ServerResponse>();
  app.decorateRequest("lease", null);
  app.addHook("onRequest", async (request, reply) => {
    responses.set(request, reply.raw);
  });
  app.addContentTypeParser(contentType, async (request: FastifyRequest, payload: IncomingMessage) => {
    const response = responses.get(request) as ServerResponse;
    request.lease = await leaseBody(arena, request.routeOptions.bodyLimit, request.raw, response, payload);
  });
});
