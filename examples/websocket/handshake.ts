/** The server's side of the opening handshake (RFC 6455 §4.2). Knows no socket. */

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

export interface Handshake {
  readonly accepted: boolean;
  /** The HTTP response to send. It ends the connection unless the handshake was accepted. */
  readonly response: string;
}

/**
 * Answers an upgrade request. Node gives each byte of a header as one character,
 * so a value is ASCII or differs from what it is compared with: no text is decoded.
 */
export function answerHandshake({ method, headers }: IncomingMessage): Handshake {
  if (method !== "GET") return refused("405 Method Not Allowed", "allow: GET\r\n");
  if (!tokens(headers.upgrade).includes("websocket")) return refused("400 Bad Request");
  if (headers["sec-websocket-version"] !== "13")
    return refused("426 Upgrade Required", "sec-websocket-version: 13\r\nupgrade: websocket\r\n");
  const key = headers["sec-websocket-key"];
  if (key === undefined || !KEY.test(key)) return refused("400 Bad Request");
  const accept = createHash("sha1")
    .update(key + GUID)
    .digest("base64");
  return {
    accepted: true,
    response: `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  };
}

/** A list header's values, in lower case. */
function tokens(header: string | undefined): string[] {
  return (header ?? "").toLowerCase().split(/[ \t]*,[ \t]*/);
}

function refused(status: string, headers = ""): Handshake {
  return {
    accepted: false,
    response: `HTTP/1.1 ${status}\r\n${headers}connection: close\r\ncontent-length: 0\r\n\r\n`,
  };
}
