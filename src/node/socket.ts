/**
 * Sockets read as leases, through `onread` of `net` and `tls`: the system reads
 * straight into leased memory.
 *
 * S1  One lease is armed: the socket may read into it at any time. It is taken out
 *     before it is handed on, and another armed before the socket reads again.
 * S2  The armed lease is released at `'close'`, when no read can be under way, or
 *     when there never was a socket.
 */

import type { OnReadOpts, Socket } from "node:net";
import type { Arena } from "../arena.js";
import { chunkLength, requireOptions } from "../collector.js";
import { invalidArgument } from "../errors.js";
import { Lease } from "../lease.js";

const DEFAULT_CHUNK_BYTES = 64 * 1024;

export interface LeasedReadOptions {
  /**
   * Bytes that one read may bring; each lease keeps a block of this length until it
   * is released, however little came. Default 64 KiB.
   */
  chunkBytes?: number | undefined;
  /**
   * Takes each lease, which has exactly the bytes that came, and releases it.
   * Returning `false`, and nothing else, pauses the socket: call `socket.resume()`
   * to go on. (TLS still brings what had come before.) If it throws, the lease is released and the socket destroyed with the error.
   */
  onLease: (lease: Lease, socket: Socket) => unknown;
}

/**
 * Reads a client's socket as leases instead of `'data'` events:
 *
 *     readSocketLeases((onread) => net.connect({ port, onread }), arena, { onLease })
 *     readSocketLeases((onread) => tls.connect({ port, onread }), arena, { onLease })
 *
 * If the arena has no room the socket is destroyed with that error. Only for the
 * connecting side: Node has no public way for a server's sockets.
 *
 * @param connect makes the socket with the `onread` it is given.
 * @returns the socket, for `'end'`, `'error'`, writing and all else.
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, as `arena.acquire`; what `connect`
 *   throws. Nothing is leased then.
 */
export function readSocketLeases<S extends Socket>(
  connect: (onread: OnReadOpts) => S,
  arena: Arena,
  options: LeasedReadOptions,
): S {
  requireOptions(options);
  const { onLease } = options;
  const chunkBytes = chunkLength(options.chunkBytes, DEFAULT_CHUNK_BYTES);
  if (typeof connect !== "function") throw invalidArgument("connect", connect, "a function that makes the socket");
  if (typeof onLease !== "function") throw invalidArgument("onLease", onLease, "a function that takes the lease");

  let socket: S | undefined;
  let armed: Lease | null = null;
  const disarm = (): void => {
    armed?.[Symbol.dispose]();
    armed = null;
  };
  const buffer = (): Uint8Array => {
    // Behind a destroyed socket nothing is read any more, but Node asks all the same;
    // and whatever it is not given, it goes on with the view that it had before.
    if (socket?.destroyed) return new Uint8Array(1);
    try {
      // Asked again without a read between when Node tries the next of several addresses.
      armed ??= arena.acquire(chunkBytes);
      return armed.bytes;
    } catch (error) {
      if (socket === undefined) throw error;
      socket.destroy(error as Error);
      return new Uint8Array(1);
    }
  };
  const callback = (byteLength: number): boolean => {
    const lease = armed;
    // Never: a socket that is not destroyed has one armed. S1
    if (lease === null || socket === undefined) return false;
    armed = null;
    return handOn(lease, byteLength, socket, onLease);
  };
  try {
    socket = connect({ buffer, callback });
  } catch (error) {
    disarm();
    throw error;
  }
  socket.once("close", disarm);
  return socket;
}

function handOn(lease: Lease, byteLength: number, socket: Socket, onLease: LeasedReadOptions["onLease"]): boolean {
  let exact = lease;
  try {
    exact = Lease.shorten(lease, byteLength);
    return onLease(exact, socket) !== false;
  } catch (error) {
    exact[Symbol.dispose]();
    socket.destroy(error instanceof Error ? error : new Error(String(error), { cause: error }));
    return false;
  }
}
