/** protobufjs: a `Writer` whose buffer is a lease. */

import type { Arena, Lease } from "cleanslab";
import { type Message, type Type, Writer } from "protobufjs";
import { encodeInto } from "./encoded.ts";

export function encodeProtobuf(arena: Arena, type: Type, message: Message<object>, capacity = 4096): Lease {
  return encodeInto(arena, capacity, (bytes) => {
    // Not Writer.create(): in Node that wants a Buffer. A new one each time: it keeps a DataView of its buffer.
    const writer = new Writer();
    writer.buf = bytes;
    return type.encode(message, writer).finish(true);
  });
}
