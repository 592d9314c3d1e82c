/** In the module: what zeroes, hands out and takes back. */

import { type Fault, inFile } from "../fault.js";

export const MODULE: readonly Fault[] = [
  ...inFile(
    "assembly/wipe.ts",
    ["test/model-module.test.ts", "test/unit/abi.test.ts"],
    [
      ["a long wipe does nothing", "memory.fill(ptr, 0, byteLength);", ""],
      ["a short wipe leaves the last 16 bytes", "const end = ptr + byteLength;", "const end = ptr + byteLength - 16;"],
      ["the first dirty byte is off by one", "!= 0) return at;", "!= 0) return at + 1;"],
    ],
  ),
  ...inFile(
    "assembly/slab.ts",
    ["test/model-module.test.ts", "test/unit/abi.test.ts"],
    [
      ["no wipe on release", "  wipe(ptr, <i32>min<u32>(written, block));", ""],
      [
        "half a wipe on release",
        "wipe(ptr, <i32>min<u32>(written, block));",
        "wipe(ptr, <i32>min<u32>(written, block) >> 1);",
      ],
      [
        "a taken block stays in the free count",
        "store<u16>(record, load<u16>(record, FREE_COUNT) - 1, FREE_COUNT);",
        "",
      ],
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
      [
        "listing leaves the old head's link back",
        "  if (head < SLAB_COUNT) store<u8>(recordOf(head), slab, PREV);",
        "",
      ],
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
    ],
  ),
  ...inFile(
    "assembly/slab-map.ts",
    ["test/model-module.test.ts", "test/unit/abi.test.ts"],
    [
      ["a run needs more slabs than it has", "starts &= starts >> shift;", "starts &= starts >> length;"],
      ["a taken run stays on the map", "  map &= ~(runMask(slabs) << first);", ""],
      [
        "a whole segment's mask is empty",
        "return slabs == 64 ? ~0 : ((<u64>1 << slabs) - 1);",
        "return (<u64>1 << slabs) - 1;",
      ],
    ],
  ),
  ...inFile(
    "assembly/segment.ts",
    ["test/model-module.test.ts", "test/unit/abi.test.ts"],
    [
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
    ],
  ),
  ...inFile(
    "assembly/size-class.ts",
    ["test/model-module.test.ts", "test/unit/abi.test.ts"],
    [
      [
        "blocks are a step too short",
        "return (5 + (step & 3)) << (3 + (step >> 2));",
        "return (4 + (step & 3)) << (3 + (step >> 2));",
      ],
      ["a span is a slab short", "0x1121_1132_2234_4435", "0x1121_1132_2234_4434"],
      ["a reciprocal is rounded down", "0x24924925", "0x24924924"],
    ],
  ),
  ...inFile(
    "assembly/layout.ts",
    ["test/model-module.test.ts", "test/unit/abi.test.ts"],
    [
      [
        "a live link forgets where its block starts",
        "return LINK_LIVE | ((offset << 3) & 0x180) | cls;",
        "return LINK_LIVE | cls;",
      ],
    ],
  ),
  ...inFile(
    "assembly/audit.ts",
    ["test/model-module.test.ts", "test/unit/abi.test.ts"],
    [
      [
        "the audit does not add up the totals",
        "  if (liveSum != live || restingSum != resting) return broken(4, 0);",
        "",
      ],
      ["the audit does not follow the lists", "  if (!listsHold(withRoom)) return broken(3, 0);", ""],
      ["the audit does not follow the free lists", "  return index == LINK_END;", "  return true;"],
    ],
  ),
];
