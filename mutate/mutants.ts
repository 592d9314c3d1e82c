/**
 * The faults that the suite must catch: each an exact piece of source, which must
 * stand there once, and what stands in its place. One is broken at a time.
 */

export interface Mutant {
  readonly file: string;
  /** What is broken, in a few words; names the mutant. */
  readonly fault: string;
  readonly from: string;
  readonly to: string;
  /** Why no test can tell it from the original, if that is so. */
  readonly equivalent?: string;
}

function inFile(
  file: string,
  faults: readonly (readonly [fault: string, from: string, to: string, equivalent?: string])[],
): Mutant[] {
  return faults.map(([fault, from, to, equivalent]) => ({
    file,
    fault,
    from,
    to,
    ...(equivalent === undefined ? {} : { equivalent }),
  }));
}

export const MUTANTS: readonly Mutant[] = [
  ...inFile("assembly/wipe.ts", [
    ["a long wipe does nothing", "memory.fill(ptr, 0, byteLength);", ""],
    ["a short wipe leaves the last 16 bytes", "const end = ptr + byteLength;", "const end = ptr + byteLength - 16;"],
    ["the first dirty byte is off by one", "!= 0) return at;", "!= 0) return at + 1;"],
  ]),
  ...inFile("assembly/slab.ts", [
    ["no wipe on release", "  wipe(ptr, <i32>min<u32>(written, block));", ""],
    [
      "half a wipe on release",
      "wipe(ptr, <i32>min<u32>(written, block));",
      "wipe(ptr, <i32>min<u32>(written, block) >> 1);",
    ],
    ["a taken block stays in the free count", "store<u16>(record, load<u16>(record, FREE_COUNT) - 1, FREE_COUNT);", ""],
    ["a freed block is not counted free", "store<u16>(record, load<u16>(record, FREE_COUNT) + 1, FREE_COUNT);", ""],
    ["a taken block is not counted taken", "store<u16>(record, load<u16>(record, TAKEN) + 1, TAKEN);", ""],
    [
      "a freed block forgets the rest of the free list",
      "store<u16>(linkPtrOf(ptr), load<u16>(record, FREE_HEAD));",
      "store<u16>(linkPtrOf(ptr), LINK_END);",
    ],
    ["a freed block is not the head of the free list", "store<u16>(record, index, FREE_HEAD);", ""],
    ["a span is closed with a block out", "if (taken == 0) {", "if (taken == 1) {"],
    [
      "a wrong slab mask",
      "load<u8>(recordOf(slab), HEAD_SLAB) & (SLAB_COUNT - 1);",
      "load<u8>(recordOf(slab), HEAD_SLAB) & (SLAB_COUNT - 2);",
    ],
    ["room again is not told", "return ROOM_AGAIN;", "return OK;"],
    [
      "a span with room again is not listed",
      "  list(slab, record, cls);\n  return ROOM_AGAIN;",
      "  return ROOM_AGAIN;",
    ],
    ["a full span stays listed after carving", "if (<u32>(bump + block) > <u32>end) unlist(slab, record, cls);", ""],
    [
      "unlisting leaves the next one's link back",
      "  if (next < SLAB_COUNT) store<u8>(recordOf(next), prev, PREV);",
      "",
    ],
    ["listing leaves the old head's link back", "  if (head < SLAB_COUNT) store<u8>(recordOf(head), slab, PREV);", ""],
    ["a closed span stays listed", "  if (load<u8>(record, LISTED) != 0) unlist(slab, record, cls);", ""],
    ["a closed span keeps its slabs from the map", "  returnRun(slab, slabs);", ""],
    [
      "a closed span's records stay",
      "  for (let each = slab; each < end; each++) store<u8>(recordOf(each), KIND_FREE, KIND);",
      "",
    ],
    ["tails are not marked", "store<u8>(recordOf(tail), KIND_TAIL, KIND);", ""],
    ["a double release passes", "  if (link != liveLinkOf(ptr, cls)) return NOT_LIVE;", ""],
    [
      "a damaged record's identity is not checked",
      "  if (<i32>load<u16>(record, IDENTITY) != (KIND_HEAD | (cls << 8))) return CORRUPT;",
      "",
    ],
    ["a damaged bump is not checked against its end", "    if (<u32>bump > <u32>end) return CORRUPT;", ""],
    ["a live block in the free list is handed out", "    if ((next & LINK_LIVE) != 0) return CORRUPT;", ""],
    ["a damaged class head is taken for a full class", "    if (slab != NO_SLAB) return CORRUPT;", ""],
    [
      "blocks outside the slabs pass",
      "return end <= <u64>SLAB_COUNT << slabShift && (ptr & 15) == 0;",
      "return (ptr & 15) == 0;",
    ],
    [
      "crooked addresses pass",
      "return end <= <u64>SLAB_COUNT << slabShift && (ptr & 15) == 0;",
      "return end <= <u64>SLAB_COUNT << slabShift;",
    ],
  ]),
  ...inFile("assembly/slab-map.ts", [
    ["a run needs more slabs than it has", "starts &= starts >> shift;", "starts &= starts >> length;"],
    ["a taken run stays on the map", "  map &= ~(runMask(slabs) << first);", ""],
    [
      "a whole segment's mask is empty",
      "return slabs == 64 ? ~0 : ((<u64>1 << slabs) - 1);",
      "return (<u64>1 << slabs) - 1;",
    ],
  ]),
  ...inFile("assembly/segment.ts", [
    [
      "what is known to be zero is believed to be longer",
      "if (ptr != clean || block > cleanBytes) wipe(ptr, block);",
      "if (ptr != clean) wipe(ptr, block);",
    ],
    ["what is known to be zero stays so", "    clean = 0;\n  }\n  return ptr;", "  }\n  return ptr;"],
    ["what was wiped in part is known to be zero", "if (written == WHOLE_BLOCK) {", "if (true) {"],
    ["no wipe at hand-out", "if (ptr != clean || block > cleanBytes) wipe(ptr, block);", ""],
    ["the last release is told one early", "return --live == 0 ?", "return --live == 1 ?"],
    ["a freed block is not counted", "  if (status >= OK) live--;", ""],
    ["a reset keeps the resting count", "  forgetSpans();\n  resting = clean = 0;", "  forgetSpans();\n  clean = 0;"],
    ["a reset with blocks out", "  if (live != 0) return BUSY;", ""],
    ["a class out of range passes", "  if (<u32>cls >= <u32>classCount(slabShift)) return BAD_CLASS;", ""],
    ["a memory too short passes", "|| end > <i64>memory.size() * PAGE_BYTES", ""],
  ]),
  ...inFile("assembly/size-class.ts", [
    [
      "blocks are a step too short",
      "return (5 + (step & 3)) << (3 + (step >> 2));",
      "return (4 + (step & 3)) << (3 + (step >> 2));",
    ],
    ["a span is a slab short", "0x1121_1132_2234_4435", "0x1121_1132_2234_4434"],
    ["a reciprocal is rounded down", "0x24924925", "0x24924924"],
  ]),
  ...inFile("assembly/layout.ts", [
    [
      "a live link forgets where its block starts",
      "return LINK_LIVE | ((offset << 3) & 0x180) | cls;",
      "return LINK_LIVE | cls;",
    ],
  ]),
  ...inFile("assembly/audit.ts", [
    [
      "the audit does not add up the totals",
      "  if (liveSum != live || restingSum != resting) return broken(4, 0);",
      "",
    ],
    ["the audit does not follow the lists", "  if (!listsHold(withRoom)) return broken(3, 0);", ""],
    ["the audit does not follow the free lists", "  return index == LINK_END;", "  return true;"],
  ]),

  ...inFile("src/abi.ts", [
    ["nothing is ever revoked", "  memory.grow(0);\n", ""],
    [
      "what cannot be revoked passes for revoked",
      "return buffer.byteLength === 0;",
      "return true;",
      "before Node 26 there is no memory that cannot be revoked; there the tests with toResizableBuffer see it",
    ],
    ["the class is off by one", "const last = byteLength - 1;", "const last = byteLength;"],
    ["memories can be grown", "maximum: pages });", "maximum: pages + 1 });"],
  ]),
  ...inFile("src/revoking.ts", [
    ["a segment is renewed without revocation", "    if (!this.revoke()) {\n", "    if (false) {\n"],
    ["a segment is renewed without reset", "    this.exports.reset();\n", ""],
    [
      "a drained segment serves without being renewed",
      "if (!segment.renewed && !segment.renew()) return this.#next();",
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
      "const ptr = segment.take(sizeClass, 1);\n      if (ptr > 0) return segment.lease(ptr, byteLength, sizeClass);\n    }\n    return this.#acquireElsewhere",
      "const ptr = segment.take(sizeClass, 0);\n      if (ptr > 0) return segment.lease(ptr, byteLength, sizeClass);\n    }\n    return this.#acquireElsewhere",
    ],
    [
      "a dropped segment's views live on",
      "    this.#ledger.drop(segment.tally);\n    segment.revoke();\n",
      "    this.#ledger.drop(segment.tally);\n",
    ],
    ["a corrupt segment is never dropped", '} else if (tally.state === "corrupt") {', "} else if (false) {"],
    [
      "nobody who waits is told of a drained segment",
      "    if (this.#ledger.waiting !== 0) this.#ledger.onRoom();\n",
      "",
    ],
    ["a release is not counted", "    this.ledger.gaveBack(tally, byteLength);\n", ""],
    [
      "a retired segment stays current",
      "    if (this.#current[each] === segment) this.#current[each] = undefined;".replace("    if", "      if"),
      "",
    ],
    ["segments with leaks are never let go", "    for (const segment of this.#active) segment.isOld = true;\n", ""],
  ]),
  ...inFile("src/free-list.ts", [
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
    ["nobody who waits is told of a free block", "    if (this.ledger.waiting !== 0) this.ledger.onRoom();\n", ""],
  ]),
  ...inFile("src/dedicated.ts", [
    ["no wipe on release", "    whole.fill(0, 0, this.#wiped);\n", ""],
    [
      "what was vouched for is not wiped later",
      "    if (this.#wiped < buffer.byteLength) new Uint8Array(buffer, this.#wiped).fill(0);\n",
      "",
    ],
    ["no revocation on release", "? this.revoke() : true;", "? true : true;"],
    ["a guard is not revoked", 'this.#set.revokes || this.origin === "guard"', "this.#set.revokes"],
    [
      "a page short",
      "Math.max(1, Math.ceil(byteLength / PAGE_BYTES))",
      "Math.max(1, Math.floor(byteLength / PAGE_BYTES))",
    ],
    [
      "a memory that could not be made stays reserved",
      "      if (memory === null) this.ledger.unreserve(reservedBytes);\n",
      "",
    ],
    ["nobody who waits is told of an idle memory", "    if (this.ledger.waiting !== 0) this.ledger.onRoom();\n", ""],
  ]),
  ...inFile("src/ledger.ts", [
    [
      "a dropped memory is not refunded",
      "    this.reservedBytes -= tally.reservedBytes;\n    this.released += tally.live;",
      "    this.released += tally.live;",
    ],
    [
      "a collected memory is not refunded",
      "    this.reservedBytes -= tally.reservedBytes;\n    this.leakedLeases += tally.live;",
      "    this.leakedLeases += tally.live;",
    ],
    ["a leak is not reported", "    if (tally.live > 0) this.onLeak(tally);\n", ""],
    ["the cap is not kept", "    if (this.reservedBytes + byteLength > this.maxBytes) return false;\n", ""],
    [
      "nothing idle gives way at the cap",
      "    if (this.reservedBytes + byteLength > this.maxBytes) this.reclaim(byteLength);\n",
      "",
    ],
    ["a failed reservation is not undone", "    this.reservedBytes -= byteLength;\n", ""],
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
  ]),
  ...inFile("src/lease.ts", [
    [
      "a second release passes",
      '    if (this.#bytes === null) throw leaseReleased("release", this.#byteLength);\n',
      "",
    ],
    ["a pin does not hold the block", "    if (this.#pins === 0) this.#owner.release(", "    this.#owner.release("],
    [
      "the last pin returns a lease still held",
      "if (this.#pins !== 0 || this.#bytes !== null || this.#owner.closed) return;",
      "if (this.#pins !== 0 || this.#owner.closed) return;",
    ],
    [
      "the first pin returns the block",
      "if (this.#pins !== 0 || this.#bytes !== null || this.#owner.closed) return;",
      "if (this.#bytes !== null || this.#owner.closed) return;",
    ],
    ["a written above the length passes", " || written > this.#byteLength", ""],
    ["a pin can be released twice", "    this.#drop = null;\n", ""],
    ["a view's start is forgotten", "new View(bytes.buffer, bytes.byteOffset, ", "new View(bytes.buffer, 0, "],
    [
      "a revoked view is handed out as bytes",
      '    if (bytes.length !== this.#byteLength) throw this.#detached("read bytes");\n',
      "",
    ],
  ]),
  ...inFile("src/pool.ts", [
    ["no wipe of kept blocks", "    segment.exports.wipe(block.ptr, Math.min(written, this.#blockBytes));\n", ""],
    ["blocks are kept from those who wait", " && this.#ledger.waiting === 0", ""],
    ["leases from pools are never guarded", "        this.#countdown.left--;\n", ""],
    ["kept blocks are not given back", "        status = segment.takeBack(ptr, 0);\n", ""],
    ["more is kept than should be", "this.#kept.length < this.#keepAtMost", "true"],
  ]),
  ...inFile("src/overflow.ts", [
    [
      "a heap lease is not wiped",
      "      new Uint8Array(this.#buffer).fill(0, 0, Math.min(written, byteLength));\n",
      "",
    ],
    ["a heap lease is not revoked", "      if (this.#revokes) detach(this.#buffer);\n", ""],
    ["overflow is not counted", "  ledger.overflowed++;\n", ""],
  ]),
  ...inFile("src/waiters.ts", [
    ["who gave up is served", "      if (waiter.signal?.aborted) {\n", "      if (false) {\n"],
    ["those behind who gave up are not served", "        this.serve();\n", ""],
    ["a signal is listened to for ever", '        signal?.removeEventListener("abort", onAbort);\n', ""],
  ]),
  ...inFile("src/scope.ts", [["the first lease of a scope stays out", "each >= 0; each--", "each > 0; each--"]]),
  ...inFile("src/segment.ts", [
    ["a segment that could not be made stays reserved", "    if (!made) ledger.unreserve(reservedBytes);\n", ""],
    ["a revocation is not counted", "    this.ledger.revocations++;\n", ""],
    ["a stale write is found and left", "      wipe(ptr, blockBytes);\n", ""],
  ]),
  ...inFile("src/arena.ts", [
    ["use keeps the lease when fn throws", "      lease[Symbol.dispose]();\n      throw error;", "      throw error;"],
    ["copyOf copies nothing", "    lease.bytes.set(source);\n", ""],
    ["dispose leaves views alive", "      tally.owner?.close();\n", ""],
    ["who waits is overtaken", "this.#waiters.length === 0 ?", "true ?"],
    [
      "trim leaves what pools keep",
      "    this.#flushPools();\n    this.#segments?.trim();",
      "    this.#segments?.trim();",
    ],
    ["dispose leaves those who wait", '    this.#waiters.rejectAll(arenaDisposed("acquire"));\n', ""],
    [
      "pools do not give way to other lengths",
      "    if (lease !== null || !this.#flushPools()) return lease;\n",
      "    return lease;\n",
    ],
  ]),
  ...inFile("src/idle.ts", [
    ["the warmest is dropped first", "this.#items.shift()", "this.#items.pop()"],
    [
      "the low-water mark never falls",
      "    if (this.#items.length < this.#lowWater) this.#lowWater = this.#items.length;\n",
      "",
    ],
  ]),
];
