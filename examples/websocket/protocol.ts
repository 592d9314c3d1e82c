/** The names and rules of RFC 6455 that both directions share. */

import { ParseError, type ParseErrorCode } from "../parsing/errors.ts";

/**
 * ```
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-+-+-------+-+-------------+-------------------------------+
 * |F|R|R|R| opcode|M| length or   |  length, 16 or 64 bits,       |
 * |I|S|S|S|       |A| 126 or 127  |  if 126 or 127                |
 * |N|V|V|V|       |S|             |                               |
 * +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
 * |  masking key, 4 bytes, if MASK is set; then the payload       |
 * +---------------------------------------------------------------+
 * ```
 */
export const FIN = 0x80;
export const RESERVED = 0x70;
export const OPCODE = 0x0f;
export const MASK = 0x80;
export const LENGTH = 0x7f;
export const MAX_HEADER_BYTES = 14;
export const MAX_CONTROL_BYTES = 125;

export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type OpcodeName = keyof typeof OPCODES;

export const NAMES: readonly (OpcodeName | undefined)[] = Array.from({ length: 16 }, (_, code) =>
  (Object.keys(OPCODES) as OpcodeName[]).find((name) => OPCODES[name] === code),
);

export function isControl(name: OpcodeName): boolean {
  return OPCODES[name] >= OPCODES.close;
}

/** Whether a close frame may carry `code` (RFC 6455 §7.4 and the registry it opens). */
export function isSendableCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** What broke, and the code to close the connection with. */
export class WebSocketError extends ParseError {
  /** 1002 protocol error, 1007 no UTF-8, 1009 too long. */
  readonly closeCode: 1002 | 1007 | 1009;

  constructor(code: ParseErrorCode, closeCode: 1002 | 1007 | 1009, message: string) {
    super(code, message);
    this.closeCode = closeCode;
  }

  override get name(): string {
    return "WebSocketError";
  }
}

/**
 * Masks or unmasks `bytes` in place: the same thing. `phase` is where in the
 * frame's payload they begin. Four bytes at a time where they are aligned.
 */
export function applyMask(bytes: Uint8Array<ArrayBuffer>, key: Uint8Array, phase: number): void {
  const { length } = bytes;
  const words = length < 32 ? 0 : (length - (-bytes.byteOffset & 3)) >>> 2;
  let at = 0;
  if (words > 0) {
    const first = -bytes.byteOffset & 3;
    for (; at < first; at++) maskByte(bytes, at, key, phase);
    const turned = Uint8Array.from({ length: 4 }, (_, each) => key[(phase + at + each) & 3] as number);
    const mask = new Uint32Array(turned.buffer)[0] as number;
    const view = new Uint32Array(bytes.buffer, bytes.byteOffset + at, words);
    for (let word = 0; word < words; word++) view[word] = (view[word] as number) ^ mask;
    at += words * 4;
  }
  for (; at < length; at++) maskByte(bytes, at, key, phase);
}

function maskByte(bytes: Uint8Array, at: number, key: Uint8Array, phase: number): void {
  bytes[at] = (bytes[at] as number) ^ (key[(phase + at) & 3] as number);
}
