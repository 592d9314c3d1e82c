/** Messages that grow as they are written, and what becomes of them. */

import { ArenaError, type ArenaErrorCode, type ByteWriter, type Lease } from "cleanslab";
import { expectNoRoom } from "../checks.js";
import { STEPS, type Step } from "../program.js";
import type { World } from "../world.js";
import { CONTENT, CONTENT_MARK } from "./step.js";

/** In so many pieces at most: each may move the message to a longer block. */
const PIECES = 6;

/** A message of `byteLength` bytes in pieces of every kind; taken, released or disposed of. */
export function write(world: World, { way, byteLength, pick }: Step): void {
  const serial = world.nextSerial();
  const { arena } = world;
  const name = `writer${serial}`;
  const first = Math.abs(pick) % 200;
  const opened = world.attempt(name, `arena.writer(${first})`, () => arena.writer(first), world.refusals);
  if (opened instanceof ArenaError) {
    expectNoRoom(world, first, `arena.writer(${first})`);
    return;
  }
  // Growing ends a lease, which may be the one to find the damage out.
  const refusals: readonly ArenaErrorCode[] =
    world.damaged.size > 0 ? [...world.refusals, "ERR_ARENA_CORRUPT"] : world.refusals;
  const attempt = <T>(code: string, call: () => T, called = ""): T | ArenaError =>
    world.attempt(called, `${name}${code}`, call, refusals);
  const isWhole = writePieces(opened, byteLength, 1 + (Math.abs(pick) % PIECES), attempt);
  // While someone waits, what growing frees may be leased to him unseen, and the bytes that the writer has are not known from the sum.
  const how = world.waiting.length > 0 ? "release" : STEPS.write[way];
  if (isWhole && how === "take") {
    const lease = attempt(".take()", () => opened.take(), `lease${serial}`);
    if (!(lease instanceof ArenaError)) adoptWritten(world, serial, byteLength, lease);
  } else if (isWhole && how === "release") {
    attempt(".release()", () => opened.release());
  }
  attempt("[Symbol.dispose]()", () => opened[Symbol.dispose]());
  if (!opened.released) throw world.found("a writer has not ended", `assert(${name}.released)`);
}

/** What was taken is a lease like any other, but counted with the length that the writer had asked for. */
function adoptWritten(world: World, serial: number, byteLength: number, lease: Lease): void {
  const live = world.adopt(serial, byteLength, lease, CONTENT_MARK, true);
  if (live === null) return;
  live.countedBytes += world.arena.stats().liveBytes - world.liveBytes;
  if (live.countedBytes >= byteLength) return;
  throw world.found(`a message of ${byteLength} bytes is counted as ${live.countedBytes}`);
}

/** False if one was refused. */
function writePieces(
  writer: ByteWriter,
  byteLength: number,
  pieces: number,
  attempt: <T>(code: string, call: () => T) => T | ArenaError,
): boolean {
  for (let piece = 0, left = byteLength; piece < pieces; piece++) {
    const length = piece === pieces - 1 ? left : left >> 1;
    left -= length;
    const result = writePiece(writer, length, piece, attempt);
    if (result instanceof ArenaError) return false;
  }
  return true;
}

function writePiece(
  writer: ByteWriter,
  length: number,
  piece: number,
  attempt: <T>(code: string, call: () => T) => T | ArenaError,
): unknown {
  const bytes = `new Uint8Array(${length}).fill(${CONTENT})`;
  if (piece % 4 === 1) {
    const text = "\x07".repeat(length);
    return attempt(`.writeString("\\x07".repeat(${length}))`, () => writer.writeString(text));
  }
  if (piece % 4 === 2) {
    const at = attempt(`.reserve(${length})`, () => writer.reserve(length));
    if (at instanceof ArenaError) return at;
    return attempt(`.set(${bytes}, ${at})`, () => writer.set(new Uint8Array(length).fill(CONTENT), at));
  }
  if (piece % 4 === 3 && length === 4) {
    return attempt(`.writeUint32(${CONTENT_MARK})`, () => writer.writeUint32(CONTENT_MARK));
  }
  return attempt(`.writeBytes(${bytes})`, () => writer.writeBytes(new Uint8Array(length).fill(CONTENT)));
}
