/** What `parsers` measures, in one file that scripts/bundle-cli.mjs makes, so that each rival can load a copy of its own. */

export { freshBuffers } from "../examples/parsing/source.ts";
export { RespParser } from "../examples/resp/parser.ts";
export { releaseReply } from "../examples/resp/reply.ts";
export { TarParser } from "../examples/tar/parser.ts";
export { encodeFrame } from "../examples/websocket/frames.ts";
export { WebSocketParser } from "../examples/websocket/parser.ts";
