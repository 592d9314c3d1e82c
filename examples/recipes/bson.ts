/**
 * bson: serialized by the library into its own scratch buffer, and copied from there into a lease.
 *
 * `calculateObjectSize` is not asked. It is wrong for some documents, such as one
 * with a typed array whose elements are longer than a byte.
 */

import { type Document, serializeWithBufferAndIndex } from "bson";
import type { Arena, Lease } from "cleanslab";
import { EncodedLengthError } from "./encoded.ts";

/** What the library takes for the buffer to copy the finished document to. It keeps the document's place instead. */
class Destination extends Uint8Array {
  /** A view of the scratch buffer: valid until the next document is serialized. */
  serialized: Uint8Array | null = null;

  override set(serialized: Uint8Array): void {
    this.serialized = serialized;
  }
}

/** @throws EncodedLengthError for a document longer than the library's scratch buffer, which the library itself cuts off. */
export function encodeBson(arena: Arena, document: Document): Lease {
  const destination = new Destination(0);
  const byteLength = serializeWithBufferAndIndex(document, destination, { index: 0 }) + 1;
  const { serialized } = destination;
  if (serialized?.length === byteLength) return arena.copyOf(serialized);
  throw new EncodedLengthError(
    `bson wrote ${serialized?.length ?? 0} of the document's ${byteLength} bytes; raise setInternalBufferSize, which is 17 MiB, above the document's length`,
  );
}
