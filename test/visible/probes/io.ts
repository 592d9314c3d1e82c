/**
 * Buffers given back while the system still reads or writes them. A named pipe
 * makes a file read wait, and a peer that does not read makes a socket write
 * queue, so each is under way for exactly as long as the probe wants.
 */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { CannotTry, firstOf, Harm, type Observation, type Probe, themed } from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, BUFFER_BYTES, isAll, Mark, settle } from "../traffic.ts";

export const IO_PROBES: readonly Probe[] = themed("a buffer given back during I/O", {
  "released in mid file read": (from) => fileRead(from, releaseNow),
  "given back after a file read": (from) => fileRead(from, releaseWhenDone),
  "released in mid socket write": (from) => socketWrite(from, releaseNow, () => []),
  "released in mid socket write, reused": (from) => socketWrite(from, releaseNow, settle),
  "given back after a socket write": (from) => socketWrite(from, releaseWhenDone, settle),
  "a chunk that somebody else kept": keptChunk,
});

/** Gives back, at once or when `io` is done; the promise is done when both are. */
type GiveBack = (held: Held, io: Promise<unknown>) => Promise<unknown>;

const releaseNow: GiveBack = (held, io) => {
  held.release();
  return io;
};

const releaseWhenDone: GiveBack = (held, io) =>
  held.releaseAfter === undefined ? io.finally(() => held.release()) : held.releaseAfter(io);

async function fileRead(allocator: Allocator, giveBack: GiveBack): Promise<Observation> {
  const folder = mkdtempSync(join(tmpdir(), "observe-"));
  const path = join(folder, "pipe");
  try {
    execFileSync("mkfifo", [path], { stdio: "ignore" });
  } catch {
    rmSync(folder, { recursive: true });
    throw new CannotTry("there are no named pipes here");
  }
  const file = await open(path, "r+"); // for writing too: opening must not wait for a writer
  const supply = (): void => writeFileSync(path, new Uint8Array(BUFFER_BYTES).fill(Mark.io));
  try {
    const held = allocator.acquire(BUFFER_BYTES);
    const { bytes } = held;
    let isThere = false;
    const io = file.read(bytes, 0, BUFFER_BYTES, null).then(() => {
      isThere = bytes.length > 0 && isAll(bytes, Mark.io);
    });
    const done = giveBack(held, io);
    const others = settle(allocator);
    supply();
    await done;
    const changed = others.some((other) => !isAll(other.bytes, Mark.other));
    for (const other of others) other.release();
    return firstOf(
      [
        [changed, "writes into another owner's bytes", Harm.othersChanged],
        [!isThere, "is lost, nobody else's bytes change", Harm.bytesLost],
      ],
      "arrives, nobody else's bytes change",
    );
  } catch (error) {
    supply(); // else the read would hold its thread for good
    throw error;
  } finally {
    await file.close();
    rmSync(folder, { recursive: true });
  }
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
  return firstOf(
    [
      [!arrived, "the body does not arrive", Harm.bytesLost],
      [kept.length === 0, "is empty: it was freed", Harm.bytesLost],
      [kept.length > 0 && kept.some((byte) => byte !== Mark.io), "reads other bytes", Harm.othersRead],
    ],
    "stays what it was",
  );
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
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [[peer]] = await Promise.all([accepted, once(socket, "connect")]);
  try {
    socket.write(Buffer.alloc(FILLER_BYTES));
    const held = acquireMarked(allocator, Mark.first);
    const io = new Promise<void>((resolve, reject) => {
      socket.write(held.bytes, (error) => (error ? reject(error) : resolve()));
    });
    if (socket.writableLength <= BUFFER_BYTES) throw new CannotTry("the system took everything at once");
    const done = giveBack(held, io);
    const others = come(allocator);
    socket.end();
    const chunks: Buffer[] = [];
    const end = once(peer.on("data", (chunk: Buffer) => chunks.push(chunk)).resume(), "end");
    await done;
    const ended = await Promise.race([end, sleep(PATIENCE_MS, false)]);
    for (const other of others) other.release();
    const { seen, harm } = describeReceived(Buffer.concat(chunks).subarray(FILLER_BYTES));
    return ended ? { seen, harm } : { seen: `${seen}, and never the end`, harm: Math.max(harm, Harm.bytesLost) };
  } finally {
    socket.destroy();
    peer.destroy();
    server.close();
  }
}

function describeReceived(bytes: Uint8Array): Observation {
  return firstOf(
    [
      [bytes.includes(Mark.other), "the peer gets another owner's bytes", Harm.othersRead],
      [isAll(bytes, Mark.first), "the peer gets what was written", Harm.none],
      [bytes.length < BUFFER_BYTES, `the peer gets ${bytes.length} of ${BUFFER_BYTES} bytes`, Harm.bytesLost],
      [isAll(bytes, 0), "the peer gets zeros", Harm.bytesLost],
      [true, "the peer gets bytes that nobody here wrote", Harm.othersRead],
    ],
    "",
  );
}
