/**
 * Tar archives in whatever chunks they come: ustar, GNU and pax. Owns a header
 * block that is not complete, a long name or pax header that is being read, and
 * the piece of data that is being filled. Knows no file system.
 *
 * TA1  The same bytes give the same entries, the same pieces of data and the same
 *      error, however they are split.
 * TA2  Data is handed out in pieces of `CHUNK_BYTES`, the last of an entry
 *      shorter, so memory does not grow with an entry.
 */

import type { Lease } from "cleanslab";
import { checkedLimit, ParseError } from "../parsing/errors.ts";
import { Gather } from "../parsing/gather.ts";
import { IncrementalParser } from "../parsing/incremental.ts";
import type { BytesFiller, BytesSource, HeldBytes } from "../parsing/source.ts";
import { type Extensions, makeEntry, type TarEntry } from "./entry.ts";
import { BLOCK_BYTES, isZeroBlock, type RawHeader, readHeader, readString } from "./header.ts";
import { readPaxRecords } from "./pax.ts";

/** Bytes in a piece of data. */
export const CHUNK_BYTES = 16 * 1024;

export interface TarSink<L extends HeldBytes = Lease> {
  /** A new entry; its data comes next. Return `"skip"` to be spared the data. */
  entry(entry: TarEntry): "skip" | undefined;
  /** A piece of the entry's data, all of `lease.bytes`. The lease is the sink's to release. */
  data(lease: L): void;
  /** The entry is complete. */
  entryEnd(entry: TarEntry): void;
}

export interface TarLimits {
  /** Bytes of data in one entry. Default: as many as it says. */
  maxEntryBytes?: number;
  /** Bytes of a long name, of a pax header, and of all global pax headers. Default 1 MiB. */
  maxExtensionBytes?: number;
  /** Entries in the archive. Default: as many as there are. */
  maxEntries?: number;
}

const EXTENSIONS: Record<string, string> = {
  L: "long name",
  K: "long link name",
  x: "pax header",
  X: "pax header",
  g: "global pax header",
};

/**
 * HEADER ──▶ EXTENSION ──▶ HEADER
 *    ├─────▶ DATA, SKIP ─▶ HEADER
 *    └─two zero blocks──▶ AFTER
 */
type Phase = "header" | "extension" | "data" | "skip" | "after";

export class TarParser<L extends HeldBytes = Lease> extends IncrementalParser {
  readonly #sink: TarSink<L>;
  readonly #source: BytesSource<L>;
  readonly #maxEntryBytes: number;
  readonly #maxExtensionBytes: number;
  readonly #maxEntries: number;
  readonly #extension: Gather<L>;
  #extensions: Extensions = { longName: null, longLinkName: null, pax: null, globalPax: new Map() };
  #extensionType = "";
  #globalBytes = 0;
  #phase: Phase = "header";
  #zeroBlocks = 0;
  #entries = 0;
  #entry: TarEntry | null = null;
  /** A header block or a piece of data that is being filled. */
  #partial: BytesFiller<L> | null = null;
  /** Bytes of the extension or of the data still to come, and of the zeros that fill their last block. */
  #left = 0;
  #padding = 0;

  /** @throws ParseError `ERR_INVALID_ARGUMENT` for a limit out of range. */
  constructor(source: BytesSource<L>, sink: TarSink<L>, limits: TarLimits = {}) {
    super();
    this.#sink = sink;
    this.#source = source;
    this.#maxEntryBytes = checkedLimit("maxEntryBytes", limits.maxEntryBytes, Number.MAX_SAFE_INTEGER, 0);
    this.#maxExtensionBytes = checkedLimit("maxExtensionBytes", limits.maxExtensionBytes, 1024 * 1024);
    this.#maxEntries = checkedLimit("maxEntries", limits.maxEntries, Number.MAX_SAFE_INTEGER, 0);
    this.#extension = new Gather(source);
  }

