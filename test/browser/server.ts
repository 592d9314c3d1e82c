/**
 * Serves folders and pages to the browsers under test, on a free loopback port.
 * Which headers a page has is said by its path.
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The empty pages, by path, with the headers that set them apart. */
const PAGES: Record<string, Record<string, string>> = {
  "/plain": {},
  "/isolated": { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" },
  "/no-wasm": { "Content-Security-Policy": "script-src 'self' 'unsafe-inline'" },
};

const EMPTY_PAGE = "<!doctype html><html lang=en><title>cleanslab</title><body></body></html>";

export interface Server {
  readonly origin: string;
  close(): void;
}

/** @param folders by the path they are served under, which ends in a slash. */
export async function serve(folders: Record<string, string>): Promise<Server> {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const headers = PAGES[path];
    if (headers !== undefined) {
      response.writeHead(200, { "Content-Type": TYPES[".html"], ...headers }).end(EMPTY_PAGE);
      return;
    }
    const body = await readFrom(folders, path);
    if (body === undefined) response.writeHead(404).end();
    else {
      const type = TYPES[extname(path) || ".html"] ?? "application/octet-stream";
      // So that workers run in isolated pages as well.
      response.writeHead(200, { "Content-Type": type, ...PAGES["/isolated"] }).end(body);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, close: () => server.close() };
}

async function readFrom(folders: Record<string, string>, path: string): Promise<Buffer | undefined> {
  const prefix = Object.keys(folders).find((each) => path.startsWith(each));
  if (prefix === undefined) return undefined;
  const inside = normalize(path.slice(prefix.length)) || "index.html";
  if (inside.startsWith("..")) return undefined;
  return readFile(join(folders[prefix] as string, inside === "." ? "index.html" : inside)).catch(() => undefined);
}
