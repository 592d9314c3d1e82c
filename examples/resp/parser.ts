/**
 * RESP2 and RESP3, the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/),
 * in whatever chunks the socket gives. Owns a partial line, a partial string and
 * the aggregates that are not full yet. Knows no socket.
 *
 * RP1  The same bytes give the same replies and the same error code, however they
 *      are split.
 * RP2  Limits are checked when a length is announced, before anything is acquired.
 */

import type { Lease } from "cleanslab";
import { checkedLimit, ParseError } from "../parsing/errors.ts";
import { Gather } from "../parsing/gather.ts";
import { IncrementalParser } from "../parsing/incremental.ts";
import type { BytesSource, HeldBytes } from "../parsing/source.ts";
import { ascii, readBigNumber, readDouble, readInteger, readLength } from "./numbers.ts";
import { type RespPairs, type RespReply, releasePairs, releaseReply } from "./reply.ts";

export interface RespLimits {
  /** Bytes of all strings in one reply. Default 512 MiB, what Redis allows for one string. */
  maxReplyBytes?: number;
  /** Bytes of a line: simple strings, errors, numbers. Default 64 KiB. */
  maxLineBytes?: number;
  /** Values in one reply, at all depths. Default 1 048 576. */
  maxItems?: number;
  /** Aggregates within aggregates. Default 32. */
  maxDepth?: number;
}

const CR = 13;
const LF = 10;
const utf8 = new TextDecoder();

/** A string whose length was announced. */
interface Blob {
  readonly kind: "bulk" | "bulk-error" | "verbatim";
  readonly byteLength: number;
  /** The first four bytes of a verbatim string: a format and a colon. */
  prefix: string;
}

/** An aggregate that is not full yet. A map's and an attribute's items are keys and values in turn. */
interface Frame<L extends HeldBytes> {
  readonly kind: "array" | "set" | "push" | "map" | "attribute";
  readonly items: RespReply<L>[];
  readonly attributes: RespPairs<L> | null;
  left: number;
}

const BLOBS: Record<string, Blob["kind"]> = { $: "bulk", "!": "bulk-error", "=": "verbatim" };
const AGGREGATES: Record<string, Frame<never>["kind"]> = {
  "*": "array",
  "~": "set",
  ">": "push",
  "%": "map",
  "|": "attribute",
};

export class RespParser<L extends HeldBytes = Lease> extends IncrementalParser {
  readonly #onReply: (reply: RespReply<L>) => void;
  readonly #maxReplyBytes: number;
  readonly #maxLineBytes: number;
  readonly #maxItems: number;
  readonly #maxDepth: number;
  readonly #line: Gather<L>;
  readonly #body: Gather<L>;
  readonly #stack: Frame<L>[] = [];
  #blob: Blob | null = null;
  /** Bytes of the CR LF behind a string that have come. */
  #terminator = 0;
  /** Waiting for the value they belong to. */
  #attributes: RespPairs<L> | null = null;
  #replyBytes = 0;
  #replyItems = 0;

  /**
   * @param onReply is called with each complete reply; all leases in it are its
   *   own from then on: `releaseReply(reply)`, or each by itself.
   * @throws ParseError `ERR_INVALID_ARGUMENT` for a limit out of range.
   */
  constructor(source: BytesSource<L>, onReply: (reply: RespReply<L>) => void, limits: RespLimits = {}) {
    super();
    this.#onReply = onReply;
    this.#maxReplyBytes = checkedLimit("maxReplyBytes", limits.maxReplyBytes, 512 * 1024 * 1024);
    this.#maxLineBytes = checkedLimit("maxLineBytes", limits.maxLineBytes, 64 * 1024, 32);
    this.#maxItems = checkedLimit("maxItems", limits.maxItems, 1024 * 1024);
    this.#maxDepth = checkedLimit("maxDepth", limits.maxDepth, 32);
    this.#line = new Gather(source);
    this.#body = new Gather(source);
  }

  protected override consume(chunk: Uint8Array): void {
    const { length } = chunk;
    let at = 0;
    while (at < length && this.writing) {
      at = this.#blob === null ? this.#readLine(chunk, at) : this.#readBlob(this.#blob, chunk, at);
    }
  }

