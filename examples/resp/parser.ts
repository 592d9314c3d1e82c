/**
 * RESP2 and RESP3, the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/),
 * in whatever chunks the socket gives. Owns a partial line, a partial string and
 * the aggregates that are not full yet. Knows no socket.
 *
 * RP1  The same bytes give the same replies and the same error, however they are
 *      split.
 * RP2  Limits are checked when a length is announced, before anything is acquired;
 *      the values of a streamed aggregate as they come.
 * RP3  Every error says at which byte of the stream its item begins.
 * RP4  A line or string whose end is known but whose content is broken is a reply
 *      of kind "malformed", and parsing goes on.
 */

import { isUtf8 } from "node:buffer";
import type { Lease } from "cleanslab";
import { checkedLimit, ParseError } from "../parsing/errors.ts";
import { Gather } from "../parsing/gather.ts";
import { IncrementalParser } from "../parsing/incremental.ts";
import type { BytesSource, HeldBytes } from "../parsing/source.ts";
import { ascii, readBigNumber, readBoolean, readDouble, readInteger, readLength } from "./numbers.ts";
import { type RespPairs, type RespReply, type RespText, releasePairs, releaseReply } from "./reply.ts";

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
const COLON = 58;
const LONE_CR_LF = "a line has a CR or LF that is not part of a CR LF";
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A string whose length was announced. */
interface Blob {
  readonly kind: "bulk" | "bulk-error" | "verbatim";
  /** Of a streamed string: up to the end of the chunk that is being read. */
  readonly byteLength: number;
}

/** An aggregate that is not full yet. A map's and an attribute's items are keys and values in turn. */
interface Frame<L extends HeldBytes> {
  readonly kind: "array" | "set" | "push" | "map" | "attribute";
  readonly items: RespReply<L>[];
  readonly attributes: RespPairs<L> | null;
  readonly byteOffset: number;
  /** Values to come; Infinity if the aggregate is streamed. */
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

/** What a line must be whose content can be broken while its end is known. */
const SCALARS: Record<string, string> = {
  ":": "a 64-bit integer",
  ",": "a double",
  "(": "a big number",
  "#": "a boolean, t or f",
  _: "a null, which has no content",
};

/** The pushes that are a command's reply: inside a transaction they take its place in the array. */
const CONFIRMATION = /^[ps]?(un)?subscribe$/;
const LONGEST_CONFIRMATION = "punsubscribe".length;

export class RespParser<L extends HeldBytes = Lease> extends IncrementalParser {
  readonly #source: BytesSource<L>;
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
  /** Where the streamed string that is being read begins. */
  #streamOffset: number | null = null;
  /** Waiting for the value they belong to. */
  #attributes: RespPairs<L> | null = null;
  /** Where the item that is being read begins. */
  #itemOffset = 0;
  #replyBytes = 0;
  #replyItems = 0;

  /**
   * @param onReply is called with each complete reply; all leases in it are its
   *   own from then on: `releaseReply(reply)`, or each by itself. Pushes come
   *   between replies, and a message that the server sends in the middle of a
   *   transaction's reply comes before that reply.
   * @throws ParseError `ERR_INVALID_ARGUMENT` for a limit out of range.
   */
  constructor(source: BytesSource<L>, onReply: (reply: RespReply<L>) => void, limits: RespLimits = {}) {
    super();
    this.#source = source;
    this.#onReply = onReply;
    this.#maxReplyBytes = checkedLimit("maxReplyBytes", limits.maxReplyBytes, 512 * 1024 * 1024);
    this.#maxLineBytes = checkedLimit("maxLineBytes", limits.maxLineBytes, 64 * 1024, 32);
    this.#maxItems = checkedLimit("maxItems", limits.maxItems, 1024 * 1024);
    this.#maxDepth = checkedLimit("maxDepth", limits.maxDepth, 32);
    this.#line = new Gather(source);
    this.#body = new Gather(source);
  }

  protected override step(chunk: Uint8Array, at: number): number {
    return this.#blob === null ? this.#readLine(chunk, at) : this.#readBlob(this.#blob, chunk, at);
  }

