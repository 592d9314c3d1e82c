/**
 * A framed echo over TCP: four bytes of length, then a frame of about 100 KB, sent back
 * once it is whole. Closed loop: 50 connections, each sends its next frame when the last
 * has come back. Paced: 16 connections, a frame every 10 ms each.
 */

import net, { type Socket } from "node:net";
import type { ByteFiller } from "cleanslab";
import { Arena } from "cleanslab";
import { LeaseSink } from "cleanslab/node";
import {
  type Figures,
  free,
  latencyFigures,
  leases,
  listen,
  ordinary,
  type Server,
  type ServerProgram,
} from "./program.ts";

const HEADER_BYTES = 4;
const FRAME_BYTES = 100_000;

/** Frames gathered in a buffer of their length, header included, so that one write answers. */
function serveOrdinary(socket: Socket, frees: boolean): void {
  let frame: Buffer | null = null;
  let at = 0;
  const header = Buffer.alloc(HEADER_BYTES);
  let headerAt = 0;
  socket.on("data", (chunk) => {
    let from = 0;
    while (from < chunk.length) {
      if (frame === null) {
        const taken = Math.min(HEADER_BYTES - headerAt, chunk.length - from);
        chunk.copy(header, headerAt, from, from + taken);
        headerAt += taken;
        from += taken;
        if (headerAt < HEADER_BYTES) break;
        frame = Buffer.allocUnsafe(HEADER_BYTES + header.readUInt32BE(0));
        header.copy(frame);
        at = HEADER_BYTES;
        headerAt = 0;
      }
      const taken = Math.min(frame.length - at, chunk.length - from);
      chunk.copy(frame, at, from, from + taken);
      at += taken;
      from += taken;
      if (at < frame.length) break;
      socket.write(frame);
      frame = null;
    }
    if (frees) free(chunk);
  });
}

function serveLeases(socket: Socket, arena: Arena, frees: boolean): void {
  const sink = new LeaseSink(socket);
  let frame: ByteFiller | null = null;
  const header = Buffer.alloc(HEADER_BYTES);
  let headerAt = 0;
  socket.on("data", (chunk) => {
    let from = 0;
    while (from < chunk.length) {
      if (frame === null) {
        const taken = Math.min(HEADER_BYTES - headerAt, chunk.length - from);
        chunk.copy(header, headerAt, from, from + taken);
        headerAt += taken;
        from += taken;
        if (headerAt < HEADER_BYTES) break;
        frame = arena.filler(HEADER_BYTES + header.readUInt32BE(0));
        frame.put(header);
        headerAt = 0;
      }
      from += frame.put(chunk, from);
      if (!frame.full) break;
      sink.write(frame.take());
      frame = null;
    }
    if (frees) free(chunk);
  });
  socket.on("close", () => frame?.[Symbol.dispose]());
}

function serve(variant: string): Promise<Server> {
  const arena = new Arena({ maxBytes: 64 << 20, trace: "off" });
  const frees = variant.endsWith("freed");
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    if (variant.startsWith("leases")) serveLeases(socket, arena, frees);
    else serveOrdinary(socket, frees);
  });
  return listen(server);
}

/** Frames of the closed loop together: the work is fixed, the time is not. */
const FRAMES = 20_000;
const PACED_SECONDS = 4;

/** One connection that sends frames and is told of each that came back. */
async function connect(port: number, onFrame: () => void): Promise<{ send(): void; end(): void }> {
  const frame = Buffer.alloc(HEADER_BYTES + FRAME_BYTES, 7);
  frame.writeUInt32BE(FRAME_BYTES);
  const socket = await new Promise<Socket>((resolve, reject) => {
    const buffer = Buffer.allocUnsafeSlow(65536);
    let missing = frame.length;
    const each: Socket = net.connect({
      port,
      host: "127.0.0.1",
      onread: {
        buffer,
        callback(byteLength) {
          for (missing -= byteLength; missing <= 0; missing += frame.length) onFrame();
          return true;
        },
      },
    });
    each.once("connect", () => resolve(each));
    each.once("error", reject);
  });
  socket.setNoDelay(true);
  return { send: () => socket.write(frame), end: () => socket.destroy() };
}

async function loadClosed(port: number): Promise<Figures> {
  let toSend = FRAMES;
  let missing = FRAMES;
  const start = performance.now();
  await new Promise<void>((resolve, reject) => {
    for (let each = 0; each < 50; each++) {
      let send = (): void => {};
      connect(port, () => {
        if (--missing === 0) resolve();
        if (toSend-- > 0) send();
      }).then((connection) => {
        send = connection.send;
        if (toSend-- > 0) send();
      }, reject);
    }
  });
  const seconds = (performance.now() - start) / 1000;
  return { megabytesPerSecond: (FRAMES * FRAME_BYTES * 2) / seconds / 1e6, operations: FRAMES };
}

async function loadPaced(port: number): Promise<Figures> {
  const latencies: number[] = [];
  const connections = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const sent: number[] = [];
      const connection = await connect(port, () => {
        latencies.push(performance.now() - (sent.shift() ?? Number.NaN));
      });
      return {
        ...connection,
        /** At the times of the plan, however late the timer is: a wait is not left out. */
        send(due: number) {
          sent.push(due);
          connection.send();
        },
      };
    }),
  );
  const start = performance.now();
  for (let tick = 0; tick < PACED_SECONDS * 100; tick++) {
    const due = start + tick * 10;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    for (const connection of connections) connection.send(due);
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const connection of connections) connection.end();
  return latencyFigures(latencies);
}

const variants = [
  ordinary("allocUnsafe"),
  ordinary("allocUnsafe, chunks freed", 22),
  leases("leases"),
  leases("leases, chunks freed", 22),
];

export const echo: ServerProgram = {
  name: "echo",
  title: "Framed TCP echo, 50 connections, closed loop",
  variants,
  serve,
  load: loadClosed,
};

export const echoPaced: ServerProgram = {
  name: "echo-paced",
  title: "Framed TCP echo, 16 connections, a frame every 10 ms",
  variants,
  serve,
  load: loadPaced,
};
