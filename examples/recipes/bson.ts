/** bson: measured first, then serialized into a lease of just that length. */

import { calculateObjectSize, type Document, serializeWithBufferAndIndex } from "bson";
import type { Arena } from "cleanslab";
import { type Encoded, encodeInto } from "./encoded.ts";

export function encodeBson(arena: Arena, document: Document): Encoded {
  return encodeInto(arena, calculateObjectSize(document), ({ bytes }) => {
    const last = serializeWithBufferAndIndex(document, bytes, { index: 0 });
    return bytes.subarray(0, last + 1);
  });
}
