/**
 * A client's sockets read into leases, through `onread` of `net` and `tls`: the system
 * reads straight into leased memory.
 *
 * S1  One lease is armed: the socket may read into it at any time. It is taken out
 *     before it is handed on, and another armed before the socket reads again.
 * S2  The armed lease is released at `'close'`, when no read can be under way, or
 *     when `connect` gave no socket.
 * S3  A socket reads into leases only once we have it, and so its `'close'`: before,
 *     it gets an array, since one that `connect` lost may read into that for ever.
 */

import type { OnReadOpts, Socket } from "node:net";
import { type Arena, leasesFor } from "../arena.js";
import { chunkLength, requireArena, requireOptions } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease/lease.js";
import { toError } from "./bridge.js";

export interface LeasedReadOptions {
  /** Bytes that one read may bring. Default 64 KiB. A lease that is kept is as long as what came. */
  chunkBytes?: number | undefined;
  /**
   * Takes each lease, which has exactly the bytes that came, and releases it.
   * Returning `false`, and nothing else, pauses the socket: call `socket.resume()`
   * to go on. (TLS still brings what had come before.) If it throws, the lease is
   * released and the socket destroyed with the error. What it returns is not awaited:
   * an async function has to catch its own errors, and to release its lease then.
   */
  onLease: (lease: Lease, socket: Socket) => unknown;
}

export interface BufferedReadOptions {
  /** Bytes that one read may bring. Default 64 KiB. */
  chunkBytes?: number | undefined;
  /**
   * Takes the bytes that came, valid during the call: every read goes into the same
   * memory, which stays warm. Returning `false`, and nothing else, pauses the socket.
   * If it throws, the socket is destroyed with the error.
   */
  onBytes: (bytes: Uint8Array<ArrayBuffer>, socket: Socket) => unknown;
}

/**
 * Reads a client's socket as leases instead of `'data'` events, for those who keep
 * what came. An idle socket keeps a lease of `chunkBytes`: give many idle sockets an
 * arena of their own, apart from short leases.
 *
 *     readSocketLeases((onread) => net.connect({ port, onread }), arena, { onLease }) // or tls
 *
 * If the arena has no room the socket is destroyed with that error. The first read
 * is copied into its lease, all others are not. Only for the connecting side: Node
 * has no public way for a server's sockets.
 *
 * @param connect makes the socket with the `onread` it is given.
 * @returns the socket, for `'end'`, `'error'`, writing and all else.
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, also if `connect` returns no socket; as
 *   `arena.acquire`; what `connect` throws. Nothing is leased then, and a socket that
 *   it made all the same brings nothing.
 */
export function readSocketLeases<S extends Socket>(
  connect: (onread: OnReadOpts) => S,
  arena: Arena,
  options: LeasedReadOptions,
): S {
  requireOptions(options, ["chunkBytes", "onLease"]);
  const { onLease } = options;
  if (typeof onLease !== "function") throw invalidArgument("onLease", onLease, "a function that takes the lease");
  return readInto(connect, arena, options.chunkBytes, false, (lease, read, socket) => {
    if (read.buffer !== lease.bytes.buffer) lease.bytes.set(read);
    lease.resize(read.length);
    return onLease(lease, socket);
  });
}

/**
 * Reads a client's socket through one lease, for parsers: the fastest way to read a
 * socket. Otherwise as `readSocketLeases`.
 *
 *     readSocket((onread) => net.connect({ port, onread }), arena, { onBytes })
 */
export function readSocket<S extends Socket>(
  connect: (onread: OnReadOpts) => S,
  arena: Arena,
  options: BufferedReadOptions,
): S {
  requireOptions(options, ["chunkBytes", "onBytes"]);
  const { onBytes } = options;
  if (typeof onBytes !== "function") throw invalidArgument("onBytes", onBytes, "a function that takes the bytes");
  return readInto(connect, arena, options.chunkBytes, true, (_lease, read, socket) => onBytes(read, socket));
}

/** Takes what came: it lies in the lease, or in the array given out before there was a socket. */
type HandOn = (lease: Lease, read: Uint8Array<ArrayBuffer>, socket: Socket) => unknown;

/** @param keepsArmed whether the next read goes into the same lease. */
function readInto<S extends Socket>(
  connect: (onread: OnReadOpts) => S,
  arena: Arena,
  chunkBytes: number | undefined,
  keepsArmed: boolean,
  handOn: HandOn,
): S {
  requireArena(arena);
  const byteLength = chunkLength(chunkBytes);
  if (typeof connect !== "function") throw invalidArgument("connect", connect, "a function that makes the socket");
  const leases = leasesFor(arena);
  let socket: S | undefined;
  let armed: Lease | null = leases.acquireUnzeroed(byteLength);
  const disarm = (): void => {
    armed?.[Symbol.dispose]();
    armed = null;
  };
  const buffer = (): Uint8Array => {
    if (socket === undefined) return new Uint8Array(byteLength); // S3
    // Behind a destroyed socket nothing is read any more, but Node asks all the same;
    // and whatever it is not given, it goes on with the view that it had before.
    if (socket.destroyed) return new Uint8Array(1);
    try {
      // Asked again without a read between when Node tries the next of several addresses.
      armed ??= leases.acquireUnzeroed(byteLength);
      return armed.bytes;
    } catch (error) {
      socket.destroy(toError(error));
      return new Uint8Array(1);
    }
  };
  const callback = (byteLength: number, read: Uint8Array): boolean => {
    const lease = armed;
    // Only if `connect` lost the socket: one that is not destroyed has a lease armed. S1
    if (lease === null || socket === undefined) return false;
    if (!keepsArmed) armed = null;
    try {
      return handOn(lease, read.subarray(0, byteLength) as Uint8Array<ArrayBuffer>, socket) !== false;
    } catch (error) {
      socket.destroy(toError(error));
      if (!keepsArmed) lease[Symbol.dispose]();
      return false;
    }
  };
  try {
    socket = requireSocket(connect({ buffer, callback }));
  } catch (error) {
    disarm();
    throw error;
  }
  if (socket.closed) disarm();
  else socket.once("close", disarm);
  return socket;
}

function requireSocket<S extends Socket>(socket: S): S {
  if (typeof socket?.once === "function" && typeof socket.destroy === "function") return socket;
  throw invalidArgument("what connect returned", socket, "a function that returns the socket it makes");
}
