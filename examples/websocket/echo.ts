/** A WebSocket server that sends back what it gets: the handshake, and a parser for each connection. */

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import type { Arena } from "cleanslab";
import { LeaseSink } from "cleanslab/node";
import { encodeClose, encodeFrame } from "./frames.ts";
import { answerHandshake } from "./handshake.ts";
import { NO_CODE, type WebSocketMessage, WebSocketParser } from "./parser.ts";
import { WebSocketError } from "./protocol.ts";

type LeasedMessage = Exclude<WebSocketMessage, { kind: "close" }>;

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

function serve(arena: Arena, socket: Duplex, head: Buffer, maxMessageBytes: number | undefined): void {
  // Writes frames without a copy, and returns each block when the socket has done with it.
  const sink = new LeaseSink(socket);
  const close = (code: number): void => {
    sink.write(encodeClose(arena, code === NO_CODE ? {} : { code }));
    socket.end();
  };
  const answer = (message: WebSocketMessage): void => {
    if (message.kind === "close") close(message.code);
    else if (!echo(arena, sink, message) && !socket.isPaused()) socket.pause().once("drain", () => socket.resume());
  };
  const parser = new WebSocketParser(arena, answer, {
    role: "server",
    ...(maxMessageBytes !== undefined && { maxMessageBytes }),
  });
  const read = (chunk: Uint8Array): void => {
    try {
      parser.write(chunk);
    } catch (error) {
      socket.off("data", read);
      if (error instanceof WebSocketError) close(error.closeCode);
      else socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  socket.on("data", read);
  // An http server's sockets stay half open until this side ends too.
  socket.on("end", () => socket.end());
  socket.on("close", () => parser.destroy());
  if (head.length > 0) read(head);
}

/** @returns false if the socket has more to write than it takes for now. */
function echo(arena: Arena, sink: LeaseSink, { kind, lease }: LeasedMessage): boolean {
  try {
    if (kind === "pong") return true;
    return sink.write(encodeFrame(arena, { opcode: kind === "ping" ? "pong" : kind, payload: lease.bytes }));
  } finally {
    lease.release();
  }
}
