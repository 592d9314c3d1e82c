/**
 * WebSocket frames (RFC 6455 §5) in whatever chunks the socket gives, put
 * together to messages. Owns the header that is being read, the message whose
 * fragments are coming and the control frame that came between them. Knows no
 * socket, and answers nothing: pongs and closes are the caller's to send.
 *
 * WS1  The same bytes give the same messages and the same error, however they are
 *      split.
 * WS2  A limit is checked as soon as a length is announced; what it then makes
 *      the parser acquire is bounded by what came (GA2).
 * WS3  After a close frame everything is discarded, as §1.4 has it.
 */

import { isUtf8 } from "node:buffer";
import type { Lease } from "cleanslab";
import { checkedLimit, ParseError } from "../parsing/errors.ts";
import { Gather } from "../parsing/gather.ts";
import { IncrementalParser } from "../parsing/incremental.ts";
import type { BytesSource, HeldBytes } from "../parsing/source.ts";
import {
  applyMask,
  FIN,
  isControl,
  isSendableCloseCode,
  LENGTH,
  MASK,
  MAX_CONTROL_BYTES,
  MAX_HEADER_BYTES,
  NAMES,
  OPCODE,
  type OpcodeName,
  RESERVED,
  WebSocketError,
} from "./protocol.ts";

/** `lease` is exactly the payload, unmasked, and the receiver's to release. */
export type WebSocketMessage<L extends HeldBytes = Lease> =
  /** Text was checked to be UTF-8. */
  | { kind: "text" | "binary"; lease: L }
  | { kind: "ping" | "pong"; lease: L }
  /** `code` is 1005 if the frame had none. `reason` was checked to be UTF-8, and has every NUL and byte order mark. */
  | { kind: "close"; code: number; reason: string };

export interface WebSocketOptions {
  /** Who this side is. A server reads masked frames, a client unmasked ones; anything else is an error. */
  role: "server" | "client";
  /** Bytes of a message, all fragments together. Default 16 MiB. */
  maxMessageBytes?: number;
}

type DataKind = "text" | "binary";
/** What stands for a close frame without a code. */
export const NO_CODE = 1005;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

interface Frame {
  readonly opcode: OpcodeName;
  readonly final: boolean;
  readonly byteLength: number;
  readonly key: Uint8Array | null;
  done: number;
}

export class WebSocketParser<L extends HeldBytes = Lease> extends IncrementalParser {
  readonly #onMessage: (message: WebSocketMessage<L>) => void;
  readonly #masked: boolean;
  readonly #maxMessageBytes: number;
  /** As much as is there of the header: 2 to 14 bytes, so no lease. */
  readonly #header = new Uint8Array(MAX_HEADER_BYTES);
  #headerBytes = 0;
  readonly #data: Gather<L>;
  readonly #control: Gather<L>;
  /** Of the message whose fragments are coming. */
  #dataKind: DataKind | null = null;
  #frame: Frame | null = null;
  #closed = false;

  /**
   * @param onMessage is called with each message and control frame; its lease is its own from then on.
   * @throws ParseError `ERR_INVALID_ARGUMENT` for an option out of range.
   */
  constructor(source: BytesSource<L>, onMessage: (message: WebSocketMessage<L>) => void, options: WebSocketOptions) {
    super();
    const { role } = options;
    if (role !== "server" && role !== "client") {
      throw new ParseError("ERR_INVALID_ARGUMENT", `role is ${String(role)}; pass "server" or "client"`);
    }
    this.#onMessage = onMessage;
    this.#masked = role === "server";
    const { maxMessageBytes } = options;
    this.#maxMessageBytes = checkedLimit("maxMessageBytes", maxMessageBytes, 16 * 1024 * 1024, MAX_CONTROL_BYTES);
    this.#data = new Gather(source);
    this.#control = new Gather(source);
  }

