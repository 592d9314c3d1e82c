/**
 * Sends one command to a Redis server and prints its reply, and every push:
 * `npx tsx examples/resp/main.ts [--port 6379] [--resp 3] PING`.
 */

import { connect } from "node:net";
import { parseArgs } from "node:util";
import { Arena } from "cleanslab";
import { readSocket, writeAndRelease } from "cleanslab/node";
import { encodeCommands, type RespCommand } from "./commands.ts";
import { RespParser } from "./parser.ts";
import { type RespReply, releaseReply } from "./reply.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "6379" },
    resp: { type: "string", default: "2" },
  },
});

const arena = new Arena();
const commands: RespCommand[] = [["HELLO", values.resp], positionals.length === 0 ? ["PING"] : positionals];
let replies = 0;
const parser = new RespParser(arena, (reply) => {
  // A push is nobody's reply.
  if (reply.kind !== "push") replies++;
  if (reply.kind === "push" || replies === commands.length) console.log(show(reply));
  releaseReply(reply);
  if (replies === commands.length) socket.end();
});

const socket = readSocket((onread) => connect({ port: Number(values.port), host: values.host, onread }), arena, {
  onBytes: (bytes) => parser.write(bytes),
});
socket.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
socket.on("close", () => parser.destroy());
// Its own failure is the socket's 'error' too.
await writeAndRelease(socket, encodeCommands(arena, commands)).catch(() => {});
await arena.drained();

function show(reply: RespReply, indent = ""): string {
  const deeper = `${indent}  `;
  if (reply.kind === "malformed") return `(malformed) ${reply.error.message}`;
  if ("lease" in reply) return JSON.stringify(Buffer.from(reply.lease.bytes).toString());
  if ("text" in reply) return reply.kind === "error" ? `(error) ${reply.text}` : reply.text;
  if ("items" in reply) return `${reply.kind}${reply.items.map((item) => `\n${deeper}${show(item, deeper)}`).join("")}`;
  if ("pairs" in reply) {
    return `map${reply.pairs.map(([key, value]) => `\n${deeper}${show(key, deeper)}: ${show(value, deeper)}`).join("")}`;
  }
  return reply.kind === "null" ? "(null)" : String(reply.value);
}
