/** In what holds memory: segments, memories of one lease, heap buffers, and the accounts. */

import { type Fault, inFile } from "../fault.js";

export const MEMORY: readonly Fault[] = [
  ...inFile(
    "src/abi.ts",
    ["test/unit/refusals.test.ts", "test/unit/abi.test.ts"],
    [
      ["nothing is ever revoked", "  memory.grow(0);\n", ""],
      [
        "what cannot be revoked passes for revoked",
        "return buffer.byteLength === 0;",
        "return true;",
        "before Node 26 there is no memory that cannot be revoked; there the tests with toResizableBuffer see it",
      ],
      ["the class is off by one", "const last = byteLength - 1;", "const last = byteLength;"],
      ["patience with the engine never ends", "    patience--;\n", ""],
      ["the engine is asked in vain each time", "    patience = PATIENCE;\n", ""],
      [
        "a memory let go of makes nobody ask the engine again",
        "export function expectMemory(): void {\n  patience = 0;\n",
        "export function expectMemory(): void {\n",
      ],
      [
        "a refusal is taken for one of shorter memories too",
        "patience > 0 && byteLength >= refusedBytes",
        "patience > 0",
      ],
      ["memories can be grown", "maximum: pages });", "maximum: pages + 1 });"],
    ],
  ),
  ...inFile(
    "src/segment.ts",
    ["test/misuse/memory.test.ts", "test/unit/stats.test.ts", "test/midway.test.ts", "test/diagnostics.test.ts"],
    [
      ["damage found at hand-out goes unheard", "    if (status < Status.NO_ROOM) this.quarantine();\n", ""],
      ["a segment that could not be made stays reserved", "    if (!made) ledger.unreserve(reservedBytes);\n", ""],
      ["a revocation is not counted", "    this.ledger.revoked(this.tally);\n", ""],
      ["a stale write is found and left", "    this.exports.wipe(ptr, blockBytes);\n", ""],
      ["a corrupt segment is never dropped", "    if (this.tally.live > 0) return;\n", "    return;\n"],
      ["a damaged block is not wiped", "    wipeBytes(new Bytes(this.memory.buffer, ptr, byteLength), 0);\n", ""],
    ],
  ),
  ...inFile(
    "src/revoking.ts",
    ["test/unit/revoking.test.ts", "test/pins.test.ts", "test/misuse/lease.test.ts"],
    [
      ["a segment is renewed without revocation", "    if (!this.revoke()) {\n", "    if (false) {\n"],
      ["a segment is renewed without reset", "    this.exports.reset();\n", ""],
      [
        "a drained segment serves without being renewed",
        "if (!segment.renewed && !segment.renewDrained()) return this.#next();",
        "",
      ],
      ["a retired segment is still taken for renewed", "    segment.renewed = false;\n", ""],
      ["a lease alone in its segment is not revoked", "const isRevoked = this.revoke();", "const isRevoked = true;"],
      ["a drained segment is forgotten", "      this.#drained.push(segment);\n", ""],
      [
        "a drained segment stays parked",
        "      if (segment.parked !== undefined) this.#parked.delete(segment.parked);\n",
        "",
      ],
      [
        "a block is handed out as it rested",
        "  protected override readonly zeroed = 1;",
        "  protected override readonly zeroed = 0;",
      ],
      [
        "a dropped segment's views live on",
        "    this.#ledger.drop(segment.tally);\n    segment.revoke();\n",
        "    this.#ledger.drop(segment.tally);\n",
      ],
      [
        "nobody who waits is told of a drained segment",
        "    if (status >= this.quietSlabs) this.set.quiet(this, status);\n    return this.ledger.afterRelease;\n",
        "    if (status >= this.quietSlabs) this.set.quiet(this, status);\n    return undefined;\n",
      ],
      ["a release is not counted", "    this.ledger.gaveBack(tally, byteLength);\n", ""],
      [
        "a retired segment stays current",
        "      if (this.current[each] === segment) this.current[each] = undefined;\n",
        "",
      ],
      ["that a retired segment drained goes unheard", "    segment.quietSlabs = 1;\n", ""],
      ["segments with leaks are never let go", "    for (const segment of this.#active) segment.isOld = true;\n", ""],
    ],
  ),
  ...inFile(
    "src/free-list.ts",
    ["test/unit/free-list.test.ts"],
    [
      ["room again is forgotten", "      this.#roomy[sizeClassOf(byteLength, this.#slabShift)]?.add(segment);\n", ""],
      [
        "slabs that came free are forgotten",
        "      segment.hasFreeSlabs = true;\n      this.#withFreeSlabs.push(segment);\n    }",
        "      segment.hasFreeSlabs = true;\n    }",
      ],
      [
        "a dropped segment stays in the list of those with room",
        "    if (segment.hasFreeSlabs) this.#forgetFreeSlabs(segment);\n",
        "",
      ],
      ["a segment with leases is dropped", "      if (segment.exports.liveBlocks() !== 0) continue;\n", ""],
      ["nobody who waits is told of a free block", "    return this.ledger.afterRelease;\n", "    return undefined;\n"],
    ],
  ),
  ...inFile(
    "src/dedicated.ts",
    ["test/unit/dedicated.test.ts"],
    [
      ["no wipe on release", "    wipeBytes(new Bytes(this.memory.buffer, 0, this.#wiped), 0);\n", ""],
      [
        "what was vouched for is not wiped later",
        "    if (this.#wiped < end) wipeBytes(new Bytes(buffer, this.#wiped, end - this.#wiped), 0);\n",
        "",
      ],
      ["no revocation on release", "? this.revoke() : true;", "? true : true;"],
      ["a guard is not revoked", 'this.#set.mode !== "never" || this.origin === "guard"', 'this.#set.mode !== "never"'],
      ["what lies behind a lease is not wiped on release", ' && this.#set.mode !== "on-release"', ""],
      [
        "what lies behind a guard is not wiped for who comes next",
        "const end = this.#endOf(byteLength);",
        "const end = this.#wiped;",
      ],
      [
        "a page short",
        "Math.max(1, Math.ceil(byteLength / PAGE_BYTES))",
        "Math.max(1, Math.floor(byteLength / PAGE_BYTES))",
      ],
      [
        "nobody who waits is told of an idle memory",
        "    return this.#set.ledger.afterRelease;\n",
        "    return undefined;\n",
      ],
    ],
  ),
  ...inFile(
    "src/overflow.ts",
    ["test/misuse/cap.test.ts"],
    [
      [
        "a heap lease is not wiped",
        "      wipeBytes(new Bytes(this.#buffer), 0, 0, Math.min(written >>> 0, byteLength));\n",
        "",
      ],
      ["a heap lease is not revoked", "      if (this.#revokes) detach(this.#buffer);\n", ""],
      ["overflow is not counted", "  ledger.overflowed++;\n", ""],
    ],
  ),
  ...inFile(
    "src/idle.ts",
    ["test/unit/idle.test.ts"],
    [
      ["the warmest is dropped first", "this.#items.shift()", "this.#items.pop()"],
      ["one round is enough", "    if (--this.#roundsLeft > 0) return;\n", ""],
      [
        "the low-water mark never falls",
        "    if (this.#items.length < this.#lowWater) this.#lowWater = this.#items.length;\n",
        "",
      ],
    ],
  ),
  ...inFile(
    "src/ledger.ts",
    ["test/unit/refusals.test.ts", "test/unit/stats.test.ts", "test/unit/ledger.test.ts", "test/diagnostics.test.ts"],
    [
      ["a memory that is gone is not refunded", "    this.reservedBytes -= tally.reservedBytes;\n", ""],
      ["the leases of a dropped memory stay out", "    this.released += tally.live;\n", ""],
      ["the leases of a collected memory stay out", "    this.leakedLeases += tally.live;\n", ""],
      ["a leak is not reported", "    if (tally.live > 0) this.onLeak(tally);\n", ""],
      ["the cap is not kept", "    if (this.reservedBytes + byteLength > this.maxBytes) return false;\n", ""],
      [
        "nothing idle gives way at the cap",
        "    if (mayDrop && this.reservedBytes + byteLength > this.maxBytes) this.reclaim(byteLength);\n",
        "",
      ],
      ["what was reserved and not used stays reserved", "    this.reservedBytes -= byteLength;\n", ""],
      [
        "a failed reservation is not undone",
        "if (memory === null) this.reservedBytes -= byteLength;",
        "if (memory === null) {}",
      ],
      ["the engine's patience is tried at every refusal", "    if (this.#exchangeIn-- > 0) return null;\n", ""],
      [
        "patience after an exchange never ends",
        "if (this.#exchangeIn-- > 0) return null;",
        "if (this.#exchangeIn > 0) return null;",
      ],
      [
        "nothing idle gives way where the engine refuses",
        "    while (before - this.reservedBytes < byteLength && this.dropIdle());\n",
        "",
      ],
      [
        "all that is idle gives way where the engine refuses",
        "while (before - this.reservedBytes < byteLength && this.dropIdle());",
        "while (this.dropIdle());",
      ],
      ["a round never ends", "    this.onRound();\n", ""],
      ["a lost lease is not counted", "    this.leakedLeases++;\n", ""],
      ["a lost lease stays live", "    tally.live--;\n    tally.liveBytes -= byteLength;\n    tally.lost++;\n", ""],
      ["a release is not counted", "    this.released++;\n", ""],
      ["the peak is not kept", "    if (liveBytes > this.peakLiveBytes) this.peakLiveBytes = liveBytes;\n", ""],
      ["a leak's room is not offered to who waits", "    if (this.waiting !== 0) this.onRoom();\n", ""],
      [
        "a dropped memory is still watched by the collector",
        "    this.#collected.unregister(tally);\n",
        "",
        "writing off a tally that is no longer on the books does nothing; unregistering only spares the callback",
      ],
      ["a dropped memory can still be reached", "    tally.cutLoose();\n", ""],
    ],
  ),
];
