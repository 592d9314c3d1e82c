/**
 * The parsers of examples/ over leases, over fresh buffers, and the library that most
 * programs use. Owns what is parsed, and how. A pass is one parser's life: all chunks in,
 * every message looked at and let go of as it comes out, and their bytes counted.
 */

import { Arena } from "cleanslab";
import { type BytesSource, freshBuffers, type HeldBytes } from "../../examples/parsing/source.ts";
import { RespParser } from "../../examples/resp/parser.ts";
import { releaseReply } from "../../examples/resp/reply.ts";
import { TarParser } from "../../examples/tar/parser.ts";
import { encodeFrame } from "../../examples/websocket/frames.ts";
import { WebSocketParser } from "../../examples/websocket/parser.ts";
import { figureOf, find, formatLength, formatSpread, rivalsIn, where } from "../figures.ts";
import { type Timed, timedFrom, timings } from "../harness.ts";
import type { Measurement, Outcome, Question, Table } from "../question.ts";
import { seededRandom } from "../statistics.ts";

const FORMATS = ["RESP", "WebSocket", "tar"] as const;
type Format = (typeof FORMATS)[number];

const LEASED = ["before-reuse", "never"] as const;
const FRESH = "fresh buffers";
/** The library that most programs use for the format. */
const OUTSIDERS: Readonly<Record<Format, string>> = { RESP: "redis-parser", WebSocket: "ws", tar: "tar-stream" };

export interface ParsersInput {
  format: Format;
  rival: string;
  warmUpPasses: number;
  passes: number;
}

export interface ParsersResult extends Timed {
  byteLength: number;
  messages: number;
}

export const parsers: Question<ParsersInput, ParsersResult> = {
  name: "parsers",
  question: "What do incremental parsers gain from leases, and how do they compare with the usual libraries?",
  rounds: { quick: 1, full: 5 },
  cases: (form) =>
    FORMATS.flatMap((format) =>
      [...LEASED, FRESH, OUTSIDERS[format]].map((rival) => ({
        format,
        rival,
        warmUpPasses: form === "quick" ? 8 : 15,
        passes: form === "quick" ? 20 : 150,
      })),
    ),
  run,
  measurements,
  tables,
};

/** Not `time`: some of the libraries answer in a later turn. */
async function run({ format, rival, warmUpPasses, passes }: ParsersInput): Promise<ParsersResult> {
  const { chunks, payloadBytes, byteLength, messages } = makeLoad(format);
  const pass = await openRival(format, rival);
  for (let each = 0; each < warmUpPasses; each++) await pass(chunks);
  const ns: number[] = [];
  for (let each = 0; each < passes; each++) {
    const start = performance.now();
    const result = pass(chunks);
    const found = typeof result === "number" ? result : await result;
    ns.push((performance.now() - start) * 1e6);
    if (found !== payloadBytes) throw new Error(`${rival} found ${found} bytes, not ${payloadBytes}`);
  }
  return { ...timedFrom(ns), byteLength, messages };
}

function measurements(outcomes: readonly Outcome<ParsersInput, ParsersResult>[]): Measurement[] {
  return outcomes.flatMap(({ input: { format, rival }, runs }) => {
    const { byteLength = 0, messages = 0 } = runs[0] ?? {};
    return timings(rival, { format, byteLength, messages }, runs);
  });
}

function tables(measured: readonly Measurement[]): Table[] {
  return FORMATS.filter((format) => where(measured, { format }).length > 0).map((format) => {
    const figures = where(measured, { format });
    const { byteLength = 0, messages = 0 } = figures[0]?.at ?? {};
    const fresh = figureOf(figures, { rival: FRESH });
    return {
      title: `${format}: ${messages} messages, ${formatLength(Number(byteLength))} in chunks of 64 KiB`,
      head: ["", "MiB a second", "± %", "faster than fresh"],
      rows: rivalsIn(figures).map((rival) => {
        const time = find(figures, { rival });
        const ns = time?.value ?? Number.NaN;
        return [
          rival,
          (Number(byteLength) / 2 ** 20 / (ns / 1e9)).toFixed(0),
          formatSpread(time?.spread),
          `${(fresh / ns).toFixed(2)}×`,
        ];
      }),
    };
  });
}

interface Load {
  chunks: readonly Buffer[];
  byteLength: number;
  messages: number;
  /** Bytes in all messages: what each rival must have found. */
  payloadBytes: number;
}

/** Parses a load once, and gives the bytes of all messages. */
type Pass = (chunks: readonly Buffer[]) => number | Promise<number>;

const SEED = 20_261_123;
const CHUNK_BYTES = 64 * 1024; // as a socket or a file gives them

