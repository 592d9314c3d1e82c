/** ws: a server sends a lease without copying it, and the callback says when it may be released. */

import type { Lease } from "cleanslab";
import type { WebSocket } from "ws";

/** Sends `lease`, which ends for the caller now; its block is returned once the socket has written it, or failed. */
export function sendLease(socket: WebSocket, lease: Lease): Promise<void> {
  return lease.releaseAfter(
    new Promise<void>((resolve, reject) => {
      socket.send(lease.bytes, (error) => (error ? reject(error) : resolve()));
    }),
  );
}
