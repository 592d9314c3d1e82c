/**
 * Every way in which a stream can end, drop a write or never call back, for everything that
 * writes leases to Node's streams. Rows: kinds of stream. Columns: ways to end. In each cell,
 * in every mode and for every adapter, while the arena gives free memory to others at once:
 *
 * - what the adapter promises comes to an end;
 * - what arrives is what was given, from its start: never zeros, never another lease's bytes;
 * - no lease is left.
 */

import { once } from "node:events";
import { createWriteStream, existsSync, readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { join } from "node:path";
import { type Duplex, duplexPair, PassThrough, type Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { constants, createGzip, gunzipSync } from "node:zlib";
import type { Lease, RevokeMode } from "cleanslab";
import { LeaseSink, pipeLeases, writeAndRelease } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { MODES, SEGMENT_BYTES, settle, smallArena, wrong } from "../helpers.ts";
import {
  bounded,
  expectDrained,
  listen,
  NEVER_MS,
  NeverEnded,
  pattern,
  quiet,
  reuse,
  selfSigned,
  temporaryFolder,
} from "./helpers.ts";

interface Target {
  readonly stream: Writable;
  /** The other side, paused. None where what was written has arrived. */
  readonly reader?: Readable;
  /** Lets the other side read, where it takes more than `reader.resume()`. */
  read?(): void;
  /** Whether the system takes what is written long before the other side reads it. */
  readonly isRemote?: boolean;
  /** Whether it fails on its own, or never takes all that it is given. */
  readonly isBroken?: boolean;
  /** Breaks the connection from the other side. */
  cut?(): unknown;
  /** The bytes that arrived, out of those that the other side read. */
  arrived?(read: Buffer): Buffer;
  close?(): unknown;
}

const MESSAGE = pattern(200_000);
const MESSAGE_CHUNK_BYTES = 40_000;
/** More than a connection takes while its other side does not read. */
const FLOOD = pattern(5_000_000, 2);
const FLOOD_CHUNK_BYTES = 500_000;

/** @throws NeverEnded if it does not come true. */
async function until(isSo: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + NEVER_MS; !isSo(); ) {
    if (Date.now() > end) throw new NeverEnded(`${what} never came`);
    await sleep(1);
  }
}

/** A server's next connection, paused. */
function nextPeer(server: net.Server, event: string): Promise<net.Socket> {
  return new Promise((resolve) => server.once(event, (socket: net.Socket) => resolve(socket.pause())));
}

async function tcp(isConnected: boolean): Promise<Target> {
  const server = net.createServer();
  const { port, close } = await listen(server);
  const peer = nextPeer(server, "connection");
  const stream = net.connect(port, "127.0.0.1");
  if (!isConnected) {
    // The other side is there once it has been reached.
    const reader = new PassThrough();
    peer.then((socket) => quiet(socket).pipe(reader));
    return { stream, reader, isRemote: true, cut: () => peer.then((socket) => socket.resetAndDestroy()), close };
  }
  await once(stream, "connect");
  const reader = quiet(await peer);
  return { stream, reader, isRemote: true, cut: () => reader.resetAndDestroy(), close };
}

const identity = selfSigned();

async function encrypted(): Promise<Target> {
  const server = tls.createServer(identity ?? {});
  const { port, close } = await listen(server);
  const peer = nextPeer(server, "secureConnection");
  const stream = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  const reader = quiet(await peer);
  return { stream, reader, isRemote: true, cut: () => reader.destroy(), close };
}

async function response(): Promise<Target> {
  const server = http.createServer();
  const { port, close } = await listen(server);
  const request = quiet(http.request({ port, host: "127.0.0.1", agent: false }).end());
  const [, stream] = (await once(server, "request")) as [unknown, http.ServerResponse];
  stream.flushHeaders();
  const [reader] = (await once(request, "response")) as [http.IncomingMessage];
  return { stream, reader: quiet(reader), isRemote: true, cut: () => request.destroy(), close };
}

async function request(): Promise<Target> {
  const server = http.createServer();
  const { port, close } = await listen(server);
  const stream = http.request({ port, host: "127.0.0.1", method: "POST", agent: false });
  stream.flushHeaders();
  const [reader, answer] = (await once(server, "request")) as [http.IncomingMessage, http.ServerResponse];
  reader.once("end", () => answer.end());
  return { stream, reader: quiet(reader), isRemote: true, cut: () => reader.destroy(), close };
}

/** A request that waits for its agent's only socket, until the other side is to read. */
async function queuedRequest(): Promise<Target> {
  const server = http.createServer();
  const { port, close } = await listen(server);
  const agent = new http.Agent({ maxSockets: 1 });
  const first = quiet(http.request({ port, host: "127.0.0.1", method: "POST", agent }));
  first.flushHeaders();
  await once(server, "request");
  const reader = new PassThrough();
  server.once("request", (incoming, answer) => {
    quiet(incoming).pipe(reader);
    incoming.once("end", () => answer.end());
  });
  const stream = http.request({ port, host: "127.0.0.1", method: "POST", agent });
  return { stream, reader, read: () => first.destroy(), close };
}

/** As middleware does it that compresses, or records, what is sent. */
async function responseWithMiddleware(): Promise<Target> {
  const target = await response();
  const { stream } = target;
  const { write } = stream;
  stream.write = (chunk: unknown) => write.call(stream, chunk, wrong(undefined));
  return target;
}

/** A server whose connection is no socket, but one of a pair of streams. */
async function responseOverPair(): Promise<Target> {
  const server = http.createServer();
  const [connection, reader] = duplexPair();
  server.emit("connection", quiet(connection));
  quiet(reader).write("GET / HTTP/1.0\r\n\r\n");
  const [, stream] = (await once(server, "request")) as [unknown, http.ServerResponse];
  const bodyOf = (read: Buffer): Buffer => read.subarray(read.indexOf("\r\n\r\n") + 4);
  return { stream, reader, arrived: (read) => (read.length > 0 ? bodyOf(read) : read) };
}

async function http2Response(event: "stream" | "request"): Promise<Target> {
  const server = http2.createServer();
  server.on("session", quiet);
  const { port, close } = await listen(server);
  const session = quiet(http2.connect(`http://127.0.0.1:${port}`));
  const reader = quiet(session.request({ ":path": "/" }));
  const [stream, compatible] = await once(server, event);
  if (event === "stream") stream.respond();
  else compatible.flushHeaders();
  await once(reader, "response");
  return {
    stream: event === "stream" ? stream : compatible,
    reader,
    isRemote: true,
    cut: () => session.destroy(),
    close,
  };
}

const folder = temporaryFolder();
let files = 0;
const newPath = (): string => join(folder, String(files++));

function file(make: (path: string) => Writable): Target {
  const path = newPath();
  return { stream: make(path), arrived: () => (existsSync(path) ? readFileSync(path) : Buffer.alloc(0)) };
}

/** What such a stream gives is what is read from it. */
function through(stream: Duplex, arrived: (read: Buffer) => Buffer = (read) => read): Target {
  return { stream, reader: stream, arrived: (read) => (read.length > 0 ? arrived(read) : read) };
}

/** A stream that keeps the chunks it is given, themselves. */
function keeping(write: (keep: () => void, done: (error?: Error | null) => void) => void, isBroken = false): Target {
  const kept: Buffer[] = [];
  const stream = new Writable({ write: (chunk, _encoding, done) => write(() => kept.push(chunk), done) });
  return { stream, isBroken, arrived: () => Buffer.concat(kept) };
}

/** A stream whose `write` somebody replaced, as middleware does to a response. */
function replaced(answer: (takesMore: boolean) => unknown): Target {
  const stream = new PassThrough();
  const { write } = stream;
  stream.write = wrong((chunk: Buffer) => answer(write.call(stream, chunk, wrong(undefined))));
  return through(stream);
}

const SYNC = constants.Z_SYNC_FLUSH;

const ROWS: Record<string, () => Target | Promise<Target>> = {
  "a socket": () => tcp(true),
  "a socket that connects": () => tcp(false),
  ...(identity !== null && { "a TLS socket": encrypted }),
  "a response": response,
  "a request": request,
  "a request that waits in its agent's queue": queuedRequest,
  "a response whose replaced write drops the callback": responseWithMiddleware,
  "a response over a stream pair": responseOverPair,
  "an HTTP/2 response": () => http2Response("stream"),
  "an HTTP/2 response of the compatibility API": () => http2Response("request"),
  "a file": () => file((path) => createWriteStream(path)),
  "a file that does not tell of its close": () => file((path) => createWriteStream(path, { emitClose: false })),
  gzip: () => through(createGzip({ level: 1 }), (read) => gunzipSync(read, { finishFlush: SYNC })),
  "a PassThrough": () => through(new PassThrough()),
  "a Writable that calls back before it reads": () =>
    keeping((keep, done) => {
      done();
      setImmediate(keep);
    }),
  "a Writable that calls back twice": () =>
    keeping((keep, done) => {
      keep();
      setImmediate(done);
      setImmediate(done);
    }, true),
  "a Writable that fails": () => {
    let count = 0;
    return keeping((keep, done) => {
      keep();
      done(++count === 3 ? new Error("full") : null);
    }, true);
  },
  "a Writable that never calls back": () => keeping((keep) => keep(), true),
  "a stream whose replaced write drops the callback": () => replaced((takesMore) => takesMore),
  "a stream whose replaced write answers nothing": () => replaced(() => undefined),
};

/** Writes the message's leases, one after the other. Settles as its promises do. */
type Adapter = (stream: Writable, leases: Iterable<Lease>) => Promise<unknown>;

const ADAPTERS: Record<string, Adapter> = {
  async writeAndRelease(stream, leases) {
    const writes = Array.from(leases, (lease) => writeAndRelease(stream, lease));
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === "rejected") throw outcome.reason;
    }
  },
  pipeLeases: (stream, leases) => pipeLeases(leases, stream),
  async LeaseSink(stream, leases) {
    const { stream: inner } = stream as { stream?: { destroyed: boolean } };
    const isGone = stream.destroyed || stream.writableEnded || inner?.destroyed;
    let missing = 0;
    const sink = new LeaseSink(stream, { onReleased: () => missing-- });
    for (const lease of leases) {
      missing++;
      sink.write(lease);
    }
    await until(() => sink.pending === 0, "the end of what is pending");
    if (isGone) throw new Error("the stream was gone");
    // A loop that writes more whenever it is told so goes on to its end.
    await until(() => missing === 0 || stream.destroyed || stream.closed || stream.writableEnded, "onReleased");
  },
};

