/** What a RESP parser gives, and how its leases are let go of. */

import type { Lease } from "cleanslab";
import type { HeldBytes } from "../parsing/source.ts";

export type RespPairs<L extends HeldBytes = Lease> = [key: RespReply<L>, value: RespReply<L>][];

/** One value of RESP2 or RESP3. Leases in it are exactly as long as the string that they hold. */
export type RespReply<L extends HeldBytes = Lease> = {
  /** What the server said about this value (RESP3 `|`). */
  attributes?: RespPairs<L>;
} & (
  | { kind: "simple" | "error"; text: string }
  /** A number where it is safe, else a bigint. */
  | { kind: "integer"; value: number | bigint }
  | { kind: "double"; value: number }
  | { kind: "big-number"; value: bigint }
  | { kind: "boolean"; value: boolean }
  | { kind: "null" }
  | { kind: "bulk" | "bulk-error"; lease: L }
  | { kind: "verbatim"; format: string; lease: L }
  | { kind: "array" | "set" | "push"; items: RespReply<L>[] }
  | { kind: "map"; pairs: RespPairs<L> }
);

/** Releases every lease in `reply`. Each must still be held. */
export function releaseReply<L extends HeldBytes>(reply: RespReply<L>): void {
  if (reply.attributes !== undefined) releasePairs(reply.attributes);
  if ("lease" in reply) reply.lease.release();
  else if ("items" in reply) for (const item of reply.items) releaseReply(item);
  else if ("pairs" in reply) releasePairs(reply.pairs);
}

export function releasePairs<L extends HeldBytes>(pairs: RespPairs<L>): void {
  for (const [key, value] of pairs) {
    releaseReply(key);
    releaseReply(value);
  }
}
