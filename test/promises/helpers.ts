/** Stale views of every kind. */

import type { Lease } from "cleanslab";

/** Views of a lease of at least 16 bytes, made in every way there is. */
export function viewsOf(lease: Lease): ArrayBufferView[] {
  const { bytes } = lease;
  return [
    bytes,
    bytes.subarray(0, 8),
    bytes.subarray(8),
    lease.view(DataView),
    lease.view(Int8Array),
    new Uint8ClampedArray(bytes.buffer, bytes.byteOffset, bytes.length),
    new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2),
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  ];
}

/** Fills the bytes under `view`, as long as it has any. */
export function scribble(view: ArrayBufferView, value = 0xee): void {
  let byteLength: number;
  try {
    byteLength = view.byteLength;
  } catch {
    return; // a dead DataView
  }
  if (byteLength > 0) new Uint8Array(view.buffer, view.byteOffset, byteLength).fill(value);
}

/** Whether `view` has no bytes any more. */
export function isDead(view: ArrayBufferView): boolean {
  try {
    return view.byteLength === 0;
  } catch {
    return true;
  }
}