/** The same on every call. */
function makeLoad(format: Format): Load {
  const parts: Uint8Array[] = [];
  const random = seededRandom(SEED);
  const next: Numbers = (below) => Math.floor(random() * below);
  const lengths = LENGTHS[format](next);
  for (const [each, length] of lengths.entries()) {
    const payload = Buffer.alloc(length, each + 1);
    if (format === "RESP") parts.push(Buffer.from(`$${length}\r\n`), payload, Buffer.from("\r\n"));
    else if (format === "tar") parts.push(tarHeader(each, length), payload, Buffer.alloc(-length & 511));
    else {
      const maskingKey = Uint8Array.from({ length: 4 }, () => 1 + next(255));
      parts.push(encodeFrame(freshBuffers, { opcode: "binary", payload, maskingKey }).bytes);
    }
  }
  if (format === "tar") parts.push(Buffer.alloc(1024));
  const all = Buffer.concat(parts);
  const chunks: Buffer[] = [];
  for (let at = 0; at < all.length; at += CHUNK_BYTES) chunks.push(Buffer.from(all.subarray(at, at + CHUNK_BYTES)));
  const payloadBytes = lengths.reduce((sum, length) => sum + length, 0);
  return { chunks, byteLength: all.length, messages: lengths.length, payloadBytes };
}

type Numbers = (below: number) => number;

/** About 4 MiB of each: values of a cache, messages of a chat with attachments, source files. */
const LENGTHS: Readonly<Record<Format, (next: Numbers) => number[]>> = {
  RESP: (next) => Array.from({ length: 1000 }, () => (next(10) < 7 ? 100 + next(900) : 4096 + next(16_384))),
  WebSocket: (next) => Array.from({ length: 500 }, () => (next(10) < 7 ? 50 + next(2000) : 4096 + next(50_000))),
  tar: (next) => Array.from({ length: 250 }, () => (next(10) < 7 ? 500 + next(8000) : 16_384 + next(80_000))),
};

function tarHeader(each: number, byteLength: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(`file-${each}`, 0);
  for (const [at, value] of [[100, 0o644] as const, [108, 0] as const, [116, 0] as const]) {
    header.write(value.toString(8).padStart(7, "0"), at);
  }
  header.write(byteLength.toString(8).padStart(11, "0"), 124);
  header.write("00000000000", 136);
  header.write("        0", 148);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

function openRival(format: Format, rival: string): Pass | Promise<Pass> {
  if (rival === OUTSIDERS[format]) return OPEN_OUTSIDER[format]();
  const mode = LEASED.find((each) => each === rival);
  return passThrough(format, mode === undefined ? freshBuffers : new Arena({ revoke: mode, trace: "off" }));
}

function passThrough(format: Format, source: BytesSource<HeldBytes>): Pass {
  let found = 0;
  const take = (lease: HeldBytes): void => {
    found += lease.byteLength;
    lease.release();
  };
  const open = {
    RESP: () =>
      new RespParser<HeldBytes>(source, (reply) => {
        if ("lease" in reply) take(reply.lease);
        else releaseReply(reply);
      }),
    WebSocket: () =>
      new WebSocketParser<HeldBytes>(source, (message) => "lease" in message && take(message.lease), {
        role: "server",
      }),
    tar: () => new TarParser<HeldBytes>(source, { entry: () => undefined, data: take, entryEnd() {} }),
  }[format];
  return (chunks) => {
    found = 0;
    const parser = open();
    for (const chunk of chunks) parser.write(chunk);
    parser.end();
    return found;
  };
}

/**
 * Loaded when they are asked for. What they give of one chunk is a view of it, not
 * a copy, which ws unmasks in place: the bytes of a payload change, and no header.
 */
const OPEN_OUTSIDER: Readonly<Record<Format, () => Promise<Pass>>> = {
  RESP: async () => {
    const { default: Parser } = await import("redis-parser");
    return (chunks) => {
      let found = 0;
      const parser = new Parser({
        returnBuffers: true,
        returnReply: (reply) => {
          if (Buffer.isBuffer(reply)) found += reply.length;
        },
        returnError: (error) => {
          throw error;
        },
      });
      for (const chunk of chunks) parser.execute(chunk);
      return found;
    };
  },
  WebSocket: async () => {
    const { Receiver } = await import("ws");
    return (chunks) =>
      new Promise<number>((resolve, reject) => {
        let found = 0;
        const receiver = new Receiver({ isServer: true, maxPayload: 16 * 1024 * 1024 });
        receiver.on("message", (message: Buffer) => {
          found += message.length;
        });
        receiver.once("error", reject).once("finish", () => resolve(found));
        for (const chunk of chunks) receiver.write(chunk);
        receiver.end();
      });
  },
  tar: async () => {
    const { default: tarStream } = await import("tar-stream");
    return (chunks) =>
      new Promise<number>((resolve, reject) => {
        let found = 0;
        const extractor = tarStream.extract();
        extractor.on("entry", (_header, stream, done) => {
          stream.on("data", (piece) => {
            if (piece instanceof Uint8Array) found += piece.length;
          });
          stream.once("end", done);
        });
        extractor.once("error", reject).once("finish", () => resolve(found));
        for (const chunk of chunks) extractor.write(chunk);
        extractor.end(Buffer.alloc(0));
      });
  },
};
