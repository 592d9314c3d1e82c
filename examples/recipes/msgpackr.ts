/**
 * msgpackr: `useBuffer` makes a lease its target. The target is the module's, not
 * the packer's: whoever packs next, in any file, writes into it, released or not.
 * So it is set back before anything else can run.
 */

import type { Arena, Lease } from "cleanslab";
import { Packr } from "msgpackr";
import { asBuffer, encodeInto } from "./encoded.ts";

/** What msgpackr leaves free at the end of its target before it makes itself a new one. */
const HEADROOM_BYTES = 2048 + 10;

const NOWHERE = Buffer.alloc(0);

export class LeasedPackr {
  readonly #packr = new Packr({ useRecords: false });

  pack(arena: Arena, value: unknown, capacity = 4096): Lease {
    return encodeInto(arena, capacity + HEADROOM_BYTES, (bytes) => {
      // A Buffer: it writes strings with utf8Write.
      this.#packr.useBuffer(asBuffer(bytes));
      try {
        return this.#packr.pack(value);
      } finally {
        // An empty target: the next packing finds no room in it, and makes itself a new one.
        this.#packr.useBuffer(NOWHERE);
      }
    });
  }
}
