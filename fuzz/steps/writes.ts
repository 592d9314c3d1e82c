/** Writes where the writer has no business: through stale views, and through `.buffer`. */

import { STALE_BYTE } from "../marks.js";
import { PAGE_BYTES, STEPS, type Step } from "../program.js";
import type { World } from "../world.js";
import { pickFrom } from "./step.js";

/** Where nothing is revoked, a stale write reaches whom it reaches: that is not promised, and not tried. */
export function staleWrite(world: World, { pick }: Step): void {
  const stale = pickFrom(world.stale, pick);
  if (stale === undefined) return;
  const { serial, bytes, part, data } = stale;
  world.operations++;
  world.say(`bytes${serial}[0] = bytes${serial}[bytes${serial}.length >> 1] = ${STALE_BYTE};`);
  bytes[0] = STALE_BYTE;
  part[0] = STALE_BYTE;
  if (bytes.length > 0) {
    data.setUint8(bytes.length - 1, STALE_BYTE);
    world.say(`bytes${serial}[bytes${serial}.length - 1] = ${STALE_BYTE};`);
    return;
  }
  if (part.length > 0) throw world.found("part of a dead view is alive");
  if (!throwsTypeError(() => data.getUint8(0))) throw world.found("a DataView of dead bytes is alive");
  const isDead = throwsTypeError(() => bytes.set([1]));
  if (!isDead) throw world.found("a dead view takes bytes", `assert.throws(() => bytes${serial}.set([1]), TypeError)`);
}

function throwsTypeError(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch (error) {
    return error instanceof TypeError;
  }
}

/** Through `.buffer` any view reaches free memory of its segment too: that must not matter either. */
export function bufferWrite(world: World, { pick }: Step): void {
  const from = pickFrom<{ serial: number; bytes: Uint8Array<ArrayBuffer> }>(
    pick % 2 === 0 ? world.stale : world.live,
    pick,
  );
  if (from === undefined || !world.revokes || from.bytes.length === 0) return;
  const { buffer, byteOffset } = from.bytes;
  // Blocks of segments start behind the bookkeeping; who starts at 0 has the memory for himself.
  const first = byteOffset === 0 ? from.bytes.length : PAGE_BYTES;
  const target = first + ((Math.abs(pick) * 7919) % Math.max(1, buffer.byteLength - first));
  const isLive = world.live.some(
    (live) => live.buffer === buffer && target >= live.start && target < live.start + live.byteLength,
  );
  if (isLive || target >= buffer.byteLength) return;
  world.operations++;
  world.say(`new Uint8Array(bytes${from.serial}.buffer)[${target}] = ${STALE_BYTE};`);
  new Uint8Array(buffer)[target] = STALE_BYTE;
}

/** A slab record, and what one `damage` changes at the most. */
const RECORDS = 128;
const RECORD_BYTES = 32;

/**
 * Over the bookkeeping of the segment that a live lease lies in: at `byteLength`,
 * which is an address here, what `pick` and the way make of it. A lease with a
 * memory of its own has no bookkeeping; who writes behind it must change nothing.
 */
export function damage(world: World, { way, byteLength, pick }: Step): void {
  const live = pickFrom(
    world.live.filter(({ lease, bytes }) => lease?.memory !== undefined && bytes.length > 0),
    pick,
  );
  const memory = live?.lease?.memory;
  if (live === undefined || memory === undefined) return;
  const { serial, buffer, start } = live;
  const isInSegment = start >= PAGE_BYTES;
  const first = isInSegment ? 0 : live.byteLength;
  const room = (isInSegment ? PAGE_BYTES : buffer.byteLength) - first - RECORD_BYTES;
  if (room <= 0) return;
  const at = first + (byteLength % room);
  const seed = Math.abs(pick);
  const how = STEPS.damage[way];
  const all = new Uint8Array(buffer);
  const target = `new Uint8Array(bytes${serial}.buffer)`;
  world.operations++;
  if (isInSegment) world.damage(memory);
  if (how === "copy" && isInSegment) {
    // Of another record, or of anything: what is copied makes sense by itself.
    const from = seed % 2 === 0 ? (seed * 7919) % room : RECORDS + RECORD_BYTES * ((seed >> 1) % 64);
    all.copyWithin(at, from, from + RECORD_BYTES);
    world.say(`${target}.copyWithin(${at}, ${from}, ${from + RECORD_BYTES});`);
  } else if (how === "fill") {
    const value = seed % 2 === 0 ? 0 : 0xff;
    all.fill(value, at, at + RECORD_BYTES);
    world.say(`${target}.fill(${value}, ${at}, ${at + RECORD_BYTES});`);
  } else {
    const values = how === "number" ? [seed & 0xff, (seed >> 8) & 0xff] : randomBytes(seed + byteLength);
    all.set(values, at);
    world.say(`${target}.set([${values}], ${at});`);
  }
}

/** One to eight of them, the same for the same seed. */
function randomBytes(seed: number): number[] {
  let state = seed >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
  return Array.from({ length: 1 + (next() & 7) }, next);
}
