/** bson: measured first, then serialized into a lease of just that length. */

import { calculateObjectSize, type Document, serializeWithBufferAndIndex } from "bson";
import type { Arena, Lease } from "cleanslab";

export function encodeBson(arena: Arena, document: Document): Lease {
  return arena.acquireFilled(calculateObjectSize(document), (bytes) => {
    return serializeWithBufferAndIndex(document, bytes, { index: 0 }) + 1;
  });
}
