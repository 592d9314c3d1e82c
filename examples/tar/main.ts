/**
 * Lists a tar archive with a digest of each file: `npx tsx examples/tar/main.ts some.tar`,
 * or `-` for standard input.
 */

import { createHash, type Hash } from "node:crypto";
import { Arena, type Lease } from "cleanslab";
import { eachFileLease } from "cleanslab/node";
import { ParseError } from "../parsing/errors.ts";
import { TarParser } from "./parser.ts";

const path = process.argv[2];
if (path === undefined) {
  console.error("usage: npx tsx examples/tar/main.ts ARCHIVE, or - for standard input");
  process.exit(2);
}

const arena = new Arena();
let hash: Hash | null = null;
const parser = new TarParser(arena, {
  entry(entry) {
    hash = entry.type === "file" ? createHash("sha256") : null;
    return undefined;
  },
  data(lease) {
    hash?.update(lease.bytes);
    lease.release();
  },
  entryEnd({ type, name, linkName, byteLength }) {
    const what = hash === null ? type.padEnd(64) : hash.digest("hex");
    // Quoted: a name may hold what a terminal obeys, or what is not UTF-8.
    const names = [name, linkName].filter((each) => each !== "").map((each) => JSON.stringify(each));
    console.log(`${what} ${String(byteLength).padStart(10)} ${names.join(" -> ")}`);
  },
});

function writeAndRelease(lease: Lease): void {
  try {
    parser.write(lease.bytes);
  } finally {
    lease.release();
  }
}

try {
  if (path === "-") for await (const chunk of process.stdin) parser.write(chunk);
  else await eachFileLease(path, arena, {}, writeAndRelease);
  parser.end();
} catch (error) {
  parser.destroy();
  if (!(error instanceof ParseError) && !(error instanceof Error && "code" in error)) throw error;
  console.error(`${path}: ${error.message}`);
  process.exitCode = 1;
}
arena.assertDrained();
