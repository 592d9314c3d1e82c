/** avsc: `type.encode` writes to a position of a Buffer, and says by how much it was too short. */

import type { Type } from "avsc";
import type { Arena, Lease } from "cleanslab";
import { asBuffer, encodeInto } from "./encoded.ts";

export function encodeAvro(arena: Arena, type: Type, value: unknown, capacity = 4096): Lease {
  let shortfall = 0;
  const lease = encodeInto(arena, capacity, (bytes) => {
    const end = type.encode(value, asBuffer(bytes), 0);
    shortfall = end < 0 ? -end : 0;
    return bytes.subarray(0, Math.max(end, 0));
  });
  if (shortfall === 0) return lease;
  lease.release();
  return encodeAvro(arena, type, value, capacity + shortfall);
}
