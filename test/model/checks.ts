/**
 * What must hold, and how it is looked for. A finding carries a line of code that fails
 * in the printed program.
 */

import { type Arena, ArenaError, type ArenaErrorCode } from "cleanslab";
import { type Block, bufferOf, type Model, type View } from "./model.js";
import type { Settings } from "./settings.js";

/** The arena did what the model does not. */
export class Finding extends Error {
  constructor(
    message: string,
    /** A line that fails where the finding was made; if the check can be said in one. */
    readonly assertion?: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

let zeros = new Uint8Array(4 * 1024 * 1024);

/** So many zeros. */
export function zeroBytes(byteLength: number): Uint8Array {
  if (byteLength > zeros.length) zeros = new Uint8Array(byteLength);
  return zeros.subarray(0, byteLength);
}

/** Offset of the first byte that is not as expected; -1 if all are. */
export function firstOther(bytes: Uint8Array, expected: Uint8Array): number {
  if (Buffer.compare(bytes, expected) === 0) return -1;
  return bytes.findIndex((byte, at) => byte !== expected[at]);
}

/** `expression` of the printed program has the value that it should have. */
export function expectValue<T extends string | number | undefined>(expression: string, actual: T, wanted: T): void {
  if (actual === wanted) return;
  const assertion = `assert.equal(${expression}, ${JSON.stringify(wanted)});`;
  throw new Finding(`${expression} is ${actual}, not ${wanted}`, assertion);
}

/** Every byte is as expected. */
function expectBytes(name: string, bytes: Uint8Array, expected: Uint8Array): void {
  const other = firstOther(bytes, expected);
  if (other >= 0) expectValue(`${name}[${other}]`, bytes[other], expected[other]);
}

/** `bytes` were handed out just now. @param expected what they must be; zeros if it is `null`. */
export function expectNew(model: Model, block: Block, expected: Uint8Array | null): void {
  const { name, bytes, byteLength, byteOffset } = block;
  expectValue(`${name}.length`, bytes.length, byteLength);
  if (byteLength > 0 && (byteOffset % 16 !== 0 || bytes.byteOffset !== byteOffset)) {
    throw new Finding(`${name} is at ${bytes.byteOffset}`, `assert.equal(${name}.byteOffset % 16, 0);`);
  }
  const wanted = expected ?? zeroBytes(byteLength);
  const isRight = firstOther(bytes, wanted) < 0 || (expected === null && isExplained(model, block));
  if (!isRight) expectBytes(name, bytes, wanted);
  if (byteLength > 0) expectApart(model, block);
}

/** Whether every byte is zero or was written outside every lease: `.buffer` is not covered by the promise. */
function isExplained({ strayed }: Model, { bytes, byteOffset, memory }: Block): boolean {
  // Bytes that came without a lease may be in any memory.
  if (memory === undefined) return strayed.size > 0;
  const strays = strayed.get(memory)?.writes ?? [];
  return bytes.every((byte, at) => {
    const place = byteOffset + at;
    return byte === 0 || strays.some(({ from, to, value }) => value === byte && from <= place && place < to);
  });
}

/** No other live block has any of these bytes, and no view of a released lease shows them. */
function expectApart(model: Model, block: Block): void {
  const buffer = bufferOf(block);
  const start = block.byteOffset;
  const end = start + block.byteLength;
  for (const other of model.blocks) {
    if (other === block || other.byteOffset >= end || other.byteOffset + other.byteLength <= start) continue;
    if (bufferOf(other) !== buffer) continue;
    throw new Finding(
      `${block.name} and ${other.name} share bytes`,
      `${block.name}.fill(1); ${other.name}.fill(2); assert.equal(${block.name}.indexOf(2), -1);`,
    );
  }
  for (const { name, bytes, byteLength } of model.writers) {
    if (bytes.buffer !== buffer || bytes.byteOffset >= end || bytes.byteOffset + byteLength <= start) continue;
    throw new Finding(`${block.name} has bytes of ${name}`, `${block.name}.fill(1);`);
  }
  if (!model.revokes) return;
  for (const { name, bytes } of model.stale) {
    if (bytes.length === 0 || bytes.byteOffset >= end || bytes.byteOffset + bytes.length <= start) continue;
    if (bytes.buffer === buffer) {
      throw new Finding(`${name}, which is stale, shows ${block.name}`, `assert.equal(${name}.length, 0);`);
    }
  }
}

/** Every byte; of a memory that a stranger revoked, too. */
export function expectWhole(block: Block): void {
  const { name, byteLength, byteOffset, memory, isDetached, expected } = block;
  if (isDetached && memory === undefined) return;
  const bytes = isDetached ? new Uint8Array(bufferOf(block), byteOffset, byteLength) : block.bytes;
  expectValue(`${name}.length`, bytes.length, byteLength);
  expectBytes(name, bytes, expected.subarray(0, byteLength));
}

/** A view of a released lease shows what its own lease left, or nothing. */
export function expectStale({ name, bytes, expected }: View): void {
  if (bytes.length > 0) expectBytes(name, bytes, expected);
}

export function expectCounts(model: Model, arena: Arena, { maxBytes }: Settings): void {
  const stats = arena.stats();
  const { liveLeases, liveBytes, waiting, wroteWrongly, hasStrayed } = model;
  const expectCount = (name: keyof typeof stats, wanted: number): void =>
    expectValue(`arena.stats().${name}`, stats[name] as number, wanted);
  expectCount("liveLeases", liveLeases);
  expectCount("liveBytes", liveBytes);
  expectCount("waiting", waiting.length);
  expectCount("leakedLeases", 0);
  if (!wroteWrongly) expectCount("dirtyBlocks", 0);
  if (!hasStrayed) expectCount("strayWrites", 0);
  // The peak: at no moment was it more.
  if (stats.peakReservedBytes > maxBytes || stats.reservedBytes > maxBytes || stats.reservedBytes < 0) {
    throw new Finding(
      `${stats.reservedBytes} bytes are reserved, at most ${stats.peakReservedBytes}, under a cap of ${maxBytes}`,
      "assert(arena.stats().peakReservedBytes <= options.maxBytes);",
    );
  }
}

/** Every invariant of the book and the budget; and the memories that leases lie in are charged. */
export function expectAudit(model: Model, arena: Arena): void {
  const { problems } = arena.audit();
  if (problems.length > 0) throw new Finding(problems.join("; "), "assert.deepEqual(arena.audit().problems, []);");
  const buffers = new Set<ArrayBuffer>();
  for (const { memory } of model.blocks) if (memory !== undefined) buffers.add(memory.buffer);
  let inUse = 0;
  for (const { byteLength } of buffers) inUse += byteLength;
  const { reservedBytes } = arena.stats();
  if (inUse <= reservedBytes) return;
  throw new Finding(
    `${reservedBytes} bytes are reserved, and leases lie in ${inUse}`,
    `assert(arena.stats().reservedBytes >= ${inUse});`,
  );
}

/** `error` is the library's. */
export function expectCode(error: unknown, ...codes: ArenaErrorCode[]): void {
  if (error instanceof Finding) throw error;
  if (error instanceof ArenaError && codes.includes(error.code)) return;
  throw new Finding(`${String(error)} was thrown instead of ${codes.join(" or ")}`, undefined, error);
}

/** There was no room for these lengths at once. Whether there may have been none. */
export function expectNoRoom(model: Model, settings: Settings, byteLengths: readonly number[], error: unknown): void {
  expectCode(error, "ERR_ARENA_EXHAUSTED");
  const total = byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
  if (total > settings.maxBytes || (settings.onExhausted === "throw" && model.liveLeases > 0)) return;
  throw new Finding(`no room for ${total} bytes, with ${model.liveLeases} leases out: ${(error as Error).message}`);
}
