/** A WebSocket server that sends back what it gets: the handshake, and a parser for each connection. */

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import type { Arena, Lease } from "cleanslab";
import { LeaseSink } from "cleanslab/node";
import { encodeClose, encodeFrame } from "./frames.ts";
import { answerHandshake } from "./handshake.ts";
import { type WebSocketMessage, WebSocketParser } from "./parser.ts";
import { WebSocketError } from "./protocol.ts";

export interface EchoOptions {
  arena: Arena;
  maxMessageBytes?: number;
}

/** Not yet listening. Every lease is released when its connection ends, at the latest. */
export function createEchoServer({ arena, maxMessageBytes }: EchoOptions): Server {
  const server = createServer((_, response) => {
    response.writeHead(426, { upgrade: "websocket" }).end("This server speaks WebSocket.\n");
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // First: an upgraded socket has no other listener.
    socket.on("error", () => socket.destroy());
    const { accepted, response } = answerHandshake(request);
    if (!accepted) {
      // An http server's sockets stay half open until the client ends too, and it need not.
      socket.once("finish", () => socket.destroy()).end(response);
      return;
    }
    socket.write(response);
    serve(arena, socket, head, maxMessageBytes);
  });
  return server;
}

interface Client {
  readonly arena: Arena;
  readonly socket: Duplex;
  /** Writes frames without a copy, and returns each block when the socket has done with it. */
  readonly sink: LeaseSink;
}

function serve(arena: Arena, socket: Duplex, head: Buffer, maxMessageBytes: number | undefined): void {
  const client: Client = { arena, socket, sink: new LeaseSink(socket) };
  const parser = new WebSocketParser(arena, (message) => answer(client, message), {
    role: "server",
    ...(maxMessageBytes !== undefined && { maxMessageBytes }),
  });
  const read = (chunk: Uint8Array): void => {
    try {
      parser.write(chunk);
    } catch (error) {
      socket.off("data", read);
      if (error instanceof WebSocketError) sendLast(client, encodeClose(arena, { code: error.closeCode }));
      else socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  socket.on("data", read);
  // An http server's sockets stay half open until this side ends too.
  socket.on("end", () => socket.end());
  socket.on("close", () => parser.destroy());
  if (head.length > 0) read(head);
}

function answer(client: Client, message: WebSocketMessage): void {
  const { arena } = client;
  if (message.kind === "close") {
    sendLast(client, encodeClose(arena, message.code === 1005 ? {} : { code: message.code }));
    return;
  }
  const { kind, lease } = message;
  try {
    if (kind === "pong") return;
    send(client, encodeFrame(arena, { opcode: kind === "ping" ? "pong" : kind, payload: lease.bytes }));
  } finally {
    lease.release();
  }
}

function send({ socket, sink }: Client, frame: Lease): void {
  if (!sink.write(frame) && !socket.isPaused()) socket.pause().once("drain", () => socket.resume());
}

function sendLast({ socket, sink }: Client, frame: Lease): void {
  sink.write(frame);
  socket.end();
}
