/** WebSocket frames to send, header and payload in one lease. */

import { getRandomValues } from "node:crypto";
import type { Lease } from "cleanslab";
import { checkWellFormed, ParseError } from "../parsing/errors.ts";
import type { BytesSource, HeldBytes } from "../parsing/source.ts";
import {
  applyMask,
  FIN,
  isControl,
  isSendableCloseCode,
  MASK,
  MAX_CONTROL_BYTES,
  OPCODES,
  type OpcodeName,
} from "./protocol.ts";

export interface FrameToSend {
  opcode: OpcodeName;
  /** A string is sent as UTF-8. Default: nothing. */
  payload?: Uint8Array | string;
  /** False for all fragments of a message but the last. Default true. */
  final?: boolean;
  /** Four bytes: what a client must send, and a server must not. See `randomMaskingKey`. */
  maskingKey?: Uint8Array;
}

const encoder = new TextEncoder();

/** A key as RFC 6455 §5.3 wants it: from the system's random numbers, new for each frame. */
export function randomMaskingKey(): Uint8Array<ArrayBuffer> {
  return getRandomValues(new Uint8Array(4));
}

/**
 * @returns a lease of exactly the frame, the caller's. A socket may still read
 *   it after `write` has returned: a `LeaseSink` knows when it has done.
 * @throws ParseError `ERR_INVALID_ARGUMENT` for a frame that must not be sent.
 */
export function encodeFrame<L extends HeldBytes = Lease>(source: BytesSource<L>, frame: FrameToSend): L {
  const { opcode, payload = "", final = true, maskingKey } = frame;
  if (typeof payload === "string") checkWellFormed(payload);
  const payloadBytes = typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
  if (isControl(opcode) && (!final || payloadBytes > MAX_CONTROL_BYTES)) {
    throw invalid(`a ${opcode} frame of ${payloadBytes} bytes, final: ${final}; send one frame of at most 125`);
  }
  if (maskingKey !== undefined && maskingKey.length !== 4)
    throw invalid(`a masking key of ${maskingKey.length} bytes; pass 4`);
  const lengthBytes = payloadBytes < 126 ? 0 : payloadBytes < 65536 ? 2 : 8;
  const headerBytes = 2 + lengthBytes + (maskingKey === undefined ? 0 : 4);
  return source.acquireFilled(headerBytes + payloadBytes, (bytes) => {
    bytes[0] = (final ? FIN : 0) | OPCODES[opcode];
    writeLength(bytes, payloadBytes, lengthBytes, maskingKey === undefined ? 0 : MASK);
    const body = bytes.subarray(headerBytes);
    if (typeof payload === "string") encoder.encodeInto(payload, body);
    else body.set(payload);
    if (maskingKey !== undefined) {
      bytes.set(maskingKey, headerBytes - 4);
      applyMask(body, maskingKey, 0);
    }
    return bytes.length;
  });
}

function writeLength(bytes: Uint8Array<ArrayBuffer>, payloadBytes: number, lengthBytes: 0 | 2 | 8, mask: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  bytes[1] = mask | (lengthBytes === 0 ? payloadBytes : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) view.setUint16(2, payloadBytes);
  if (lengthBytes === 8) view.setBigUint64(2, BigInt(payloadBytes));
}

/** A close frame; without a code it is empty. Otherwise as `encodeFrame`. */
export function encodeClose<L extends HeldBytes = Lease>(
  source: BytesSource<L>,
  { code, reason = "", maskingKey }: { code?: number; reason?: string; maskingKey?: Uint8Array } = {},
): L {
  if (code === undefined && reason !== "") throw invalid("a close reason without a code; pass one, such as 1000");
  if (code !== undefined && !isSendableCloseCode(code)) {
    throw invalid(`close code ${code}; pass 1000 to 1003, 1007 to 1014 or 3000 to 4999`);
  }
  checkWellFormed(reason);
  const payload =
    code === undefined ? "" : Buffer.concat([Uint8Array.of(code >> 8, code & 255), encoder.encode(reason)]);
  return encodeFrame(source, { opcode: "close", payload, ...(maskingKey && { maskingKey }) });
}

function invalid(what: string): ParseError {
  return new ParseError("ERR_INVALID_ARGUMENT", what);
}
