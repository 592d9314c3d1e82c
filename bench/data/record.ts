/**
 * Records the traces of this folder anew: `npx tsx bench/data/record.ts`.
 *
 *   files.json         the lengths of the files of this project's node_modules,
 *                      in the order in which reading them one by one meets them
 *   socket-reads.json  the lengths of the reads of a TCP client that fetches
 *                      those files over HTTP on the loopback, one connection
 */

import { once } from "node:events";
import { createReadStream, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Longer files are not read in one piece by anyone who minds memory. */
const MOST_BYTES = 2 ** 20;
const READ_BYTES = 65_536;

const root = fileURLToPath(new URL("../../node_modules/", import.meta.url));

interface File {
  path: string;
  byteLength: number;
}

function* filesUnder(folder: string): Generator<File> {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else if (entry.isFile()) yield { path, byteLength: statSync(path).size };
  }
}

function serve(files: readonly File[]): Server {
  const server = createServer((request, response) => {
    const file = files[Number(request.url?.slice(1))];
    if (file === undefined) return response.writeHead(404).end();
    response.writeHead(200, { "content-length": file.byteLength, "content-type": "application/octet-stream" });
    createReadStream(file.path).pipe(response);
  });
  return server.listen(0, "127.0.0.1");
}

/** The lengths of all reads of a client that asks for one file after the other. */
async function fetchAll(files: readonly File[]): Promise<number[]> {
  const server = serve(files);
  await once(server, "listening");
  const lengths: number[] = [];
  let received = 0;
  let onRead = (): void => {};
  const callback = (byteLength: number): boolean => {
    lengths.push(byteLength);
    received += byteLength;
    onRead();
    return true;
  };
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: "127.0.0.1", onread: { buffer: new Uint8Array(READ_BYTES), callback } });
  await once(socket, "connect");
  for (const [index, { byteLength }] of files.entries()) {
    const before = received;
    socket.write(`GET /${index} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    // More than the file is here, so at most a part of the answer's head is missing: wait for a turn without a read.
    await new Promise<void>((resolve) => {
      let quiet: NodeJS.Immediate | undefined;
      onRead = () => {
        clearImmediate(quiet);
        if (received - before > byteLength) quiet = setImmediate(resolve);
      };
    });
  }
  socket.destroy();
  server.close();
  return lengths;
}

function write(name: string, what: string, lengths: readonly number[]): void {
  const path = fileURLToPath(new URL(name, import.meta.url));
  const recorded = new Date().toISOString().slice(0, 10);
  writeFileSync(path, `${JSON.stringify({ what, recorded, node: process.version, lengths })}\n`);
  console.log(`${name}: ${lengths.length} lengths, ${lengths.reduce((sum, each) => sum + each, 0)} bytes`);
}

const files = [...filesUnder(root)].filter(({ byteLength }) => byteLength > 0 && byteLength <= MOST_BYTES);
write(
  "files.json",
  `files of node_modules in order of their paths, without empty ones and those above ${MOST_BYTES} bytes`,
  files.map(({ byteLength }) => byteLength),
);
write(
  "socket-reads.json",
  `reads of a TCP client that fetches those files over HTTP on the loopback, at most ${READ_BYTES} bytes each`,
  await fetchAll(files),
);
