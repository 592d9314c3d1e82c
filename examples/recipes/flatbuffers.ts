/** flatbuffers: a `Builder` that builds in a lease, back to front. */

import type { Arena, Lease } from "cleanslab";
import { Builder, ByteBuffer } from "flatbuffers";
import { encodeInto } from "./encoded.ts";

/** `build` makes the table and calls `builder.finish`. */
export function buildFlatbuffer(arena: Arena, build: (builder: Builder) => void, capacity = 4096): Lease {
  return encodeInto(arena, capacity, (bytes) => {
    const builder = new Builder(1);
    // Its own fields, which it declares private; outgrown, they are its own buffer again.
    Object.assign(builder, { bb: new ByteBuffer(bytes), space: bytes.length });
    build(builder);
    return builder.asUint8Array();
  });
}