interface Cell {
  readonly target: Target;
  readonly stream: Writable;
  /** Writes the message in leases. */
  send(): Promise<unknown>;
  /** The same; what came of it: an error, or nothing. */
  outcome(): Promise<unknown>;
  read(): void;
}

interface Column {
  /** Whether more is written than a connection takes while its other side does not read. */
  readonly floods?: true;
  /** Whether it is for such a stream. */
  readonly suits?: (target: Target) => boolean;
  /** What must have arrived in the end: the message, its beginning, or nothing. */
  readonly arrives: "all" | "a part" | "nothing";
  run(cell: Cell): Promise<unknown>;
}

const isWhole = ({ isBroken }: Target): boolean => isBroken !== true;

/** All is written, then ended twice, with `act` while it writes. */
function whole(act: (cell: Cell) => unknown): Column {
  return {
    suits: isWhole,
    arrives: "all",
    async run(cell) {
      const sent = cell.send();
      await act(cell);
      await sent;
      for (let times = 0; times < 2; times++) cell.stream.end();
    },
  };
}

/** Comes to a bad end by `act` while it writes; corked before, if it is. */
function broken(act: (cell: Cell) => unknown, isCorked = false): Column {
  return {
    arrives: "a part",
    async run(cell) {
      if (isCorked) cell.stream.cork();
      const outcome = cell.outcome();
      await act(cell);
      await outcome;
    },
  };
}

