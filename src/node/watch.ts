/**
 * A running program's arenas for `cleanslab watch`, on the loopback interface. Owns the
 * server and its connections. Whoever connects is sent one line of JSON at each interval;
 * nothing is read from anybody, and nothing is counted while nobody is connected.
 */

import { createServer, type Server, type Socket } from "node:net";
import type { Arena } from "../arena.js";
import { isLength, requireArena, requireOptions } from "../checks.js";
import { ArenaError, invalidArgument } from "../errors.js";
import type { ArenaEvents, ArenaStats, TraceSite } from "../index.js";

/** Sites sent of each arena. */
const SITES = 20;
/** Events sent of each arena, the last ones. */
const EVENTS = 5;

/** One line of what is sent. */
export interface WatchSnapshot {
  readonly pid: number;
  readonly title: string;
  /** Milliseconds since the program started. */
  readonly uptimeMs: number;
  readonly arenas: {
    readonly name: string;
    readonly trace: string;
    readonly stats: ArenaStats;
    /** The traced leases that are out, most bytes first. */
    readonly sites: readonly TraceSite[];
    /** Of late: leaks, and what else an arena says. */
    readonly events: readonly { readonly atMs: number; readonly text: string }[];
  }[];
}

export interface WatchOptions {
  /** Default 0: one that is free. */
  port?: number | undefined;
  /** Between two lines, in milliseconds. Default 1000. */
  intervalMs?: number | undefined;
}

export interface WatchServer {
  readonly port: number;
  /** Ends the server and its connections. A second call does nothing. */
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * Lets `cleanslab watch PORT` look at these arenas, from this machine alone: every user of
 * it can see their numbers and call sites. Does not keep the program running.
 *
 * @param arenas by the names they are shown under.
 * @returns a promise that rejects with an ArenaError `ERR_INVALID_ARGUMENT`, also for a port
 *   that cannot be listened on, with the system's error as its `cause`.
 */
export async function serveWatch(arenas: Record<string, Arena>, options: WatchOptions = {}): Promise<WatchServer> {
  requireOptions(options, ["port", "intervalMs"]);
  const { port = 0, intervalMs = 1000 } = options;
  if (!isLength(port) || port > 65535) throw invalidArgument("port", port, "a whole number from 0 to 65535");
  if (!isLength(intervalMs) || intervalMs === 0) {
    throw invalidArgument("intervalMs", intervalMs, "a whole number of milliseconds, at least 1");
  }
  requireArenas(arenas);
  const sockets = new Set<Socket>();
  const send = (): void => {
    const line = `${JSON.stringify(snapshotOf(watched))}\n`;
    // One that does not read gets the next line it has room for.
    for (const socket of sockets) if (!socket.writableNeedDrain) socket.write(line);
  };
  let timer: NodeJS.Timeout | undefined;
  const server = createServer((socket) => {
    sockets.add(socket.unref().resume());
    timer ??= setInterval(send, intervalMs).unref();
    socket.write(`${JSON.stringify(snapshotOf(watched))}\n`);
    socket.on("error", () => {}); // it went away: 'close' comes
    socket.on("close", () => {
      sockets.delete(socket);
      if (sockets.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
  });
  await listen(server, port);
  // No earlier: nothing is left in the arenas if nobody can listen.
  const watched = Object.entries(arenas).map(([name, arena]) => watch(name, arena));
  server.unref();
  const close = (): void => {
    clearInterval(timer);
    server.close();
    for (const socket of sockets) socket.destroy();
    for (const each of watched) each.close();
  };
  const { port: bound } = server.address() as { port: number };
  return { port: bound, close, [Symbol.dispose]: close };
}

function requireArenas(arenas: Record<string, Arena>): void {
  const isObject = typeof arenas === "object" && arenas !== null && !Array.isArray(arenas);
  if (!isObject) throw invalidArgument("arenas", arenas, "{ name: arena }");
  if (Object.keys(arenas).length === 0) {
    const what = "acquire" in arenas ? "an arena itself" : "empty";
    throw new ArenaError("ERR_INVALID_ARGUMENT", `arenas is ${what}; pass { name: arena }`);
  }
  for (const [name, arena] of Object.entries(arenas)) {
    requireArena(arena, `arenas.${name}`);
    if (typeof arena.addEventListener === "function") continue;
    throw invalidArgument(`arenas.${name}`, arena, "an Arena: others cannot be watched");
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const message = `port is ${port}; pass one that can be listened on: ${cause.message}`;
      reject(new ArenaError("ERR_INVALID_ARGUMENT", message, { cause }));
    });
    server.listen(port, "127.0.0.1", resolve);
  });
}

/** An arena, and what it said of late. */
interface Watched {
  readonly name: string;
  readonly arena: Arena;
  readonly events: { atMs: number; text: string }[];
  close(): void;
}

function watch(name: string, arena: Arena): Watched {
  const events: Watched["events"] = [];
  const say = (text: string): void => {
    events.push({ atMs: Date.now(), text });
    if (events.length > EVENTS) events.shift();
  };
  const listeners: { [K in keyof ArenaEvents]: (event: ArenaEvents[K]) => void } = {
    leak: ({ leases, byteLength, sites: [site] }) =>
      say(`leak: ${site?.summary ?? `${leases} leases of ${byteLength} bytes`}`),
    exhausted: ({ count, byteLength }) =>
      say(`past the cap: ${count} leases on the heap, the last of ${byteLength} bytes`),
    dirty: ({ released }) => say(`written after release: ${released?.trim().split("\n")[0] ?? "?"}`),
    "stray-write": ({ sites: [site] }) => say(`stray write into a segment of ${site?.summary ?? "untraced leases"}`),
  };
  const each = Object.entries(listeners) as [keyof ArenaEvents, (event: never) => void][];
  for (const [type, listener] of each) arena.addEventListener(type, listener as never);
  const close = (): void => {
    for (const [type, listener] of each) arena.removeEventListener(type, listener as never);
  };
  return { name, arena, events, close };
}

function snapshotOf(watched: readonly Watched[]): WatchSnapshot {
  return {
    pid: process.pid,
    title: process.argv[1] ?? process.title,
    uptimeMs: Math.round(process.uptime() * 1000),
    arenas: watched.map(({ name, arena, events }) => ({
      name,
      trace: arena.trace,
      stats: arena.stats(),
      sites: arena.sites.slice(0, SITES),
      events,
    })),
  };
}