  protected override missing(): string | null {
    if (this.#blob !== null) return `in a string of ${this.#blob.byteLength} bytes`;
    if (this.#line.byteLength > 0) return "in the middle of a line";
    const frame = this.#stack.at(-1);
    if (frame !== undefined) return `${frame.left} values short of its ${frame.kind}`;
    return this.#attributes === null ? null : "behind attributes without their value";
  }

  protected override releasePartial(): void {
    this.#line.destroy();
    this.#body.destroy();
    this.#blob = null;
    for (const { items, attributes } of this.#stack.splice(0)) {
      for (const item of items) releaseReply(item);
      if (attributes !== null) releasePairs(attributes);
    }
    if (this.#attributes !== null) releasePairs(this.#attributes);
    this.#attributes = null;
  }

  /** Reads a line, or what there is of it. The limit ends the search, so that every split finds the same. */
  #readLine(chunk: Uint8Array, start: number): number {
    const held = this.#line.byteLength;
    if (held > 0 && this.#line.bytes[held - 1] === CR) return this.#endHeldLine(chunk, start);
    const limit = Math.min(chunk.length, start + this.#maxLineBytes - held + 1);
    let end = start;
    while (end < limit && chunk[end] !== CR && chunk[end] !== LF) end++;
    if (held + end - start > this.#maxLineBytes)
      throw this.#limit(`a line is over maxLineBytes = ${this.#maxLineBytes}`);
    if (end === chunk.length || end + 1 === chunk.length) {
      if (chunk[end] === LF) throw this.#malformed("a line ends without CR");
      this.#line.append(chunk, start, chunk.length);
      return chunk.length;
    }
    if (chunk[end] !== CR || chunk[end + 1] !== LF) throw this.#malformed("a line has a CR or LF of its own");
    if (held === 0) {
      this.#parseLine(chunk, start, end);
      return end + 2;
    }
    this.#line.append(chunk, start, end + 1);
    return this.#endHeldLine(chunk, end + 1);
  }

  #endHeldLine(chunk: Uint8Array, at: number): number {
    if (chunk[at] !== LF) throw this.#malformed("a line has a CR of its own");
    const { bytes } = this.#line;
    this.#parseLine(bytes, 0, bytes.length - 1);
    this.#line.destroy();
    return at + 1;
  }

  #parseLine(bytes: Uint8Array, start: number, end: number): void {
    const type = String.fromCharCode(bytes[start] as number);
    const aggregate = AGGREGATES[type];
    if (aggregate !== undefined) {
      this.#beginAggregate(aggregate, type, bytes, start + 1, end);
      return;
    }
    const blob = BLOBS[type];
    if (blob !== undefined) {
      this.#beginBlob(blob, type, bytes, start + 1, end);
      return;
    }
    if (start === end) throw this.#malformed("a line is empty, where a type was due");
    this.#finish(this.#scalar(type, bytes, start + 1, end));
  }

  #scalar(type: string, bytes: Uint8Array, start: number, end: number): RespReply<L> {
    switch (type) {
      case "+":
        return { kind: "simple", text: textOf(bytes, start, end) };
      case "-":
        return { kind: "error", text: textOf(bytes, start, end) };
      case ":":
        return { kind: "integer", value: this.#number(readInteger, "integer", bytes, start, end) };
      case ",":
        return { kind: "double", value: this.#number(readDouble, "double", bytes, start, end) };
      case "(":
        return { kind: "big-number", value: this.#number(readBigNumber, "big number", bytes, start, end) };
      case "#":
        if (end - start === 1 && bytes[start] === 0x74) return { kind: "boolean", value: true };
        if (end - start === 1 && bytes[start] === 0x66) return { kind: "boolean", value: false };
        throw this.#malformed(`${quote(bytes, start, end)} is no boolean`);
      case "_":
        if (start === end) return { kind: "null" };
        throw this.#malformed(`${quote(bytes, start, end)} stands behind a null`);
      default:
        if (type === ";" || type === ".") throw this.#streamed();
        throw this.#malformed(`no type begins with ${JSON.stringify(type)}`);
    }
  }

  #number<T>(
    read: (bytes: Uint8Array, start: number, end: number) => T | null,
    what: string,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): T {
    const value = read(bytes, start, end);
    if (value === null) throw this.#malformed(`${quote(bytes, start, end)} is no ${what}`);
    return value;
  }

  /** A length, or -1 where RESP2 writes a null so. */
  #length(type: string, bytes: Uint8Array, start: number, end: number): number {
    if (end - start === 1 && bytes[start] === 0x3f) throw this.#streamed();
    const length = this.#number(readLength, "length", bytes, start, end);
    if (length === -1 && type !== "$" && type !== "*") throw this.#malformed(`${type} cannot have length -1`);
    return length;
  }

  #beginBlob(kind: Blob["kind"], type: string, bytes: Uint8Array, start: number, end: number): void {
    const byteLength = this.#length(type, bytes, start, end);
    if (byteLength === -1) {
      this.#finish({ kind: "null" });
      return;
    }
    if (kind === "verbatim" && byteLength < 4) {
      throw this.#malformed(`a verbatim string of ${byteLength} bytes has no room for its format`);
    }
    this.#replyBytes += byteLength;
    if (this.#replyBytes > this.#maxReplyBytes) {
      throw this.#limit(
        `a reply holds ${this.#replyBytes} bytes of strings, over maxReplyBytes = ${this.#maxReplyBytes}`,
      );
    }
    this.#blob = { kind, byteLength, prefix: "" };
    this.#body.expect(kind === "verbatim" ? byteLength - 4 : byteLength);
  }

  #readBlob(blob: Blob, chunk: Uint8Array, start: number): number {
    let at = start;
    if (blob.kind === "verbatim" && blob.prefix.length < 4) {
      const end = Math.min(chunk.length, at + 4 - blob.prefix.length);
      blob.prefix += ascii(chunk, at, end);
      at = end;
      if (blob.prefix.length === 4 && !blob.prefix.endsWith(":")) {
        throw this.#malformed(`a verbatim string begins with ${JSON.stringify(blob.prefix)}, not a format and a colon`);
      }
    }
    const left = blob.byteLength - blob.prefix.length - this.#body.byteLength;
    if (left > 0 && at < chunk.length) {
      const end = Math.min(chunk.length, at + left);
      this.#body.append(chunk, at, end);
      at = end;
    }
    if (left > 0 && this.#body.byteLength + blob.prefix.length < blob.byteLength) return at;
    while (at < chunk.length && this.#terminator < 2) {
      if (chunk[at++] !== (this.#terminator++ === 0 ? CR : LF)) {
        throw this.#malformed(`no CR LF behind a string of ${blob.byteLength} bytes`);
      }
    }
    if (this.#terminator === 2) this.#finishBlob(blob);
    return at;
  }

  #finishBlob(blob: Blob): void {
    this.#terminator = 0;
    const lease = this.#body.take();
    this.#blob = null;
    const { kind } = blob;
    this.#finish(kind === "verbatim" ? { kind, format: blob.prefix.slice(0, 3), lease } : { kind, lease });
  }

  #beginAggregate(kind: Frame<L>["kind"], type: string, bytes: Uint8Array, start: number, end: number): void {
    const length = this.#length(type, bytes, start, end);
    if (length === -1) {
      this.#finish({ kind: "null" });
      return;
    }
    const left = kind === "map" || kind === "attribute" ? length * 2 : length;
    this.#replyItems += left;
    if (this.#replyItems > this.#maxItems) {
      throw this.#limit(`a reply has ${this.#replyItems} values, over maxItems = ${this.#maxItems}`);
    }
    if (this.#stack.length >= this.#maxDepth) throw this.#limit(`a reply is deeper than maxDepth = ${this.#maxDepth}`);
    if (kind === "attribute" && this.#attributes !== null) throw this.#malformed("attributes of attributes");
    if (kind === "push" && this.#stack.length > 0) throw this.#malformed("a push inside another reply");
    const frame: Frame<L> = { kind, items: [], attributes: this.#attributes, left };
    this.#attributes = null;
    this.#stack.push(frame);
    if (left === 0) this.#closeFrames();
  }

  /** A value is complete: it goes to its aggregate, or out. */
  #finish(value: RespReply<L>): void {
    if (this.#attributes !== null) {
      value.attributes = this.#attributes;
      this.#attributes = null;
    }
    const frame = this.#stack.at(-1);
    if (frame === undefined) {
      this.#emit(value);
      return;
    }
    frame.items.push(value);
    frame.left--;
    if (frame.left === 0) this.#closeFrames();
  }

  /** The innermost aggregate is full, and so perhaps are those around it. */
  #closeFrames(): void {
    for (let frame = this.#stack.at(-1); frame !== undefined && frame.left === 0; frame = this.#stack.at(-1)) {
      this.#stack.pop();
      const { kind, items, attributes } = frame;
      if (kind === "attribute") {
        this.#attributes = pairsOf(items);
        return;
      }
      const value: RespReply<L> = kind === "map" ? { kind, pairs: pairsOf(items) } : { kind, items };
      if (attributes !== null) value.attributes = attributes;
      const outer = this.#stack.at(-1);
      if (outer === undefined) {
        this.#emit(value);
        return;
      }
      outer.items.push(value);
      outer.left--;
    }
  }

  #emit(reply: RespReply<L>): void {
    this.#replyBytes = 0;
    this.#replyItems = 0;
    this.#onReply(reply);
  }

  #malformed(what: string): ParseError {
    return new ParseError("ERR_MALFORMED", `this is not RESP: ${what}, ${this.#where()}`);
  }

  #limit(what: string): ParseError {
    return new ParseError("ERR_LIMIT", `${what}, ${this.#where()}; raise the limit if you trust the server`);
  }

  #streamed(): ParseError {
    return new ParseError("ERR_UNSUPPORTED", `streamed strings and aggregates are not read, ${this.#where()}`);
  }

  #where(): string {
    return `in the chunk that begins at byte ${this.bytesBefore}`;
  }
}

function pairsOf<L extends HeldBytes>(items: readonly RespReply<L>[]): RespPairs<L> {
  const pairs: RespPairs<L> = [];
  for (let at = 0; at + 1 < items.length; at += 2) {
    pairs.push([items[at] as RespReply<L>, items[at + 1] as RespReply<L>]);
  }
  return pairs;
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return end - start === 2 && bytes[start] === 0x4f && bytes[start + 1] === 0x4b
    ? "OK"
    : utf8.decode(bytes.subarray(start, end));
}

function quote(bytes: Uint8Array, start: number, end: number): string {
  return JSON.stringify(ascii(bytes, start, Math.min(end, start + 40)));
}
