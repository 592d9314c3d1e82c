/**
 * `cleanslab watch PORT`: the arenas of a running program that called `serveWatch`. On a
 * terminal the picture is drawn over at each line that comes; elsewhere frames follow each other.
 */

import { connect } from "node:net";
import { createInterface } from "node:readline";
import type { WatchSnapshot } from "cleanslab/node";
import { EXIT, Failure, reasonOf, UsageError } from "./failure.ts";
import { drawWatch } from "./watch-frame.ts";

const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";
const CLEAR_ALL = "\x1b[2J";

export interface WatchCommandOptions {
  /** One picture, with the rates from one line to the next, and the end. */
  once?: boolean;
}

/** Ends when the program does, or the connection. Gives the exit code. */
export async function watch(where: string | undefined, { once = false }: WatchCommandOptions): Promise<number> {
  const port = Number(where);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new UsageError(`say the port that serveWatch gave, not ${where === undefined ? "nothing" : `"${where}"`}`);
  }
  const socket = connect({ port, host: "127.0.0.1" });
  const isScreen = process.stdout.isTTY && !once;
  const print = (snapshot: WatchSnapshot): void => {
    const frame = drawWatch(snapshot, previous, { columns: 80, rows: 1000 });
    process.stdout.write(`${frame.join("\n")}\n\n`);
  };
  let previous: WatchSnapshot | undefined;
  let isDrawn = false;
  try {
    for await (const line of createInterface({ input: socket })) {
      const snapshot = parse(line, port);
      isDrawn = !once || previous !== undefined;
      if (isScreen) {
        const { columns, rows } = process.stdout;
        const frame = [...drawWatch(snapshot, previous, { columns, rows: rows - 1 }), "Ctrl+C leaves"];
        const start = previous === undefined ? CLEAR_ALL + HOME : HOME;
        process.stdout.write(`${start}${frame.map((each) => `${each}${CLEAR_LINE}`).join("\n")}${CLEAR_BELOW}`);
      } else if (isDrawn) print(snapshot);
      previous = snapshot;
      if (once && isDrawn) break;
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (previous === undefined) throw new Failure(`nobody serves a watch on port ${port}: ${reasonOf(error)}`);
  } finally {
    socket.destroy();
  }
  if (previous === undefined) throw new Failure(`what answers on port ${port} says nothing`);
  if (!isDrawn) print(previous);
  if (isScreen) process.stdout.write("\nthe program has ended\n");
  return EXIT.done;
}

function parse(line: string, port: number): WatchSnapshot {
  try {
    const snapshot = JSON.parse(line);
    if (Array.isArray(snapshot.arenas)) return snapshot;
  } catch {
    // Said below.
  }
  throw new Failure(`what answers on port ${port} is no serveWatch of cleanslab`);
}
