/** In what gives leases to the caller: the arena, leases, pools, scopes, and who waits. */

import { type Fault, inFile } from "../fault.js";

export const LEASES: readonly Fault[] = [
  ...inFile(
    "src/arena.ts",
    ["test/misuse/use.test.ts", "test/misuse/disposed.test.ts", "test/misuse/waiting.test.ts"],
    [
      ["what is due is passed by", "countdown.left > 1", "true"],
      ["the shortest way counts no lease", "        countdown.left--;\n", ""],
      ["copyOf copies nothing", "    copyInto(lease, source, 0);\n", ""],
      ["dispose leaves views alive", "      tally.owner?.close();\n", ""],
      ["who waits is overtaken", "if (this.#waiters.length === 0) {", "if (true) {"],
      [
        "trim leaves what pools keep",
        "    this.#pools.flush();\n    this.#segments?.trim();",
        "    this.#segments?.trim();",
      ],
      ["dispose leaves those who wait", '    this.#waiters.rejectAll(arenaDisposed("acquire"));\n', ""],
      [
        "pools do not give way to other lengths",
        "    if (lease !== null || !this.#pools.flush()) return lease;\n",
        "    return lease;\n",
      ],
    ],
  ),
  ...inFile(
    "src/lend.ts",
    ["test/misuse/use.test.ts"],
    [
      ["use keeps the lease when fn throws", "    end(error);\n    throw error;", "    throw error;"],
      ["use keeps the lease when fn's promise rejects", ".then(ended, end)", ".then(ended)"],
    ],
  ),
  ...inFile(
    "src/pools.ts",
    ["test/unit/pool.test.ts"],
    [
      ["each call makes a pool", "      this.#byLength.set(byteLength, pool);\n", ""],
      ["a pool that keeps blocks is lost sight of", "    this.#cached.push(pool);\n", ""],
      ["pools of a disposed arena hold its memory", "    for (const pool of this.#cached) pool.close();\n", ""],
    ],
  ),
  ...inFile(
    "src/lease.ts",
    ["test/unit/lease.test.ts"],
    [
      [
        "a second release is not said to be one",
        'if (this.#bytes === null) throw this.#ended("release");\n    const written',
        "const written",
      ],
      [
        "a release in a getter of the options passes",
        'if (this.#bytes === null) throw this.#ended("release");\n    const after',
        "const after",
      ],
      [
        "a pin does not hold the block",
        "this.#holds < A_PIN ? this.#owner.release(this.#ptr, this.#byteLength, written) : undefined",
        "this.#owner.release(this.#ptr, this.#byteLength, written)",
      ],
      ["releaseAfter waits for nothing", "settled.finally(() => pin.release())", "(pin.release(), settled)"],
      [
        "releaseAfter keeps the block when the promise rejects",
        "settled.finally(() => pin.release())",
        "settled.then((value) => (pin.release(), value))",
      ],
      [
        "releaseAfter leaves the lease usable",
        "    const pin = this.pin();\n    this.release();\n",
        "    const pin = this.pin();\n",
      ],
      [
        "the last pin returns a lease still held",
        "if (this.#bytes !== null || this.#owner.closed) return;",
        "if (this.#owner.closed) return;",
      ],
      [
        "the first pin returns the block",
        "    const after = this.#releaseUnpinned(WHOLE_BLOCK);",
        "    const after = this.#owner.release(this.#ptr, this.#byteLength, WHOLE_BLOCK);",
      ],
      ["a written above the length passes", " || written > this.#byteLength", ""],
      ["a pin can be released twice", "    this.#drop = null;\n", ""],
      ["a view's start is forgotten", "new View(bytes.buffer, bytes.byteOffset, ", "new View(bytes.buffer, 0, "],
      ["a revoked view is handed out as bytes", "bytes.length !== this.#byteLength || bytes.length === 0", "false"],
    ],
  ),
  ...inFile(
    "src/pool.ts",
    ["test/unit/pool.test.ts"],
    [
      [
        "no wipe of kept blocks",
        "    segment.exports.wipe(block.ptr, Math.min(written >>> 0, this.#blockBytes));\n",
        "",
      ],
      ["blocks are kept from those who wait", " || this.#ledger.waiting !== 0", ""],
      ["leases from pools are never guarded", "        this.#countdown.left--;\n", ""],
      [
        "kept blocks are not given back",
        "    for (const { segment, ptr } of kept) segment.takeBack(ptr, this.byteLength);\n",
        "",
      ],
      ["more is kept than should be", "this.#kept.length >= this.#keepAtMost", "false"],
    ],
  ),
  ...inFile(
    "src/scope.ts",
    ["test/unit/scope.test.ts"],
    [["the first lease of a scope stays out", "each >= 0; each--", "each > 0; each--"]],
  ),
  ...inFile(
    "src/waiters.ts",
    ["test/unit/waiters.test.ts"],
    [
      ["who gave up is served", "      if (waiter.signal?.aborted) {\n", "      if (false) {\n"],
      ["those behind who gave up are not served", "        this.serve();\n", ""],
      ["a signal is listened to for ever", '        signal?.removeEventListener("abort", onAbort);\n', ""],
    ],
  ),
];
