/** RESP replies as plain values, their strings copied and their leases released. */

import type { Arena } from "cleanslab";
import { type RespLimits, RespParser } from "../../examples/resp/parser.ts";
import { type RespReply, releaseReply } from "../../examples/resp/reply.ts";

export function respParser(limits: RespLimits = {}) {
  return (arena: Arena, given: unknown[]): RespParser => {
    return new RespParser(
      arena,
      (reply) => {
        given.push(plain(reply));
        releaseReply(reply);
      },
      limits,
    );
  };
}

/** What `reply` says, in plain values. */
export function plain(reply: RespReply): unknown {
  const value = plainValue(reply);
  if (reply.attributes === undefined) return value;
  return { value, attributes: reply.attributes.map(([key, each]) => [plain(key), plain(each)]) };
}

function rawOf(raw: Uint8Array | undefined): { raw?: string } {
  return raw === undefined ? {} : { raw: Buffer.from(raw).toString("hex") };
}

function plainValue(reply: RespReply): unknown {
  switch (reply.kind) {
    case "bulk":
      return Buffer.from(reply.lease.bytes);
    case "bulk-error":
      return { error: Buffer.from(reply.lease.bytes).toString() };
    case "verbatim":
      return { format: reply.format, bytes: Buffer.from(reply.lease.bytes), ...rawOf(reply.rawFormat) };
    case "malformed":
      return { malformed: reply.type, bytes: Buffer.from(reply.lease.bytes), message: reply.error.message };
    case "error":
      return { error: reply.text, ...rawOf(reply.raw) };
    case "simple":
      return reply.raw === undefined ? reply.text : { text: reply.text, ...rawOf(reply.raw) };
    case "null":
      return null;
    case "array":
      return reply.items.map(plain);
    case "set":
    case "push":
      return { [reply.kind]: reply.items.map(plain) };
    case "map":
      return { map: reply.pairs.map(([key, value]) => [plain(key), plain(value)]) };
    default:
      return reply.value;
  }
}
