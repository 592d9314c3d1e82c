/**
 * Buffers given back while the system still reads or writes them. A named pipe
 * makes a file read wait, and a peer that does not read makes a socket write
 * queue, so each is under way for exactly as long as the probe wants.
 */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { CannotTry, Harm, type Observation, type Probe, themed } from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, BUFFER_BYTES, isAll, Mark, settle } from "../traffic.ts";

export const IO_PROBES: readonly Probe[] = themed("a buffer given back during I/O", [
  { name: "released in mid file read", run: (from) => fileRead(from, releaseNow) },
  { name: "given back after a file read", run: (from) => fileRead(from, releaseWhenDone) },
  { name: "released in mid socket write", run: (from) => socketWrite(from, releaseNow, nobody) },
  { name: "released in mid socket write, reused", run: (from) => socketWrite(from, releaseNow, settle) },
  { name: "given back after a socket write", run: (from) => socketWrite(from, releaseWhenDone, settle) },
  { name: "a chunk that somebody else kept", run: keptChunk },
]);

/** Gives back, at once or when `io` is done; the promise is done when both are. */
type GiveBack = (held: Held, io: Promise<unknown>) => Promise<unknown>;

const releaseNow: GiveBack = (held, io) => {
  held.release();
  return io;
};

const releaseWhenDone: GiveBack = (held, io) =>
  held.releaseAfter === undefined ? io.finally(() => held.release()) : held.releaseAfter(io);

const nobody = (): Held[] => [];

async function fileRead(allocator: Allocator, giveBack: GiveBack): Promise<Observation> {
  const pipe = await openPipe();
  try {
    const held = allocator.acquire(BUFFER_BYTES);
    const { bytes } = held;
    let arrived = false;
    const io = pipe.file.read(bytes, 0, BUFFER_BYTES, null).then(() => {
      arrived = bytes.length > 0 && isAll(bytes, Mark.io);
    });
    const done = giveBack(held, io);
    const others = settle(allocator);
    pipe.supply();
    await done;
    const changed = others.some((other) => !isAll(other.bytes, Mark.other));
    for (const other of others) other.release();
    if (changed) return { seen: "writes into another owner's bytes", harm: Harm.othersChanged };
    return arrived
      ? { seen: "arrives, nobody else's bytes change", harm: Harm.none }
      : { seen: "is lost, nobody else's bytes change", harm: Harm.bytesLost };
  } finally {
    await pipe.close();
  }
}

interface Pipe {
  readonly file: FileHandle;
  /** Lets the read that waits have its bytes. */
  supply(): void;
  close(): Promise<void>;
}

async function openPipe(): Promise<Pipe> {
  const folder = mkdtempSync(join(tmpdir(), "observe-"));
  const path = join(folder, "pipe");
  try {
    execFileSync("mkfifo", [path], { stdio: "ignore" });
  } catch {
    rmSync(folder, { recursive: true });
    throw new CannotTry("there are no named pipes here");
  }
  const file = await open(path, "r+"); // for writing too: opening must not wait for a writer
  let supplied = false;
  const supply = (): void => {
    supplied = true;
    writeFileSync(path, new Uint8Array(BUFFER_BYTES).fill(Mark.io));
  };
  const close = async (): Promise<void> => {
    if (!supplied) supply(); // else the read would hold its thread for good
    await file.close();
    rmSync(folder, { recursive: true });
  };
  return { file, supply, close };
}

/** As long as a socket reads them, and alone in its buffer. */
const CHUNK_BYTES = 64 * 1024;

/** A listener that came first keeps a chunk of a stream that is then collected. */
async function keptChunk(allocator: Allocator): Promise<Observation> {
  const chunk = Buffer.from(new ArrayBuffer(CHUNK_BYTES)).fill(Mark.io);
  const stream = Readable.from([chunk], { objectMode: false });
  let kept: Uint8Array = new Uint8Array(1);
  stream.once("data", (each: Uint8Array) => {
    kept = each;
  });
  const held = await allocator.collect(stream);
  const arrived = held.bytes.length === CHUNK_BYTES && held.bytes.every((byte) => byte === Mark.io);
  for (const other of settle(allocator)) other.release();
  held.release();
  if (!arrived) return { seen: "the body does not arrive", harm: Harm.bytesLost };
  if (kept.length === 0) return { seen: "is empty: it was freed", harm: Harm.bytesLost };
  return kept.every((byte) => byte === Mark.io)
    ? { seen: "stays what it was", harm: Harm.none }
    : { seen: "reads other bytes", harm: Harm.othersRead };
}

/** More than a system keeps for a loopback connection whose peer does not read. */
const FILLER_BYTES = 24 * 1024 * 1024;
/** How long to wait for the end of the connection once the system has taken every byte. */
const PATIENCE_MS = 1000;

async function socketWrite(
  allocator: Allocator,
  giveBack: GiveBack,
  come: (allocator: Allocator) => Held[],
): Promise<Observation> {
  const { server, socket, peer } = await connectToSlowPeer();
  try {
    socket.write(Buffer.alloc(FILLER_BYTES));
    const held = acquireMarked(allocator, Mark.first);
    const io = write(socket, held.bytes);
    if (socket.writableLength <= BUFFER_BYTES) throw new CannotTry("the system took everything at once");
    const done = giveBack(held, io);
    const others = come(allocator);
    socket.end();
    const received = receive(peer);
    await done;
    const ended = await Promise.race([received.end, sleep(PATIENCE_MS, false)]);
    for (const other of others) other.release();
    const { seen, harm } = describeReceived(Buffer.concat(received.chunks).subarray(FILLER_BYTES));
    return ended ? { seen, harm } : { seen: `${seen}, and never the end`, harm: Math.max(harm, Harm.bytesLost) };
  } finally {
    socket.destroy();
    peer.destroy();
    server.close();
  }
}

function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

async function connectToSlowPeer(): Promise<{ server: Server; socket: Socket; peer: Socket }> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new CannotTry("no loopback connection");
  const accepted = once(server, "connection");
  const socket = connect(address.port, "127.0.0.1");
  await once(socket, "connect");
  const [peer] = (await accepted) as [Socket];
  return { server, socket, peer };
}

function receive(peer: Socket): { chunks: Buffer[]; end: Promise<true> } {
  const chunks: Buffer[] = [];
  peer.on("data", (chunk: Buffer) => chunks.push(chunk)).resume();
  return { chunks, end: once(peer, "end").then(() => true) };
}

function describeReceived(bytes: Uint8Array): Observation {
  if (bytes.includes(Mark.other)) return { seen: "the peer gets another owner's bytes", harm: Harm.othersRead };
  if (isAll(bytes, Mark.first)) return { seen: "the peer gets what was written", harm: Harm.none };
  if (bytes.length < BUFFER_BYTES) {
    return { seen: `the peer gets ${bytes.length} of ${BUFFER_BYTES} bytes`, harm: Harm.bytesLost };
  }
  if (isAll(bytes, 0)) return { seen: "the peer gets zeros", harm: Harm.bytesLost };
  return { seen: "the peer gets bytes that nobody here wrote", harm: Harm.othersRead };
}