  protected override step(chunk: Uint8Array, at: number): number {
    if (this.#closed) return chunk.length;
    return this.#frame === null ? this.#readHeader(chunk, at) : this.#readPayload(this.#frame, chunk, at);
  }

  protected override missing(): string | null {
    if (this.#frame !== null)
      return `${this.#frame.byteLength - this.#frame.done} bytes short of a ${this.#frame.opcode} frame`;
    if (this.#headerBytes > 0) return "in the middle of a frame header";
    return this.#dataKind === null ? null : `before the last fragment of a ${this.#dataKind} message`;
  }

  protected override releasePartial(): void {
    this.#data.destroy();
    this.#control.destroy();
    this.#frame = null;
    this.#dataKind = null;
    this.#headerBytes = 0;
  }

  #readHeader(chunk: Uint8Array, start: number): number {
    const header = this.#header;
    let at = start;
    let needed = this.#headerBytes < 2 ? 2 : headerBytesOf(header);
    while (at < chunk.length && this.#headerBytes < needed) {
      header[this.#headerBytes++] = chunk[at++] as number;
      if (this.#headerBytes === 2) {
        this.#checkFirstBytes(header[0] as number, header[1] as number);
        needed = headerBytesOf(header);
      }
    }
    if (this.#headerBytes < needed) return at;
    this.#headerBytes = 0;
    this.#beginFrame(needed);
    return at;
  }

  /** All that the first two bytes can have wrong. */
  #checkFirstBytes(first: number, second: number): void {
    const opcode = NAMES[first & OPCODE];
    if ((first & RESERVED) !== 0) throw broken("a reserved bit is set, and no extension was agreed on");
    if (opcode === undefined) throw broken(`opcode ${first & OPCODE} is reserved`);
    if (((second & MASK) !== 0) !== this.#masked) {
      throw broken(this.#masked ? "a client's frame is not masked" : "a server's frame is masked");
    }
    if (isControl(opcode)) {
      if ((first & FIN) === 0) throw broken(`a ${opcode} frame is fragmented`);
      if ((second & LENGTH) > MAX_CONTROL_BYTES) throw broken(`a ${opcode} frame is over ${MAX_CONTROL_BYTES} bytes`);
    } else if (opcode === "continuation") {
      if (this.#dataKind === null) throw broken("a continuation frame continues nothing");
    } else if (this.#dataKind !== null) {
      throw broken(`a ${opcode} frame comes before the ${this.#dataKind} message's last fragment`);
    }
  }

  #beginFrame(headerBytes: number): void {
    const header = this.#header;
    const first = header[0] as number;
    const opcode = NAMES[first & OPCODE] as OpcodeName;
    const byteLength = payloadBytesOf(header);
    const key = this.#masked ? header.slice(headerBytes - 4, headerBytes) : null;
    if (!isControl(opcode)) {
      const messageBytes = this.#data.byteLength + byteLength;
      if (messageBytes > this.#maxMessageBytes) {
        const message = `a message of ${messageBytes} bytes or more is over maxMessageBytes = ${this.#maxMessageBytes}`;
        throw new WebSocketError("ERR_LIMIT", 1009, message);
      }
      if (opcode === "text" || opcode === "binary") this.#dataKind = opcode;
      // Only a message's last frame says how long it is in all.
      if ((first & FIN) !== 0) this.#data.expect(messageBytes);
    } else {
      this.#control.expect(byteLength);
    }
    this.#frame = { opcode, final: (first & FIN) !== 0, byteLength, key, done: 0 };
    if (byteLength === 0) this.#endFrame(this.#frame);
  }

  #readPayload(frame: Frame, chunk: Uint8Array, start: number): number {
    const end = Math.min(chunk.length, start + frame.byteLength - frame.done);
    const gather = isControl(frame.opcode) ? this.#control : this.#data;
    const copied = gather.append(chunk, start, end);
    if (frame.key !== null) applyMask(copied, frame.key, frame.done);
    frame.done += end - start;
    if (frame.done === frame.byteLength) this.#endFrame(frame);
    return end;
  }

  #endFrame({ opcode, final }: Frame): void {
    this.#frame = null;
    if (opcode === "close") {
      this.#endClose();
      return;
    }
    if (opcode === "ping" || opcode === "pong") {
      this.#onMessage({ kind: opcode, lease: this.#control.take() });
      return;
    }
    const kind = this.#dataKind;
    if (!final || kind === null) return;
    if (kind === "text" && !isUtf8(this.#data.bytes)) {
      throw new WebSocketError("ERR_MALFORMED", 1007, `a text message of ${this.#data.byteLength} bytes is not UTF-8`);
    }
    this.#dataKind = null;
    this.#onMessage({ kind, lease: this.#data.take() });
  }

  #endClose(): void {
    const { bytes } = this.#control;
    if (bytes.length === 1) throw broken("a close frame has half a code");
    const code = bytes.length === 0 ? NO_CODE : ((bytes[0] as number) << 8) | (bytes[1] as number);
    if (bytes.length > 0 && !isSendableCloseCode(code)) throw broken(`close code ${code} must not be sent`);
    const reason = bytes.subarray(2);
    if (!isUtf8(reason)) throw new WebSocketError("ERR_MALFORMED", 1007, "a close reason is not UTF-8");
    const text = utf8.decode(reason);
    this.releasePartial();
    this.#closed = true;
    this.#onMessage({ kind: "close", code, reason: text });
  }
}

function headerBytesOf(header: Uint8Array): number {
  const second = header[1] as number;
  const length = second & LENGTH;
  return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + ((second & MASK) === 0 ? 0 : 4);
}

function payloadBytesOf(header: Uint8Array): number {
  const length = (header[1] as number) & LENGTH;
  if (length < 126) return length;
  const view = new DataView(header.buffer);
  if (length === 126) {
    const short = view.getUint16(2);
    if (short < 126) throw broken(`a length of ${short} is written in 16 bits`);
    return short;
  }
  if (view.getUint8(2) >= 0x80) throw broken("a 64-bit length has its first bit set");
  const long = view.getBigUint64(2);
  if (long < 65536n) throw broken(`a length of ${long} is written in 64 bits`);
  // Past 2^53 it is only compared with the limit, and over it in any case.
  return Number(long);
}

function broken(what: string): WebSocketError {
  return new WebSocketError("ERR_MALFORMED", 1002, what);
}
