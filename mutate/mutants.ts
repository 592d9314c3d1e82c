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
  ]),
  ...inFile("src/revoking.ts", [
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
      "const ptr = segment.take(sizeClass, 1);\n      if (ptr > 0) return segment.lease(ptr, byteLength, sizeClass);\n    }\n    return this.#acquireElsewhere",
      "const ptr = segment.take(sizeClass, 0);\n      if (ptr > 0) return segment.lease(ptr, byteLength, sizeClass);\n    }\n    return this.#acquireElsewhere",
    ],
    [
      "a dropped segment's views live on",
      "    this.#ledger.drop(segment.tally);\n    segment.revoke();\n",
      "    this.#ledger.drop(segment.tally);\n",
    ],
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
      "    idle.push(memory);\n    if (this.ledger.waiting !== 0) this.ledger.onRoom();\n",
      "    idle.push(memory);\n",
    ],
  ]),
  ...inFile("src/ledger.ts", [
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
    ["a failed reservation is not undone", "      if (memory === null) this.reservedBytes -= byteLength;\n", ""],
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
  ]),
  ...inFile("src/lease.ts", [
    ["a second release passes", '    if (this.#bytes === null) throw this.#ended("release");\n', ""],
    [
      "a pin does not hold the block",
      "this.#pins === 0 ? this.#owner.release(this.#ptr, this.#byteLength, written) : undefined",
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
      "    if (bytes.length !== this.#byteLength || bytes.length === 0) this.#requireAttached(bytes);\n",
      "",
    ],
  ]),
  ...inFile("src/pool.ts", [
    ["no wipe of kept blocks", "    segment.exports.wipe(block.ptr, Math.min(written, this.#blockBytes));\n", ""],
    ["blocks are kept from those who wait", " || this.#ledger.waiting !== 0", ""],
    ["leases from pools are never guarded", "        this.#countdown.left--;\n", ""],
    [
      "kept blocks are not given back",
      "    for (const { segment, ptr } of kept) segment.takeBack(ptr, this.byteLength);\n",
      "",
    ],
    ["more is kept than should be", "this.#kept.length >= this.#keepAtMost", "false"],
  ]),
  ...inFile("src/overflow.ts", [
    [
      "a heap lease is not wiped",
      "      wipeBytes(new Bytes(this.#buffer), 0, 0, Math.min(written, byteLength));\n",
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
    ["a revocation is not counted", "    this.ledger.revoked(this.tally);\n", ""],
    ["a stale write is found and left", "    this.exports.wipe(ptr, blockBytes);\n", ""],
    ["a corrupt segment is never dropped", "    if (this.tally.live > 0) return;\n", "    return;\n"],
    ["a damaged block is not wiped", "    wipeBytes(new Bytes(this.memory.buffer, ptr, byteLength), 0);\n", ""],
  ]),
  ...inFile("src/arena.ts", [
    ["use keeps the lease when fn throws", "      end(error);\n      throw error;", "      throw error;"],
    ["use keeps the lease when fn's promise rejects", ".then(ended, end)", ".then(ended)"],
    ["copyOf copies nothing", "    copyInto(lease, source, 0);\n", ""],
    ["dispose leaves views alive", "      tally.owner?.close();\n", ""],
    ["who waits is overtaken", "if (this.#waiters.length === 0) {", "if (true) {"],
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

  ...inFile("src/channels.ts", [
    ["an acquire is not announced", "channels.acquire.publish({ arena, byteLength })", "undefined"],
    ["a release is not announced", "      channels.release.publish({ arena: this.#arena, byteLength });\n", ""],
    [
      "a release is announced before the lease has ended",
      "    return () => {\n      channels.release.publish({ arena: this.#arena, byteLength });\n",
      "    channels.release.publish({ arena: this.#arena, byteLength });\n    return () => {\n",
    ],
    ["an announced release loses its error", "      if (after !== undefined) bringAbout(after);\n", ""],
    ["who subscribes later hears nothing", "      for (const ref of listening) ref.deref()?.announce(true);\n", ""],
    ["an arena made later tells nobody", "  if (isAnnounced()) target.announce(true);\n", ""],
    [
      "who listens to releases alone hears nothing",
      "return channels.acquire.hasSubscribers || channels.release.hasSubscribers;",
      "return channels.acquire.hasSubscribers;",
    ],
  ]),
  ...inFile("src/countdown.ts", [
    [
      "guards come only once",
      "this.#guardIn = this.#guardEvery || NEVER_DUE;\n    if",
      "this.#guardIn = NEVER_DUE;\n    if",
    ],
    ["guards are not counted down", "    this.#guardIn -= this.#step;\n", ""],
    ["traces are not counted down", "    this.#traceIn -= this.#step;\n", ""],
    ["a change of tracing puts off the guards", "    this.#guardIn -= this.#step - this.left;\n", ""],
    ["leases stay due when nobody listens any more", "    this.#announced = on;\n", "    this.#announced = true;\n"],
    ["the end is not due", "    this.left = 1;\n", ""],
  ]),
  ...inFile("src/trace.ts", [
    [
      "sites are not grouped",
      "const site = sites.get(stack) ?? { leases: 0, byteLength: 0, stack };",
      "const site = { leases: 0, byteLength: 0, stack };",
    ],
    ["sites are in the wrong order", "b.byteLength - a.byteLength", "a.byteLength - b.byteLength"],
    [
      "a lost lease is not reported",
      "if (this.#watches.delete(watch)) this.#onLost(watch.tally, watch.byteLength, group([watch]));",
      "this.#watches.delete(watch);",
    ],
    [
      "a lost lease with a memory of its own is reported twice",
      'if (this.#registers && owner.tally.kind === "segment") this.#lost.register',
      "if (this.#registers) this.#lost.register",
    ],
    [
      "a released lease is still watched by the collector",
      "    if (this.#registers) this.#lost.unregister(watch);\n",
      "",
      "who is no longer among the watched is not reported; unregistering only spares the callback",
    ],
    [
      "a released lease stays among those out",
      "    this.#watches.delete(watch);\n    if (this.#registers)",
      "    if (this.#registers)",
    ],
    ["an untrue written passes", "    if (changed >= 0) {\n", "    if (false) {\n"],
    [
      "a stale write is blamed on whoever was before it in memory",
      "watch.ptr <= byteOffset && byteOffset < watch.ptr + watch.byteLength",
      "watch.ptr <= byteOffset",
    ],
    ["who waited is not named", "    this.#waitingCallSite = callSite;\n", ""],
    ["who waited is named for others", "      this.#waitingCallSite = undefined;\n", ""],
    ["a collected memory's sites stay", "    for (const watch of lost) this.#watches.delete(watch);\n", ""],
  ]),
  ...inFile("src/writer.ts", [
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
    ["no wipe after a failed write", "        this.#bytes.fill(0, at, at + written);\n", ""],
    ["a varint's last byte is off by one", "for (; rest > 0x7f;", "for (; rest > 0x80;"],
    ["a varint is a byte short", "value >= bound; bound *= 128", "value > bound; bound *= 128"],
    ["a negative zigzag is off by one", "-2 * value - 1", "-2 * value"],
    [
      "a patch beyond the end passes",
      'requireInteger(offset, 0, this.#length - byteLength, "offset");',
      'requireInteger(offset, 0, this.#length, "offset");',
    ],
    ["text is not ASCII and passes for it", "if (unit > 0x7f) return false;", "if (unit > 0xff) return false;"],
    ["surrogate pairs are counted as three bytes", "      byteLength++;\n      each++;\n", "      each++;\n"],
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
  ]),
  ...inFile("src/collector.ts", [
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
  ]),
  ...inFile("src/node/write.ts", [
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
  ]),
  ...inFile("src/node/socket.ts", [
    ["the armed lease stays out at close", '  else socket.once("close", disarm);\n', ""],
    ["the armed lease stays out if there never was a socket", "    disarm();\n    throw error;", "    throw error;"],
    ["the lease stays out when onLease throws", "    exact[Symbol.dispose]();\n", ""],
    ["a lease is handed on and still armed", "    armed = null;\n    return handOn", "    return handOn"],
    ["onLease cannot pause", "return onLease(exact, socket) !== false;", "onLease(exact, socket);\n    return true;"],
  ]),
  ...inFile("src/node/file.ts", [
    ["what was read ahead stays out", 'read.status === "fulfilled" ? read.value : null', "null"],
    ["the file stays open", "    await file.close();\n", ""],
    ["the lease for the end of the file stays out", "  lease.release();\n  return null;", "  return null;"],
    ["the lease of a failed read stays out", "    lease[Symbol.dispose]();\n    throw error;", "    throw error;"],
  ]),
  ...inFile("src/node/collect.ts", [
    ["a body that failed stays leased", "      collector.discard();\n", ""],
    ["a stream that is too long is read on", "      stream.pause();\n", ""],
    ["who gives up is not heard", '    signal?.addEventListener("abort", abort, { once: true });\n', ""],
  ]),
  ...inFile("src/node/bridge.ts", [["what was copied stays leased", "    lease[Symbol.dispose]();\n", ""]]),
];
