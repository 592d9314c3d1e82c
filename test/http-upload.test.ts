/** The upload server answers the same whatever its buffers are, and keeps no lease. */

import { createHash } from "node:crypto";
import { request } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { BODY_LIMIT, STRATEGIES } from "../examples/http-upload/bodies.ts";
import { bodyOf } from "../examples/http-upload/load.ts";
import { startServer } from "../examples/http-upload/server.ts";

const MiB = 1024 * 1024;

test.each(STRATEGIES)(
  "%s: every body is digested, one too long is refused, and nothing stays leased",
  async (strategy) => {
    const { server, report } = await startServer({ strategy, maxBytes: 4 * MiB, work: "compress" });
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/`;
    try {
      const lengths = [0, 1, 1024, 65_537, BODY_LIMIT];
      const answers = await Promise.all(
        lengths.map(async (byteLength) => (await fetch(url, { method: "POST", body: bodyOf(byteLength) })).json()),
      );
      expect(answers).toMatchObject(
        lengths.map((byteLength) => ({
          byteLength,
          digest: createHash("sha256").update(bodyOf(byteLength)).digest("hex"),
        })),
      );
      expect(await statusOf(port, bodyOf(BODY_LIMIT + 1))).toBe(413);
      expect(report().liveLeases).toBe(0);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  },
);

test("a client that goes away in the middle of its body leaves no lease behind", async () => {
  const { server, report } = await startServer({ strategy: "leased", maxBytes: 4 * MiB, work: "digest" });
  const { port } = server.address() as AddressInfo;
  try {
    const upload = request({ port, host: "127.0.0.1", method: "POST", headers: { "content-length": 100_000 } });
    upload.on("error", () => {}); // it is we who hang up
    upload.write(bodyOf(50_000));
    while (report().liveLeases === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    upload.destroy();
    while (report().liveLeases !== 0) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

/** With `http`, as `fetch` may fail when the answer comes before all of the body is sent. */
function statusOf(port: number, body: Buffer): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const upload = request({ port, host: "127.0.0.1", method: "POST" }, (response) => {
      resolve(response.statusCode);
      response.resume();
    });
    upload.on("error", reject);
    upload.end(body);
  });
}
