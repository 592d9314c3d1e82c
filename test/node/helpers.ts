/** Real servers and peers for the tests of cleanslab/node. */

import { once } from "node:events";
import { createServer, type Server as HttpServer, type RequestListener } from "node:http";
import net, { type AddressInfo, type Server, type Socket } from "node:net";
import type { Arena } from "cleanslab";
import { expectSound } from "../helpers.ts";

export interface Served {
  port: number;
  /** Ends the server and every connection. */
  close(): Promise<void>;
}

/** Bytes in which every place can be told from its neighbours. */
export function pattern(byteLength: number, seed = 1): Buffer<ArrayBuffer> {
  const bytes = Buffer.alloc(byteLength);
  for (let each = 0, state = seed; each < byteLength; each++) {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    bytes[each] = state >> 16;
  }
  return bytes;
}

export async function listen(server: Server | HttpServer): Promise<Served> {
  const sockets = new Set<Socket>();
  const connected = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  };
  server.on("connection", connected);
  server.on("secureConnection", connected);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

export function serveHttp(listener: RequestListener): Promise<Served> {
  return listen(createServer(listener));
}

export function serveTcp(onSocket: (socket: Socket) => void): Promise<Served> {
  return listen(net.createServer(onSocket));
}

/** All leases are back, and every invariant holds. */
export function expectDrained(arena: Arena): void {
  arena.assertDrained();
  expectSound(arena);
}
