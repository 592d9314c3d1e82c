/**
 * Freeing what Node read, once it was copied. Each 64 KiB that Node reads otherwise
 * stays until a collection, and the next reads get cold memory.
 */

import { bufferByteLength } from "../builtins.js";
import { checkBoolean } from "../checks.js";

/** Of functions that copy what Node read. */
export interface FreeChunksOption {
  /**
   * Gives the memory of each chunk back as soon as it was copied, with
   * `chunk.buffer.transfer(0)`. Default false. On Node 22 and later, and only a chunk
   * that owns its whole buffer; elsewhere it does nothing.
   *
   * **You vouch that nobody else has seen the chunk.** Nobody can check that. Code
   * that may hold a chunk, and finds it empty then: a `'data'` listener added before
   * this one (`once('data')` to peek at a header); code that put a chunk back with
   * `unshift`; a monitoring tool that wrapped the stream's `on` or `push`. Not for
   * HTTP/2, whose chunks are slices of what other streams read.
   */
  freeChunks?: boolean | undefined;
}

const { transfer } = ArrayBuffer.prototype as { transfer?: (this: ArrayBuffer, byteLength: number) => ArrayBuffer };

/** Node 22 and later; Bun and Deno own their chunks in other ways. */
const canFree =
  transfer !== undefined &&
  !("Bun" in globalThis) &&
  !("Deno" in globalThis) &&
  Number(process.versions.node.split(".")[0]) >= 22;

/** Shorter chunks are not worth the call. They are copied out of Node's pool anyway. */
const SHORTEST_BYTES = 8192;

/** Frees a chunk that was copied, or does nothing. */
export type FreeChunk = (chunk: Uint8Array) => void;

const keep: FreeChunk = () => {};

const free: FreeChunk = (chunk) => {
  const { buffer } = chunk;
  // A slice shares its buffer with other messages.
  if (chunk.length < SHORTEST_BYTES || !(buffer instanceof ArrayBuffer)) return;
  if (chunk.byteOffset === 0 && bufferByteLength(buffer) === chunk.length) transfer?.call(buffer, 0);
};

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `freeChunks` is no boolean. */
export function chunkFreer(freeChunks: boolean | undefined, stream?: object): FreeChunk {
  checkBoolean("freeChunks", freeChunks);
  return freeChunks === true && canFree && !isHttp2(stream) ? free : keep;
}

/** Duck-typed: an HTTP/2 stream, or a request or response of the compatibility API. */
function isHttp2(stream: object | undefined): boolean {
  const { session, stream: inner } = Object(stream) as { session?: unknown; stream?: { session?: unknown } };
  return session !== undefined || inner?.session !== undefined;
}