const COLUMNS: Record<string, Column> = {
  "all is written": whole(({ read }) => read()),
  "all is written to a slow reader": {
    ...whole(async ({ read }) => {
      await sleep(10);
      read();
    }),
    floods: true,
  },
  "corked meanwhile": {
    ...whole(() => {}),
    async run({ stream, send, read }) {
      stream.cork();
      const sent = send();
      read();
      await sleep(5);
      stream.uncork();
      await sent;
      stream.end();
    },
  },
  "ended while it writes": broken(async ({ stream, read }) => {
    stream.end();
    read();
    await sleep(5);
    // A broken one never ends.
    stream.destroy();
  }),
  "written after its end": {
    suits: isWhole,
    arrives: "a part",
    async run({ stream, send, outcome, read }) {
      read();
      await send();
      stream.end();
      expect(await outcome()).toBeInstanceOf(Error);
    },
  },
  "destroyed before": {
    arrives: "nothing",
    async run({ stream, outcome }) {
      stream.destroy();
      expect(await outcome()).toBeInstanceOf(Error);
      await sleep(5);
      expect(await outcome()).toBeInstanceOf(Error);
    },
  },
  "destroyed in the same turn": broken(({ stream }) => stream.destroy()),
  "destroyed while corked": broken(async ({ stream }) => {
    await sleep(5);
    stream.destroy();
  }, true),
  "destroyed while the other side reads nothing": {
    ...broken(async ({ stream }) => {
      await sleep(10);
      stream.destroy();
    }),
    floods: true,
  },
  "destroyed by an error while the other side reads": {
    ...broken(async ({ stream, read }) => {
      read();
      await sleep(2);
      stream.destroy(new Error("broken"));
    }),
    floods: true,
  },
  "cut by the other side": {
    floods: true,
    suits: ({ cut }) => cut !== undefined,
    arrives: "a part",
    async run({ target, stream, outcome }) {
      const sent = outcome();
      await sleep(10);
      await target.cut?.();
      await sent;
      stream.destroy();
    },
  },
};

