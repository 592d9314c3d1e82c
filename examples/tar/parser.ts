/**
 * Tar archives in whatever chunks they come: ustar, GNU and pax. Owns a block of a
 * header or map that is not complete, a long name or pax header that is being read,
 * and the piece of data that is being filled. Knows no file system.
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
import { BLOCK_BYTES, type Header, isZeroBlock, readHeader } from "./header.ts";
import { readPaxRecords, withRecords } from "./pax.ts";
import type { SparseMapReader } from "./sparse.ts";
import { untilNul } from "./text.ts";

/** Bytes in a piece of data. */
export const CHUNK_BYTES = 16 * 1024;

export interface TarSink<L extends HeldBytes = Lease> {
  /**
   * A new entry, of whatever type; its data comes next, as stored. Return `"skip"` to be spared the data.
   * Look at `type` first: not all data is a file's.
   */
  entry(entry: TarEntry): "skip" | undefined;
  /** A piece of the entry's data, all of `lease.bytes`. The lease is the sink's to release. */
  data(lease: L): void;
  /** The entry is complete. */
  entryEnd(entry: TarEntry): void;
}

export interface TarLimits {
  /** Bytes of data in one entry; a sparse file's holes count. Default: as many as it says. */
  maxEntryBytes?: number;
  /** Bytes of a long name, of a pax header, of a sparse file's map, and of all global pax headers. Default 1 MiB. */
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
 * HEADER ──▶ EXTENSION ────────▶ HEADER
 *    ├─────▶ [MAP ─▶] DATA, SKIP ▶ HEADER
 *    └─zero block─▶ END ─▶ AFTER
 */
type Phase = "header" | "extension" | "map" | "data" | "skip" | "end" | "after";

export class TarParser<L extends HeldBytes = Lease> extends IncrementalParser {
  readonly #sink: TarSink<L>;
  readonly #source: BytesSource<L>;
  readonly #maxEntryBytes: number;
  readonly #maxExtensionBytes: number;
  readonly #maxEntries: number;
  readonly #extension: Gather<L>;
  #extensions: Extensions = { longName: null, longLinkName: null, pax: null, globalPax: new Map() };
  #extensionType = "";
  #extensionOffset = 0;
  #globalBytes = 0;
  #phase: Phase = "header";
  #endBlocks: 0 | 1 | 2 = 0;
  #entries = 0;
  #entry: TarEntry | null = null;
  #map: SparseMapReader | null = null;
  #mapBytes = 0;
  /** A block of a header or map, or a piece of data that is being filled. */
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

  /**
   * How many of the two zero blocks at the end have come. Archives without them
   * are read; but one that was cut between two entries looks the same.
   */
  get endBlocks(): 0 | 1 | 2 {
    return this.#endBlocks;
  }

