/** ws: a server sends a lease without copying it, to one client or to many, and is told when it may be released. */

import type { Lease } from "cleanslab";
import { bufferOf } from "cleanslab/node";
import type { WebSocket } from "ws";

/** Sends `lease`, which ends for the caller now; its block is returned once the socket has written it, or failed. */
export function sendLease(socket: WebSocket, lease: Lease): Promise<void> {
  return lease.releaseAfter(
    new Promise<void>((resolve, reject) => {
      socket.send(lease.bytes, (error) => (error ? reject(error) : resolve()));
    }),
  );
}

/**
 * Sends `lease` to all of `clients` and ends it once each has it, or has closed. A client whose
 * socket took the message at once costs no callback. Behind one that is slow goes a ping, and
 * its callback tells: frames keep their order.
 */
export function broadcastLease(clients: Iterable<WebSocket>, lease: Lease): void {
  let pending = 1;
  const sent = (): void => {
    if (--pending === 0) lease.release();
  };
  // One Buffer for all: ws would make one of the view for each client.
  const message = bufferOf(lease);
  try {
    for (const client of clients) {
      client.send(message);
      if (client.bufferedAmount === 0) continue;
      pending++;
      client.ping(undefined, false, sent);
    }
  } finally {
    sent();
  }
}