  protected override missing(): string | null {
    const item = `that begins at byte ${this.#itemOffset}`;
    if (this.#blob !== null) return `in a string of ${this.#blob.byteLength} bytes ${item}`;
    if (this.#line.byteLength > 0) return `in the middle of a line ${item}`;
    if (this.#streamOffset !== null) {
      return `before the last chunk of a streamed string that begins at byte ${this.#streamOffset}`;
    }
    if (this.#attributes !== null) return `where the value of attributes should begin at byte ${this.bytesBefore}`;
    const frame = this.#stack.at(-1);
    if (frame === undefined) return null;
    const { kind, byteOffset, left } = frame;
    const short = left === Number.POSITIVE_INFINITY ? "before the end of a streamed" : `${left} values short of the`;
    return `${short} ${kind} that begins at byte ${byteOffset}`;
  }

  protected override releasePartial(): void {
    this.#line.destroy();
    this.#body.destroy();
    this.#blob = null;
    this.#streamOffset = null;
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
    if (held === 0) this.#itemOffset = this.bytesBefore + start;
    if (held > 0 && this.#line.bytes[held - 1] === CR) return this.#endHeldLine(chunk, start);
    const limit = Math.min(chunk.length, start + this.#maxLineBytes - held + 1);
    let end = start;
    while (end < limit && chunk[end] !== CR && chunk[end] !== LF) end++;
    if (held + end - start > this.#maxLineBytes)
      throw this.#limit(`a line is over maxLineBytes = ${this.#maxLineBytes}`);
    if (end === chunk.length || end + 1 === chunk.length) {
      if (chunk[end] === LF) throw this.#malformed(LONE_CR_LF);
      this.#line.append(chunk, start, chunk.length);
      return chunk.length;
    }
    if (chunk[end] !== CR || chunk[end + 1] !== LF) throw this.#malformed(LONE_CR_LF);
    if (held === 0) {
      this.#parseLine(chunk, start, end);
      return end + 2;
    }
    this.#line.append(chunk, start, end + 1);
    return this.#endHeldLine(chunk, end + 1);
  }

  #endHeldLine(chunk: Uint8Array, at: number): number {
    if (chunk[at] !== LF) throw this.#malformed(LONE_CR_LF);
    const { bytes } = this.#line;
    this.#parseLine(bytes, 0, bytes.length - 1);
    this.#line.destroy();
    return at + 1;
  }

  #parseLine(bytes: Uint8Array, start: number, end: number): void {
    if (start === end) throw this.#malformed("a line is empty, where a type was due");
    const type = String.fromCharCode(bytes[start] as number);
    const content = start + 1;
    const aggregate = AGGREGATES[type];
    const blob = BLOBS[type];
    if (this.#streamOffset !== null) this.#beginChunk(type, bytes, content, end);
    else if (aggregate !== undefined) this.#beginAggregate(aggregate, type, bytes, content, end);
    else if (blob !== undefined) this.#beginBlob(blob, type, bytes, content, end);
    else if (type === ".") this.#endStreamedAggregate(content === end);
    else this.#finish(this.#scalar(type, bytes, content, end) ?? this.#malformedScalar(type, bytes, content, end));
  }

  /** A value that is one line; null if its content is broken. */
  #scalar(type: string, bytes: Uint8Array, start: number, end: number): RespReply<L> | null {
    switch (type) {
      case "+":
        return lineOf("simple", bytes, start, end);
      case "-":
        return lineOf("error", bytes, start, end);
      case ":":
        return scalarOf("integer", readInteger(bytes, start, end));
      case ",":
        return scalarOf("double", readDouble(bytes, start, end));
      case "(":
        return scalarOf("big-number", readBigNumber(bytes, start, end));
      case "#":
        return scalarOf("boolean", readBoolean(bytes, start, end));
      case "_":
        return start === end ? { kind: "null" } : null;
      default:
        throw this.#malformed(`no type begins with ${JSON.stringify(type)}`);
    }
  }

  #malformedScalar(type: string, bytes: Uint8Array, start: number, end: number): RespReply<L> {
    const error = this.#malformed(`${quote(bytes, start, end)} is not ${SCALARS[type]}`);
    return { kind: "malformed", type, error, lease: this.#source.copyOf(bytes.subarray(start, end)) };
  }

  /** A length, -1 where RESP2 writes a null so, or Infinity for what is streamed. */
  #length(type: string, bytes: Uint8Array, start: number, end: number): number {
    const streamed = end - start === 1 && bytes[start] === 0x3f && (type === "$" || type in AGGREGATES);
    if (streamed) return Number.POSITIVE_INFINITY;
    const length = readLength(bytes, start, end);
    if (length === null) throw this.#malformed(`${quote(bytes, start, end)} is no length for ${type}`);
    if (length === -1 && type !== "$" && type !== "*") throw this.#malformed(`${type} cannot have length -1`);
    return length;
  }

  #beginBlob(kind: Blob["kind"], type: string, bytes: Uint8Array, start: number, end: number): void {
    const byteLength = this.#length(type, bytes, start, end);
    if (byteLength === -1) {
      this.#finish({ kind: "null" });
      return;
    }
    if (byteLength === Number.POSITIVE_INFINITY) {
      this.#streamOffset = this.#itemOffset;
      return;
    }
    this.#countBytes(byteLength);
    this.#body.expect(byteLength);
    this.#blob = { kind, byteLength };
  }

  /** Of a streamed string. One of length 0 ends it. */
  #beginChunk(type: string, bytes: Uint8Array, start: number, end: number): void {
    if (type !== ";") throw this.#malformed(`${JSON.stringify(type)} where a streamed string's chunk was due`);
    const byteLength = this.#length(type, bytes, start, end);
    if (byteLength === 0) {
      this.#streamOffset = null;
      this.#finish({ kind: "bulk", lease: this.#body.take() });
      return;
    }
    this.#countBytes(byteLength);
    this.#blob = { kind: "bulk", byteLength: this.#body.byteLength + byteLength };
  }

  #countBytes(byteLength: number): void {
    this.#replyBytes += byteLength;
    if (this.#replyBytes > this.#maxReplyBytes) {
      throw this.#limit(
        `a reply holds ${this.#replyBytes} bytes of strings, over maxReplyBytes = ${this.#maxReplyBytes}`,
      );
    }
  }