async function runCell(make: () => Target | Promise<Target>, column: Column, revoke: RevokeMode, adapter: Adapter) {
  const target = await make();
  const [message, chunkBytes] =
    column.floods && target.isRemote ? [FLOOD, FLOOD_CHUNK_BYTES] : [MESSAGE, MESSAGE_CHUNK_BYTES];
  // Little more room than is needed, so that what is free is used again.
  using arena = smallArena({ revoke, onExhausted: "throw" }, Math.ceil(message.length / SEGMENT_BYTES) + 4);
  const stream = quiet(target.stream);
  const { reader } = target;
  const chunks: Buffer[] = [];
  const read = (): void => {
    if (reader?.listenerCount("data") === 0) reader.on("data", (chunk) => chunks.push(chunk)).resume();
    target.read?.();
  };
  function* leases(): Generator<Lease> {
    for (let at = 0; at < message.length; at += chunkBytes) yield arena.copyOf(message.subarray(at, at + chunkBytes));
  }
  const send = (): Promise<unknown> => bounded(adapter(stream, leases()), "the promise for the writes");
  const outcome = (): Promise<unknown> =>
    send().catch((error: unknown) => {
      if (error instanceof NeverEnded) throw error;
      return error;
    });
  const reusing = setInterval(() => reuse(arena, MESSAGE_CHUNK_BYTES), 40);
  try {
    if (column.suits?.(target) === false) return;
    await column.run({ target, stream, send, outcome, read });
    reuse(arena, MESSAGE_CHUNK_BYTES);
    read();
    const end = Date.now() + (column.arrives === "all" ? NEVER_MS : 100);
    await until(() => Date.now() > end || hasEnded(target), "the end");
    await settle();
    reuse(arena, MESSAGE_CHUNK_BYTES);
    const all = Buffer.concat(chunks);
    const arrived = target.arrived?.(all) ?? all;
    const { length } = { all: message, "a part": arrived, nothing: [] }[column.arrives];
    expect(arrived.length, "bytes that arrived").toBe(Math.min(length, message.length));
    const isRight = arrived.equals(message.subarray(0, length));
    expect(isRight ? -1 : arrived.findIndex((byte, at) => byte !== message[at]), "the first wrong byte").toBe(-1);
    expectDrained(arena);
  } finally {
    clearInterval(reusing);
    stream.destroy();
    await target.close?.();
  }
}

function hasEnded({ reader, stream }: Target): boolean {
  return reader === undefined ? stream.closed : reader.readableEnded || reader.closed;
}

/** `pipeLeases` writes with `writeAndRelease`. */
const WAYS: [adapter: keyof typeof ADAPTERS, revoke: RevokeMode][] = [
  ...MODES.flatMap((revoke): [string, RevokeMode][] => [
    ["writeAndRelease", revoke],
    ["LeaseSink", revoke],
  ]),
  ["pipeLeases", "never"],
];
/** Enough for a flood: where views are not revoked, what is returned too early is others' at once. */
const FLOOD_WAYS = WAYS.filter(([adapter, revoke]) => adapter !== "pipeLeases" && revoke !== "on-release").slice(1);

describe.each(Object.entries(ROWS))("%s", (_, make) => {
  test.each(Object.entries(COLUMNS))("%s", async (_name, column) => {
    const faults = (column.floods ? FLOOD_WAYS : WAYS).map(async ([adapter, revoke]) => {
      try {
        await runCell(make, column, revoke, ADAPTERS[adapter] as Adapter);
        return [];
      } catch (error) {
        return [`${adapter}, ${revoke}: ${String(error)}`];
      }
    });
    expect((await Promise.all(faults)).flat()).toEqual([]);
  });
});
