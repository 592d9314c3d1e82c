/**
 * Programs that send: `fan-out`, one message encoded once and sent to 200 WebSocket
 * clients; `encode`, MessagePack records for a socket; `proxy`, one socket to another.
 */

import { createServer } from "node:http";
import net, { type Socket } from "node:net";
import { Arena } from "cleanslab";
import { LeaseSink, readSocketLeases } from "cleanslab/node";
import { Packr } from "msgpackr";
import WebSocket, { WebSocketServer } from "ws";
import { broadcastLease } from "../../examples/recipes/ws.ts";
import { type Figures, latencyFigures, leases, listen, ordinary, type Server, type ServerProgram } from "./program.ts";

const CLIENTS = 200;
const MESSAGES = 300;
const MESSAGE_BYTES = 20_000;

/** A message whose first eight bytes say when it was sent. */
function fillMessage(bytes: Uint8Array, round: number): void {
  bytes.fill(round & 255);
  new DataView(bytes.buffer, bytes.byteOffset).setFloat64(0, performance.timeOrigin + performance.now());
}

function serveFanOut(variant: string): Promise<Server> {
  const arena = new Arena({ trace: "off" });
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  const clients = new Set<WebSocket>();
  let round = 0;
  const broadcast = (): void => {
    if (round++ === MESSAGES) {
      for (const client of clients) client.close();
      return;
    }
    if (variant === "leases") {
      const lease = arena.acquireFilled(MESSAGE_BYTES, (bytes) => {
        fillMessage(bytes, round);
        return MESSAGE_BYTES;
      });
      broadcastLease(clients, lease);
    } else {
      const bytes = Buffer.allocUnsafe(MESSAGE_BYTES);
      fillMessage(bytes, round);
      for (const client of clients) client.send(bytes);
    }
    setTimeout(broadcast, 10);
  };
  server.on("connection", (client) => {
    clients.add(client);
    client.on("close", () => clients.delete(client));
    if (clients.size === CLIENTS) setTimeout(broadcast, 50);
  });
  return listen(http);
}

async function loadFanOut(port: number): Promise<Figures> {
  const latencies: number[] = [];
  await Promise.all(
    Array.from({ length: CLIENTS }, () => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
      socket.on("message", (data: Buffer) => {
        latencies.push(performance.timeOrigin + performance.now() - data.readDoubleBE(0));
        if (data.length !== MESSAGE_BYTES || data[100] !== data[MESSAGE_BYTES - 1]) throw new Error("a torn message");
      });
      return new Promise((resolve, reject) => {
        socket.on("close", resolve);
        socket.on("error", reject);
      });
    }),
  );
  if (latencies.length !== CLIENTS * MESSAGES) throw new Error(`${latencies.length} messages came`);
  return latencyFigures(latencies);
}

export const fanOut: ServerProgram = {
  name: "fan-out",
  title: "WebSocket fan-out with ws: 20 KB to 200 clients, 300 times",
  variants: [ordinary("allocUnsafe"), leases("leases")],
  serve: serveFanOut,
  load: loadFanOut,
};

const RECORDS = 100_000;
const record = {
  id: 1234567,
  name: "a record with some fields",
  tags: ["one", "two", "three"],
  values: Array.from({ length: 60 }, (_, each) => each * 1.5),
  nested: { ok: true, note: "x".repeat(400) },
};

/** Records are gathered to stretches of this length before they are written. */
const STRETCH_BYTES = 32_768;

/** One stretch of records at a time, until all are sent. */
type NextStretch = (socket: Socket) => boolean;

function stretches(variant: string, arena: Arena, socket: Socket): NextStretch {
  const packr = new Packr({ useRecords: false });
  let sent = 0;
  if (variant === "leases") {
    const sink = new LeaseSink(socket);
    return () => {
      const writer = arena.writer(STRETCH_BYTES + 4096);
      while (sent < RECORDS && writer.byteLength < STRETCH_BYTES) {
        record.id = sent++;
        writer.writeBytes(packr.pack(record));
      }
      if (sent === RECORDS) {
        sink.write(writer.take());
        socket.end();
        return false;
      }
      return sink.write(writer.take());
    };
  }
  return () => {
    const pieces: Buffer[] = [];
    let byteLength = 0;
    while (sent < RECORDS && byteLength < STRETCH_BYTES) {
      record.id = sent++;
      const piece = packr.pack(record);
      byteLength += piece.length;
      pieces.push(piece);
    }
    const goesOn = socket.write(Buffer.concat(pieces, byteLength));
    if (sent < RECORDS) return goesOn;
    socket.end();
    return false;
  };
}

