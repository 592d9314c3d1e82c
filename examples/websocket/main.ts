/**
 * A WebSocket echo server: `npx tsx examples/websocket/main.ts [--port 8080]`.
 * Ends on SIGINT, and says what the arena did.
 */

import { parseArgs } from "node:util";
import { Arena } from "cleanslab";
import { createEchoServer } from "./echo.ts";

const { values } = parseArgs({ options: { port: { type: "string", default: "8080" } } });
const arena = new Arena();
const server = createEchoServer({ arena });
server.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
server.listen(Number(values.port), "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" ? address?.port : address;
  console.log(`ws://127.0.0.1:${port} sends back what it gets; Ctrl-C ends it`);
});
process.once("SIGINT", () => {
  const { acquired, liveLeases, reservedBytes, peakReservedBytes } = arena.stats();
  console.log(
    `${acquired} leases, ${liveLeases} of them out, ${reservedBytes} bytes reserved, ${peakReservedBytes} at the most`,
  );
  process.exit();
});
