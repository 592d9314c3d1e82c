/** Real servers and peers for the tests of cleanslab/node, and others who take what memory is free. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server as HttpServer, type RequestListener } from "node:http";
import net, { type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Arena } from "cleanslab";
import { afterAll } from "vitest";
import { exhaust, expectSound, releaseAll } from "../helpers.ts";

export interface Served {
  port: number;
  /** Ends the server and every connection. */
  close(): Promise<void>;
}

/** Bytes in which each place can be told from every other; no two seeds give the same. */
export function pattern(byteLength: number, seed = 1): Buffer<ArrayBuffer> {
  return createHash("shake256", { outputLength: byteLength }).update(String(seed)).digest() as Buffer<ArrayBuffer>;
}

export async function listen(server: Server | HttpServer): Promise<Served> {
  const sockets = new Set<Socket>();
  const connected = (socket: Socket): void => {
    sockets.add(quiet(socket));
    socket.once("close", () => sockets.delete(socket));
  };
  server.on("connection", connected);
  server.on("secureConnection", connected);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

export function serveHttp(listener: RequestListener): Promise<Served> {
  return listen(createServer(listener));
}

export function serveTcp(onSocket: (socket: Socket) => void): Promise<Served> {
  return listen(net.createServer(onSocket));
}

/** `stream`, whose errors are expected. */
export function quiet<S extends { on(event: "error", listener: () => void): unknown }>(stream: S): S {
  stream.on("error", () => {});
  return stream;
}

/** A folder that goes when the file's tests are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A key and a certificate for `localhost`, made by the system's openssl; `null` where there is none. */
export function selfSigned(): { key: string; cert: string } | null {
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  try {
    execFileSync("openssl", [...args, "-subj", "/CN=localhost", "-keyout", key, "-out", cert], { stdio: "pipe" });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** All leases are back, and every invariant holds. */
export function expectDrained(arena: Arena): void {
  arena.assertDrained();
  expectSound(arena);
}

/** What is free belongs to others at once, who write to it. The arena's policy is `"throw"`. */
export function reuse(arena: Arena, byteLength: number): void {
  const others = exhaust(arena, byteLength);
  for (const other of others) other.bytes.fill(0xee);
  releaseAll(others);
}

export class NeverEnded extends Error {}

/** Far more than any test needs. */
export const NEVER_MS = 5000;

/** @throws NeverEnded in place of a promise that does not settle. */
export async function bounded<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const never = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new NeverEnded(`${what} never came to an end`)), NEVER_MS);
  });
  return Promise.race([promise, never]).finally(() => clearTimeout(timer));
}