function serveEncode(variant: string): Promise<Server> {
  const arena = new Arena({ trace: "off" });
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    const next = stretches(variant, arena, socket);
    const send = (): void => {
      while (next(socket));
    };
    socket.on("drain", send);
    send();
  });
  return listen(server);
}

async function loadEncode(port: number): Promise<Figures> {
  let byteLength = 0;
  const start = performance.now();
  await Promise.all(
    Array.from(
      { length: 4 },
      () =>
        new Promise((resolve, reject) => {
          const socket = net.connect(port, "127.0.0.1");
          socket.on("data", (chunk) => {
            byteLength += chunk.length;
          });
          socket.on("close", resolve);
          socket.on("error", reject);
        }),
    ),
  );
  return {
    operations: RECORDS * 4,
    megabytesPerSecond: byteLength / (performance.now() - start) / 1000,
  };
}

export const encode: ServerProgram = {
  name: "encode",
  title: "MessagePack records of about 1 KB for four sockets",
  variants: [ordinary("packr.pack"), leases("leases")],
  serve: serveEncode,
  load: loadEncode,
};

const PROXY_BYTES = 1_000_000_000;

/** Forwards to an upstream that the load started; its port comes first, in two bytes. */
function serveProxy(variant: string): Promise<Server> {
  const arena = new Arena({ trace: "off" });
  const server = net.createServer((front) => {
    front.on("error", () => {});
    front.once("data", (first) => {
      front.pause();
      const port = first.readUInt16BE(0);
      if (variant === "leases") proxyLeases(front, port, arena);
      else proxyPipe(front, port);
    });
  });
  return listen(server);
}

function proxyPipe(front: Socket, port: number): void {
  const back = net.connect(port, "127.0.0.1");
  back.on("error", () => front.destroy());
  back.pipe(front);
  front.pipe(back);
}

function proxyLeases(front: Socket, port: number, arena: Arena): void {
  // Each read is a lease, which is written as it is: nothing is copied.
  let isPaused = false;
  const sink = new LeaseSink(front, {
    onReleased: () => {
      if (!isPaused || sink.pending > 2) return;
      isPaused = false;
      back.resume();
    },
  });
  const back: Socket = readSocketLeases((onread) => net.connect({ port, host: "127.0.0.1", onread }), arena, {
    onLease(lease) {
      sink.write(lease);
      isPaused = sink.pending > 4;
      return !isPaused;
    },
  });
  back.on("error", () => front.destroy());
  back.on("end", () => front.end());
  front.on("end", () => back.end());
  front.resume();
}

async function loadProxy(port: number): Promise<Figures> {
  const block = Buffer.alloc(65536, 9);
  const upstream = net.createServer((socket) => {
    socket.on("error", () => {});
    let left = PROXY_BYTES;
    const send = (): void => {
      while (left > 0) {
        left -= block.length;
        if (!socket.write(block)) {
          socket.once("drain", send);
          return;
        }
      }
      socket.end();
    };
    send();
  });
  const { port: upstreamPort, close } = await listen(upstream);
  const first = Buffer.alloc(2);
  first.writeUInt16BE(upstreamPort);
  const start = performance.now();
  let byteLength = 0;
  await new Promise((resolve, reject) => {
    const buffer = Buffer.allocUnsafeSlow(262_144);
    const socket = net.connect({
      port,
      host: "127.0.0.1",
      onread: {
        buffer,
        callback(length) {
          byteLength += length;
          return true;
        },
      },
    });
    socket.write(first);
    socket.on("close", resolve);
    socket.on("error", reject);
  });
  await close();
  if (byteLength < PROXY_BYTES) throw new Error(`${byteLength} bytes came through`);
  return { operations: 1, megabytesPerSecond: byteLength / (performance.now() - start) / 1000 };
}

export const proxy: ServerProgram = {
  name: "proxy",
  title: "A proxy from one socket to another, 1 GB",
  variants: [ordinary("pipe"), leases("leases")],
  serve: serveProxy,
  load: loadProxy,
};