  protected override step(chunk: Uint8Array, at: number): number {
    if (this.#phase === "after") return chunk.length;
    if (this.#phase === "header" || this.#phase === "map" || this.#phase === "end") return this.#readBlock(chunk, at);
    if (this.#left === 0 || this.#phase === "skip") return this.#passOver(chunk, at);
    return this.#phase === "extension" ? this.#readExtension(chunk, at) : this.#readData(chunk, at);
  }

  protected override missing(): string | null {
    if (this.#endBlocks > 0) return null;
    if (this.#phase === "data" || this.#phase === "skip") return `in the data of ${JSON.stringify(this.#entry?.name)}`;
    if (this.#phase === "map") return `in the map of the sparse file ${JSON.stringify(this.#entry?.name)}`;
    if (this.#phase === "extension") return `in a ${EXTENSIONS[this.#extensionType]}`;
    if (this.#partial !== null) return "in the middle of a header";
    if (this.#hasExtensions()) return "behind an extension without its entry";
    return this.bytesBefore === 0 ? "so there is no archive" : null;
  }

  protected override releasePartial(): void {
    const partial = this.#partial;
    this.#partial = null;
    partial?.[Symbol.dispose]();
    this.#extension.destroy();
  }

  /** Reads a block where it lies, or in a lease if it comes in pieces. */
  #readBlock(chunk: Uint8Array, start: number): number {
    if (this.#partial === null && chunk.length - start >= BLOCK_BYTES) {
      const end = start + BLOCK_BYTES;
      this.#takeBlock(chunk.subarray(start, end), this.bytesBefore + start);
      return end;
    }
    this.#partial ??= this.#source.filler(BLOCK_BYTES);
    const end = start + this.#partial.put(chunk, start);
    if (!this.#partial.full) return end;
    const block = this.#takePartial(this.#partial);
    try {
      this.#takeBlock(block.bytes, this.bytesBefore + end - BLOCK_BYTES);
    } finally {
      block.release();
    }
    return end;
  }

  #takePartial(partial: BytesFiller<L>): L {
    this.#partial = null;
    return partial.take();
  }

  #takeBlock(block: Uint8Array, offset: number): void {
    if (this.#phase === "map") this.#takeMapBlock(block);
    else if (isZeroBlock(block)) this.#takeZeroBlock(offset);
    else if (this.#phase === "end") this.#phase = "after";
    else this.#takeHeader(readHeader(block, offset));
  }

  /** The first zero block ends the archive. A second one should follow, but need not. */
  #takeZeroBlock(offset: number): void {
    if (this.#hasExtensions()) {
      const what = `the archive ends at byte ${offset}, behind an extension without its entry`;
      throw new ParseError("ERR_MALFORMED", what);
    }
    this.#phase = this.#endBlocks === 0 ? "end" : "after";
    this.#endBlocks = this.#endBlocks === 0 ? 1 : 2;
  }

  #takeHeader(header: Header): void {
    if (EXTENSIONS[header.type] === undefined) this.#beginEntry(header);
    else this.#beginExtension(header);
  }

  #beginExtension({ type, byteLength, offset }: Header): void {
    if (type === "g") this.#globalBytes += byteLength;
    if (Math.max(byteLength, this.#globalBytes) > this.#maxExtensionBytes) {
      throw this.#overExtensionBytes(`the ${EXTENSIONS[type]} at byte ${offset} has ${byteLength} bytes,`);
    }
    this.#extensionType = type;
    this.#extensionOffset = offset + BLOCK_BYTES;
    this.#extension.expect(byteLength);
    this.#begin("extension", byteLength);
  }

  #readExtension(chunk: Uint8Array, start: number): number {
    const end = Math.min(chunk.length, start + this.#left);
    this.#extension.append(chunk, start, end);
    this.#left -= end - start;
    this.#endPhaseIfDone();
    return end;
  }

  /** A second extension of the same type replaces the first, as in GNU tar. */
  #endExtension(): void {
    const bytes = new Uint8Array(this.#extension.bytes);
    const extensions = this.#extensions;
    if (this.#extensionType === "L") extensions.longName = untilNul(bytes);
    else if (this.#extensionType === "K") extensions.longLinkName = untilNul(bytes);
    else {
      const records = readPaxRecords(bytes, this.#extensionOffset);
      if (this.#extensionType === "g") extensions.globalPax = withRecords(extensions.globalPax, records);
      else extensions.pax = records;
    }
    this.#extension.destroy();
  }

  #beginEntry(header: Header): void {
    const { entry, map } = makeEntry(header, this.#extensions);
    this.#extensions = { longName: null, longLinkName: null, pax: null, globalPax: this.#extensions.globalPax };
    this.#entry = entry;
    this.#map = map;
    this.#mapBytes = 0;
    if (map === null) this.#offer(entry);
    else this.#readMap(entry, map.next());
  }

  #takeMapBlock(block: Uint8Array): void {
    this.#mapBytes += BLOCK_BYTES;
    const [entry, map] = [this.#entry, this.#map];
    if (entry !== null && map !== null) this.#readMap(entry, map.next(block));
  }

  #readMap(entry: TarEntry, step: ReturnType<SparseMapReader["next"]>): void {
    if (step.done) {
      this.#map = null;
      this.#offer(Object.assign(entry, step.value));
    } else if (this.#mapBytes < this.#maxExtensionBytes) {
      this.#phase = "map";
    } else {
      const what = `the map of the sparse file ${JSON.stringify(entry.name)} at byte ${entry.offset} is`;
      throw this.#overExtensionBytes(what);
    }
  }

  #overExtensionBytes(what: string): ParseError {
    return new ParseError("ERR_LIMIT", `${what} over maxExtensionBytes = ${this.#maxExtensionBytes}`);
  }

  #offer(entry: TarEntry): void {
    const byteLength = entry.sparse?.byteLength ?? entry.byteLength;
    if (byteLength > this.#maxEntryBytes) {
      const what = `${JSON.stringify(entry.name)} at byte ${entry.offset} has ${byteLength} bytes`;
      throw new ParseError("ERR_LIMIT", `${what}, over maxEntryBytes = ${this.#maxEntryBytes}`);
    }
    if (++this.#entries > this.#maxEntries) {
      const what = `the archive has more entries than maxEntries = ${this.#maxEntries}`;
      throw new ParseError("ERR_LIMIT", `${what}; the next is at byte ${entry.offset}`);
    }
    const skip = this.#sink.entry(entry) === "skip";
    if (this.writing) this.#begin(skip ? "skip" : "data", entry.byteLength);
  }

  #begin(phase: Phase, byteLength: number): void {
    this.#phase = phase;
    this.#left = byteLength;
    this.#padding = (BLOCK_BYTES - (byteLength % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#endPhaseIfDone();
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
    this.#endPhaseIfDone();
  }

  /** Of data that is skipped, and of what fills the last block. */
  #passOver(chunk: Uint8Array, start: number): number {
    const data = Math.min(chunk.length - start, this.#left);
    const padding = Math.min(chunk.length - start - data, this.#padding);
    this.#left -= data;
    this.#padding -= padding;
    this.#endPhaseIfDone();
    return start + data + padding;
  }

  #endPhaseIfDone(): void {
    if (this.#left + this.#padding > 0 || !this.writing) return;
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
