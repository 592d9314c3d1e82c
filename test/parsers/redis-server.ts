/** A Redis server of the test's own: on a free loopback port, in a folder that goes with it. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RedisServer {
  readonly port: number;
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
  for (let attempt = 1; attempt <= 5; attempt++) {
    const port = await freePort();
    const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
    // DEBUG PROTOCOL sends one value of each type; 7.0 and later lock it.
    if (Number.parseInt(version, 10) >= 7) flags.push("--enable-debug-command", "yes");
    const server = spawn("redis-server", flags, { stdio: ["ignore", "pipe", "inherit"] });
    const exit = once(server, "exit");
    // Somebody else may have taken the port: then it ends.
    if (!(await Promise.race([isReady(server), exit.then(() => false)]))) continue;
    return {
      port,
      async stop() {
        server.kill("SIGKILL");
        await exit;
        rmSync(folder, { recursive: true, force: true });
      },
    };
  }
  throw new Error("redis-server did not start in five attempts");
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

async function isReady({ stdout }: ChildProcess): Promise<boolean> {
  let log = "";
  for await (const chunk of stdout?.iterator({ destroyOnReturn: false }) ?? []) {
    log += chunk;
    if (log.includes("Ready to accept connections")) return true;
  }
  return false;
}
