/**
 * Leases past the cap: a fresh buffer on the JavaScript heap, used once. Freshly
 * allocated, so it is zero; detached on release where the mode revokes at all,
 * so a stale view of it dies as early as any.
 */

import { Bytes, type LinearMemory, wipeBytes } from "./abi.js";
import { arenaDisposed } from "./errors.js";
import { type Aftermath, type BlockOwner, Lease, type LeaseOrigin } from "./lease.js";
import { Anchor, type Ledger, type MemoryOwner, Tally } from "./ledger.js";

class HeapBuffer implements BlockOwner, MemoryOwner {
  readonly origin: LeaseOrigin = "heap";
  readonly memory: LinearMemory | undefined = undefined;
  closed = false;
  readonly tally: Tally;
  readonly anchor = new Anchor();
  readonly #buffer: ArrayBuffer;
  readonly #ledger: Ledger;
  readonly #revokes: boolean;

  constructor(buffer: ArrayBuffer, tally: Tally, ledger: Ledger, revokes: boolean) {
    this.#buffer = buffer;
    this.tally = tally;
    this.#ledger = ledger;
    this.#revokes = revokes;
  }

  release(_ptr: number, byteLength: number, written: number): Aftermath | undefined {
    if (this.closed) throw arenaDisposed("release");
    if (this.#buffer.byteLength > 0) {
      wipeBytes(new Bytes(this.#buffer), 0, 0, Math.min(written >>> 0, byteLength));
      if (this.#revokes) detach(this.#buffer);
    }
    this.#ledger.gaveBack(this.tally, byteLength);
    this.#ledger.drop(this.tally);
    // No room, but whoever waits may have waited for this alone: then it was the last lease, and in vain.
    return this.#ledger.afterRelease;
  }

  close(): void {
    this.closed = true;
    detach(this.#buffer);
  }
}

export function acquireFromHeap(byteLength: number, ledger: Ledger, revokes: boolean): Lease {
  const bytes = new Bytes(byteLength);
  const tally = new Tally("heap", 0);
  const owner = new HeapBuffer(bytes.buffer, tally, ledger, revokes);
  ledger.open(tally, owner);
  ledger.took(tally, byteLength, ledger.rowOf(byteLength));
  ledger.overflowed++;
  return new Lease(bytes, owner, 0, byteLength);
}

function detach(buffer: ArrayBuffer): void {
  // A view of length 0 is already all there is to see; and a holder may have transferred the buffer.
  if (buffer.byteLength === 0) return;
  const { transfer } = buffer as { transfer?: (newByteLength: number) => ArrayBuffer };
  if (transfer !== undefined) transfer.call(buffer, 0);
  else structuredClone(buffer, { transfer: [buffer] });
}