  #countItems(count: number): void {
    this.#replyItems += count;
    if (this.#replyItems > this.#maxItems) {
      throw this.#limit(`a reply has ${this.#replyItems} values, over maxItems = ${this.#maxItems}`);
    }
  }

  #readBlob({ kind, byteLength }: Blob, chunk: Uint8Array, start: number): number {
    let at = Math.min(chunk.length, start + byteLength - this.#body.byteLength);
    this.#body.append(chunk, start, at);
    if (this.#body.byteLength < byteLength) return at;
    while (at < chunk.length && this.#terminator < 2) {
      if (chunk[at++] !== (this.#terminator++ === 0 ? CR : LF)) {
        throw this.#malformed(`no CR LF behind a string of ${byteLength} bytes`);
      }
    }
    if (this.#terminator === 2) this.#finishBlob(kind);
    return at;
  }

  #finishBlob(kind: Blob["kind"]): void {
    this.#terminator = 0;
    this.#blob = null;
    if (this.#streamOffset !== null) return;
    this.#finish(kind === "verbatim" ? this.#takeVerbatim() : { kind, lease: this.#body.take() });
  }

  /** Three bytes of format and a colon stand in front; without them all of it is content. */
  #takeVerbatim(): RespReply<L> {
    const { bytes } = this.#body;
    if (bytes[3] !== COLON) {
      const what =
        bytes.length < 4
          ? `of ${bytes.length} bytes has no room for a format and a colon`
          : `begins with ${quote(bytes, 0, 4)}, not with a format and a colon`;
      const error = this.#malformed(`a verbatim string ${what}`);
      return { kind: "malformed", type: "=", error, lease: this.#body.take() };
    }
    const { text: format, raw } = textOf(bytes, 0, 3);
    const lease = this.#source.copyOf(bytes.subarray(4));
    this.#body.destroy();
    return { kind: "verbatim", format, ...(raw !== undefined && { rawFormat: raw }), lease };
  }

  #beginAggregate(kind: Frame<L>["kind"], type: string, bytes: Uint8Array, start: number, end: number): void {
    const length = this.#length(type, bytes, start, end);
    if (length === -1) {
      this.#finish({ kind: "null" });
      return;
    }
    const left = kind === "map" || kind === "attribute" ? length * 2 : length;
    if (left !== Number.POSITIVE_INFINITY) this.#countItems(left);
    if (this.#stack.length >= this.#maxDepth) throw this.#limit(`a reply is deeper than maxDepth = ${this.#maxDepth}`);
    this.#stack.push({ kind, items: [], attributes: this.#attributes, byteOffset: this.#itemOffset, left });
    this.#attributes = null;
    if (left === 0) this.#closeFrames();
  }

  #endStreamedAggregate(wellFormed: boolean): void {
    const frame = this.#stack.at(-1);
    if (!wellFormed || frame?.left !== Number.POSITIVE_INFINITY) {
      throw this.#malformed("a line begins with . and does not end a streamed aggregate");
    }
    if (this.#attributes !== null) throw this.#malformed(`a streamed ${frame.kind} ends behind attributes`);
    if ((frame.kind === "map" || frame.kind === "attribute") && frame.items.length % 2 === 1) {
      throw this.#malformed(`a streamed ${frame.kind} ends behind a key`);
    }
    frame.left = 0;
    this.#closeFrames();
  }

  /** A value is complete: it goes to its aggregate, or out. */
  #finish(value: RespReply<L>): void {
    if (this.#attributes !== null) {
      value.attributes = this.#attributes;
      this.#attributes = null;
    }
    this.#place(value);
    this.#closeFrames();
  }

  #place(value: RespReply<L>): void {
    const frame = this.#stack.at(-1);
    if (frame === undefined) {
      this.#replyBytes = 0;
      this.#replyItems = 0;
      this.#onReply(value);
    } else if (value.kind === "push" && !isConfirmation(value.items[0])) {
      // Out of band: the aggregate does not count it.
      this.#onReply(value);
    } else {
      frame.items.push(value);
      frame.left--;
      if (frame.left === Number.POSITIVE_INFINITY) this.#countItems(1);
    }
  }

  /** The innermost aggregate may be full, and so may those around it. */
  #closeFrames(): void {
    for (let frame = this.#stack.at(-1); frame?.left === 0; frame = this.#stack.at(-1)) {
      this.#stack.pop();
      const { kind, items, attributes } = frame;
      if (kind === "attribute") {
        // Attributes that follow attributes belong to the same value.
        this.#attributes = pairsOf(items, attributes ?? []);
        return;
      }
      const value: RespReply<L> = kind === "map" ? { kind, pairs: pairsOf(items) } : { kind, items };
      if (attributes !== null) value.attributes = attributes;
      this.#place(value);
    }
  }

  #malformed(what: string): ParseError {
    return new ParseError("ERR_MALFORMED", `this is not RESP: ${what}, in the item ${this.#where()}`);
  }

  #limit(what: string): ParseError {
    return new ParseError(
      "ERR_LIMIT",
      `${what}, with the item ${this.#where()}; raise the limit if you trust the server`,
    );
  }

  #where(): string {
    return `that begins at byte ${this.#itemOffset}`;
  }
}

