/** What a RESP parser gives, and how its leases are let go of. */

import type { Lease } from "cleanslab";
import type { ParseError } from "../parsing/errors.ts";
import type { HeldBytes } from "../parsing/source.ts";

export type RespPairs<L extends HeldBytes = Lease> = [key: RespReply<L>, value: RespReply<L>][];

/** A line read as UTF-8, with every NUL and byte order mark that was sent. */
export interface RespText {
  text: string;
  /** The line as sent, if it is not UTF-8; `text` has U+FFFD where it is not. */
  raw?: Uint8Array<ArrayBuffer>;
}

/** One value of RESP2 or RESP3. Leases in it are exactly as long as the string that they hold. */
export type RespReply<L extends HeldBytes = Lease> = {
  /** What the server said about this value (RESP3 `|`). */
  attributes?: RespPairs<L>;
} & (
  | ({ kind: "simple" | "error" } & RespText)
  /** A number where it is safe, else a bigint. */
  | { kind: "integer"; value: number | bigint }
  | { kind: "double"; value: number }
  | { kind: "big-number"; value: bigint }
  | { kind: "boolean"; value: boolean }
  | { kind: "null" }
  | { kind: "bulk" | "bulk-error"; lease: L }
  /** The rule for `format` and `rawFormat` is that of `RespText`. */
  | { kind: "verbatim"; format: string; rawFormat?: Uint8Array<ArrayBuffer>; lease: L }
  | { kind: "array" | "set" | "push"; items: RespReply<L>[] }
  | { kind: "map"; pairs: RespPairs<L> }
  /** A value that is none of its type, such as `#x`: `lease` has what was sent behind the type, or as the string. */
  | { kind: "malformed"; type: string; error: ParseError; lease: L }
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