  protected override consume(chunk: Uint8Array): void {
    const { length } = chunk;
    let at = 0;
    while (at < length && this.writing) {
      if (this.#phase === "after") return;
      at = this.#step(chunk, at);
    }
  }

  protected override missing(): string | null {
    if (this.#phase === "after") return null;
    if (this.#phase === "data" || this.#phase === "skip") return `in the data of ${JSON.stringify(this.#entry?.name)}`;
    if (this.#phase === "extension") return `in a ${EXTENSIONS[this.#extensionType]}`;
    if (this.#partial !== null) return "in the middle of a header";
    if (this.#hasExtensions()) return "behind an extension without its entry";
    return this.#zeroBlocks > 0 ? null : "without the zero blocks that end an archive";
  }

  protected override releasePartial(): void {
    const partial = this.#partial;
    this.#partial = null;
    partial?.[Symbol.dispose]();
    this.#extension.destroy();
  }

  #step(chunk: Uint8Array, at: number): number {
    switch (this.#phase) {
      case "header":
        return this.#readBlock(chunk, at);
      case "extension":
        return this.#readExtension(chunk, at);
      case "data":
        return this.#left > 0 ? this.#readData(chunk, at) : this.#skipPadding(chunk, at);
      default:
        return this.#left > 0 ? this.#skipData(chunk, at) : this.#skipPadding(chunk, at);
    }
  }

  /** Reads a header where it lies, or in a lease if it comes in pieces. */
  #readBlock(chunk: Uint8Array, start: number): number {
    if (this.#partial === null && chunk.length - start >= BLOCK_BYTES) {
      this.#takeHeader(chunk.subarray(start, start + BLOCK_BYTES));
      return start + BLOCK_BYTES;
    }
    this.#partial ??= this.#source.filler(BLOCK_BYTES);
    const end = start + this.#partial.put(chunk, start);
    if (!this.#partial.full) return end;
    const block = this.#takePartial(this.#partial);
    try {
      this.#takeHeader(block.bytes);
    } finally {
      block.release();
    }
    return end;
  }

  #takePartial(partial: BytesFiller<L>): L {
    this.#partial = null;
    return partial.take();
  }

  #takeHeader(block: Uint8Array): void {
    if (isZeroBlock(block)) {
      if (this.#hasExtensions())
        throw new ParseError("ERR_MALFORMED", "the archive ends behind an extension without its entry");
      if (++this.#zeroBlocks === 2) this.#phase = "after";
      return;
    }
    if (this.#zeroBlocks > 0) throw new ParseError("ERR_MALFORMED", "a single zero block stands between two entries");
    const header = readHeader(block);
    if (EXTENSIONS[header.type] === undefined) this.#beginEntry(header);
    else this.#beginExtension(header);
  }

  #beginExtension({ type, byteLength }: RawHeader): void {
    const what = EXTENSIONS[type];
    const { longName, longLinkName, pax } = this.#extensions;
    const earlier = { L: longName, K: longLinkName, x: pax, X: pax }[type] ?? null;
    if (earlier !== null) throw new ParseError("ERR_MALFORMED", `two ${what}s belong to one entry`);
    if (type === "g") this.#globalBytes += byteLength;
    if (byteLength > this.#maxExtensionBytes || this.#globalBytes > this.#maxExtensionBytes) {
      const message = `a ${what} of ${byteLength} bytes is over maxExtensionBytes = ${this.#maxExtensionBytes}`;
      throw new ParseError("ERR_LIMIT", message);
    }
    this.#extensionType = type;
    this.#extension.expect(byteLength);
    this.#begin("extension", byteLength);
  }

  #readExtension(chunk: Uint8Array, start: number): number {
    if (this.#left === 0) return this.#skipPadding(chunk, start);
    const end = Math.min(chunk.length, start + this.#left);
    this.#extension.append(chunk, start, end);
    this.#left -= end - start;
    if (this.#left + this.#padding === 0) this.#endPhase();
    return end;
  }

  #endExtension(): void {
    const { bytes } = this.#extension;
    const extensions = this.#extensions;
    if (this.#extensionType === "L") extensions.longName = readString(bytes, 0, bytes.length);
    else if (this.#extensionType === "K") extensions.longLinkName = readString(bytes, 0, bytes.length);
    else if (this.#extensionType === "g") {
      extensions.globalPax = new Map([...extensions.globalPax, ...readPaxRecords(bytes)]);
    } else extensions.pax = readPaxRecords(bytes);
    this.#extension.destroy();
  }

  #beginEntry(header: RawHeader): void {
    const entry = makeEntry(header, this.#extensions);
    if (entry.byteLength > this.#maxEntryBytes) {
      const message = `${JSON.stringify(entry.name)} has ${entry.byteLength} bytes, over maxEntryBytes = ${this.#maxEntryBytes}`;
      throw new ParseError("ERR_LIMIT", message);
    }
    if (++this.#entries > this.#maxEntries) {
      throw new ParseError("ERR_LIMIT", `the archive has more entries than maxEntries = ${this.#maxEntries}`);
    }
    this.#extensions = { longName: null, longLinkName: null, pax: null, globalPax: this.#extensions.globalPax };
    this.#entry = entry;
    const skip = this.#sink.entry(entry) === "skip";
    if (this.writing) this.#begin(skip ? "skip" : "data", entry.byteLength);
  }

  #begin(phase: Phase, byteLength: number): void {
    this.#phase = phase;
    this.#left = byteLength;
    this.#padding = (BLOCK_BYTES - (byteLength % BLOCK_BYTES)) % BLOCK_BYTES;
    if (byteLength === 0) this.#endPhase();
  }

  #readData(chunk: Uint8Array, start: number): number {
    const byteLength = Math.min(this.#left, CHUNK_BYTES);
    if (this.#partial === null && chunk.length - start >= byteLength) {
      this.#takeData(this.#source.copyOf(chunk.subarray(start, start + byteLength)));
      return start + byteLength;
    }
    this.#partial ??= this.#source.filler(byteLength);
    const end = start + this.#partial.put(chunk, start);
    if (this.#partial.full) this.#takeData(this.#takePartial(this.#partial));
    return end;
  }

  #takeData(lease: L): void {
    this.#left -= lease.byteLength;
    this.#sink.data(lease);
    if (this.#left + this.#padding === 0 && this.writing) this.#endPhase();
  }

  #skipData(chunk: Uint8Array, start: number): number {
    const skipped = Math.min(chunk.length - start, this.#left);
    this.#left -= skipped;
    if (this.#left + this.#padding === 0) this.#endPhase();
    return start + skipped;
  }

  #skipPadding(chunk: Uint8Array, start: number): number {
    const skipped = Math.min(chunk.length - start, this.#padding);
    this.#padding -= skipped;
    if (this.#padding === 0) this.#endPhase();
    return start + skipped;
  }

  #endPhase(): void {
    const entry = this.#entry;
    const wasExtension = this.#phase === "extension";
    this.#phase = "header";
    if (wasExtension) {
      this.#endExtension();
      return;
    }
    this.#entry = null;
    if (entry !== null) this.#sink.entryEnd(entry);
  }

  #hasExtensions(): boolean {
    const { longName, longLinkName, pax } = this.#extensions;
    return longName !== null || longLinkName !== null || pax !== null;
  }
}