function isConfirmation<L extends HeldBytes>(name: RespReply<L> | undefined): boolean {
  if (name?.kind === "simple") return CONFIRMATION.test(name.text);
  if (name?.kind !== "bulk" || name.lease.byteLength > LONGEST_CONFIRMATION) return false;
  return CONFIRMATION.test(ascii(name.lease.bytes, 0, name.lease.byteLength));
}

function pairsOf<L extends HeldBytes>(items: readonly RespReply<L>[], pairs: RespPairs<L> = []): RespPairs<L> {
  for (let at = 0; at + 1 < items.length; at += 2) {
    pairs.push([items[at] as RespReply<L>, items[at + 1] as RespReply<L>]);
  }
  return pairs;
}

function scalarOf<K extends string, V>(kind: K, value: V | null): { kind: K; value: V } | null {
  return value === null ? null : { kind, value };
}

function lineOf<K extends "simple" | "error">(kind: K, bytes: Uint8Array, start: number, end: number) {
  const isOk = end - start === 2 && bytes[start] === 0x4f && bytes[start + 1] === 0x4b;
  return isOk ? { kind, text: "OK" } : { kind, ...textOf(bytes, start, end) };
}

function textOf(bytes: Uint8Array, start: number, end: number): RespText {
  const line = bytes.subarray(start, end);
  const text = utf8.decode(line);
  return text.includes("\uFFFD") && !isUtf8(line) ? { text, raw: new Uint8Array(line) } : { text };
}

function quote(bytes: Uint8Array, start: number, end: number): string {
  return JSON.stringify(ascii(bytes, start, Math.min(end, start + 40)));
}
