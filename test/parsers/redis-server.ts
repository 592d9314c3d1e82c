/** A Redis server of the test's own: on a free loopback port, in a folder that goes with it. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RedisServer {
  readonly port: number;
  readonly version: string;
  stop(): Promise<void>;
}

/** The version of the redis-server on the path; `null` if there is none. `CLEANSLAB_REQUIRE=redis` makes that an error. */
export function findRedis(): string | null {
  const { stdout, error } = spawnSync("redis-server", ["--version"], { encoding: "utf8" });
  if (error === undefined) return /v=(\S+)/.exec(stdout)?.[1] ?? "of an unknown version";
  if ((process.env["CLEANSLAB_REQUIRE"] ?? "").split(",").includes("redis")) {
    throw new Error("CLEANSLAB_REQUIRE=redis, and there is no redis-server: scripts/install-debian.sh redis-server");
  }
  console.log("skipped: no redis-server on the path; scripts/install-debian.sh redis-server installs it");
  return null;
}

export async function startRedis(version: string): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-redis-"));
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
    // DEBUG PROTOCOL sends one value of each type; 7.0 and later lock it.
    if (Number.parseInt(version, 10) >= 7) flags.push("--enable-debug-command", "yes");
    const server = spawn("redis-server", flags, { stdio: ["ignore", "pipe", "inherit"] });
    if (await isReady(server)) {
      return { port, version, stop: () => stop(server, folder) };
    }
    if (attempt === 5) throw new Error("redis-server did not start in five attempts");
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => {
        if (typeof address === "object" && address !== null) resolve(address.port);
        else reject(new Error("a listening socket has a port"));
      });
    });
  });
}

/** False if it ends first: somebody else may have taken the port. */
function isReady(server: ChildProcess): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let log = "";
    server.stdout?.on("data", (chunk) => {
      log += chunk;
      if (log.includes("Ready to accept connections")) resolve(true);
    });
    server.once("exit", () => resolve(false));
    server.once("error", reject);
  });
}

async function stop(server: ChildProcess, folder: string): Promise<void> {
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGKILL");
  await ended;
  rmSync(folder, { recursive: true, force: true });
}
