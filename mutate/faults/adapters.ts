/** In what stands on leases: the writer, and the adapters of streams, sockets and files. */

import { type Fault, inFile } from "../fault.js";

export const ADAPTERS: readonly Fault[] = [
  ...inFile(
    "src/writer.ts",
    ["test/unit/writer.test.ts", "test/unit/writer-model.test.ts", "test/misuse/writer.test.ts"],
    [
      ["no wipe of the old block on growth", "    old.release();\n", "    old.release({ written: 0 });\n"],
      ["the old block stays leased on growth", "    old.release();\n", ""],
      ["what was written is not taken along on growth", "    bytes.set(oldBytes.subarray(0, this.#length));\n", ""],
      [
        "numbers go to the old block after growth",
        "    this.#view = null;\n    try {\n      old.release();\n",
        "    try {\n      old.release();\n",
      ],
      [
        "no wipe on reset",
        '    this.#requireLease("reset").bytes.fill(0, 0, this.#length);\n',
        '    this.#requireLease("reset");\n',
      ],
      ["no wipe after a failed write", "this.#bytes.fill(0, at, at + written);", ";"],
      [
        "a patch beyond the end passes",
        'requireInteger(offset, 0, this.#length - byteLength, "offset");',
        'requireInteger(offset, 0, this.#length, "offset");',
      ],
      [
        "no room for twice as much is an error",
        'if (!(error instanceof ArenaError) || error.code !== "ERR_ARENA_EXHAUSTED") throw error;',
        "throw error;",
      ],
      [
        "what is taken is the whole block",
        'Lease.shorten(this.#requireLease("take what was written"), this.#length)',
        'this.#requireLease("take what was written")',
      ],
      ["dispose keeps the lease", "      lease?.[Symbol.dispose]();\n", ""],
    ],
  ),
  ...inFile(
    "src/checks.ts",
    ["test/misuse/nonsense.test.ts", "test/node/file.test.ts"],
    [
      ["what can be released passes for a lease", "typeof lease?.releaseAfter ===", "typeof lease?.release ==="],
      ["what can acquire passes for an arena", ' && typeof arena.writer === "function"', ""],
      ["a chunk of no bytes passes", "isLength(chunkBytes) && chunkBytes > 0", "isLength(chunkBytes)"],
    ],
  ),
  ...inFile(
    "src/encoding.ts",
    ["test/unit/encoding.test.ts", "test/unit/writer-model.test.ts", "test/misuse/writer.test.ts"],
    [
      ["a varint's last byte is off by one", "for (; rest > 0x7f;", "for (; rest > 0x80;"],
      ["a varint is a byte short", "value >= bound; bound *= 128", "value > bound; bound *= 128"],
      ["a negative zigzag is off by one", "-2 * value - 1", "-2 * value"],
      ["text is not ASCII and passes for it", "if (unit > 0x7f) return false;", "if (unit > 0xff) return false;"],
      ["surrogate pairs are counted as three bytes", "      byteLength++;\n      each++;\n", "      each++;\n"],
      ["a bigint beyond 64 bits passes", "value >= 0n && value <= MAX_UINT64", "value >= 0n"],
      [
        "a negative number passes for unsigned",
        "Number.isSafeInteger(value) && value >= 0)",
        "Number.isSafeInteger(value))",
      ],
    ],
  ),
  ...inFile(
    "src/collector.ts",
    ["test/node/collect.test.ts"],
    [
      [
        "one byte over the limit passes",
        "if (byteLength + chunk.byteLength > this.#limit)",
        "if (byteLength + chunk.byteLength > this.#limit + 1)",
      ],
      [
        "as much as the limit is refused",
        "if (byteLength + chunk.byteLength > this.#limit)",
        "if (byteLength + chunk.byteLength >= this.#limit)",
      ],
      ["no release on failure", "    writer?.[Symbol.dispose]();\n", ""],
      [
        "no release when what was collected cannot be taken",
        "      writer[Symbol.dispose]();\n      throw error;",
        "      throw error;",
      ],
      [
        "a hint over the limit passes",
        "    if (byteLengthHint !== undefined && byteLengthHint > limit) throw limitExceeded(limit);\n",
        "",
      ],
      ["the hint makes no room", "Math.max(this.#hint ?? 0, chunk.byteLength)", "chunk.byteLength"],
      ["who gave up beforehand is served", "    if (signal?.aborted) throw signal.reason;\n", ""],
    ],
  ),
  ...inFile(
    "src/node/write.ts",
    ["test/node/write.test.ts"],
    [
      [
        "released before the write is done",
        "  return lease.releaseAfter(written);",
        "  lease.release();\n  return written;",
      ],
      [
        "a stream that is closed is not noticed",
        "const forget = whenClosed(stream, () => reject(prematureClose()));",
        "const forget = () => {};",
      ],
      ["a closed stream is written to", "    if (stream.closed) throw prematureClose();\n", ""],
      ["one listener more for each write", "    waiting.set(stream, each);\n", ""],
      [
        "pipeLeases does not wait",
        "    await writeAndRelease(stream, lease);\n",
        "    void writeAndRelease(stream, lease);\n",
      ],
    ],
  ),
  ...inFile(
    "src/node/socket.ts",
    ["test/node/socket.test.ts"],
    [
      ["the armed lease stays out at close", '  else socket.once("close", disarm);\n', ""],
      ["the armed lease stays out if there never was a socket", "    disarm();\n    throw error;", "    throw error;"],
      ["the lease stays out when onLease throws", "    exact[Symbol.dispose]();\n", ""],
      ["a lease is handed on and still armed", "    armed = null;\n    return handOn", "    return handOn"],
      ["onLease cannot pause", "return onLease(exact, socket) !== false;", "onLease(exact, socket);\n    return true;"],
    ],
  ),
  ...inFile(
    "src/node/file.ts",
    ["test/node/file.test.ts"],
    [
      ["what was read ahead stays out", 'read.status === "fulfilled" ? read.value : null', "null"],
      ["the file stays open", "    await file.close();\n", ""],
      ["the lease for the end of the file stays out", "  lease.release();\n  return null;", "  return null;"],
      ["the lease of a failed read stays out", "    lease[Symbol.dispose]();\n    throw error;", "    throw error;"],
    ],
  ),
  ...inFile(
    "src/node/collect.ts",
    ["test/node/collect.test.ts"],
    [
      ["a body that failed stays leased", "      collector.discard();\n", ""],
      ["a stream that is too long is read on", "      stream.pause();\n", ""],
      ["who gives up is not heard", '    signal?.addEventListener("abort", abort, { once: true });\n', ""],
    ],
  ),
  ...inFile(
    "src/node/bridge.ts",
    ["test/node/write.test.ts"],
    [["what was copied stays leased", "    lease[Symbol.dispose]();\n", ""]],
  ),
];
