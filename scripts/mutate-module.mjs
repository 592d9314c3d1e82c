// `npm run mutate -- assembly [WORD …]`: breaks the module in the ways of the table below, one
// at a time in a copy of the tree, builds it and runs the book's tests. Fails if one survives,
// or if a row's text does not stand in its file exactly once. With words, only rows with them.
// Stryker cannot parse AssemblyScript.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** File, exact text, what stands there instead, and what a test should see. */
const TABLE = [
  ["audit", "return broken(6, segment, 0)", "return 0", "a free slab that no bit names is found"],
  ["audit", "return reached == withRoom ? 0 : broken(4, 0, 0)", "return 0", "a span with room in no list is found"],
  ["audit", "|| within % block != 0", "", "a live link where no block starts is found"],
  ["audit", "++reached > withRoom", "++reached < 0", "a list that is a cycle is found"],
  ["busy", "if (isSet()) return false", "", "a book that was cut off answers BUSY"],
  ["busy", "store<u32>(bookPtr(), 1, BUSY_WORD)", "", "a call that is cut off leaves the word set"],
  ["busy", "store<u32>(bookPtr(), 0, BUSY_WORD)", "", "a call that ends clears the word"],
  ["index", "if (slabShift != 0 || !isInRange)", "if (!isInRange)", "a book is laid out once"],
  ["index", "else noteRoom(segment);", "", "a recycled segment is found again by takeBlocks"],
  [
    "index",
    "return <u32>count <= <u32>EXCHANGE_CAPACITY ? give(count)",
    "return count <= EXCHANGE_CAPACITY ? give(count)",
    "a negative count is refused",
  ],
  ["layout", "& 0x180", "& 0x100", "where in its 64 bytes a block starts is told"],
  ["list", "if (next != NO_SPAN) store<u32>(recordOf(next), id, PREV);", "", "the span behind a new head names it"],
  ["list", "store<u32>(recordOf(prev), next, NEXT);", "", "a span taken from the middle leaves no gap"],
  [
    "list",
    "if (next != NO_SPAN) store<u32>(recordOf(next), prev, PREV);",
    "",
    "the span behind one taken away names the one before",
  ],
  ["segment", "while (usedSegmentPtr(segment) != 0) segment++;", "", "a number in use is not given again"],
  ["segment", "firstUnused = min(firstUnused, segment);", "", "the lowest unused number is found again"],
  ["segment", "|| (base & grainMask) != 0", "", "a base that is no multiple of 64 is refused"],
  ["segment", "store<u64>(at, 0, FREE_MAP);", "", "a dropped segment has no free slab"],
  ["segment", "from = (from | 63) + 1;", "return -1;", "segments above the first 64 are searched"],
  ["segment", "(1 << PAGE_SHIFT) - 1", "0", "the book grows by whole pages, rounded up"],
  ["size-class", "if (byteLength <= 1 << MIN_BLOCK_SHIFT) return 0;", "", "lengths below 64 bytes have class 0"],
  [
    "size-class",
    "const last = byteLength - 1;",
    "const last = byteLength;",
    "a length that is a block's has that block's class",
  ],
  [
    "size-class",
    "if (distance > 4) return 1;",
    "if (distance > 3) return 1;",
    "a span leaves at most an eighth unused",
  ],
  ["size-class", "0x1121_1132_2234_4435", "0x1121_1132_2234_4434", "a span leaves at most an eighth unused"],
  [
    "slab-map",
    "for (let length = slabs; --length > 0; )",
    "for (let length = slabs - 1; --length > 0; )",
    "a run has as many free slabs as it needs",
  ],
  [
    "slab-map",
    "store<u64>(at, ~((<u64>1) << TRAP), FREE_MAP);",
    "store<u64>(at, ~(<u64>0), FREE_MAP);",
    "the trap is handed out to nobody",
  ],
  ["span", "if (live + count == capacity) unlist(id, cls);", "", "a full span is in no list"],
  ["span", "count = min(count, capacity - live);", "", "a span gives no more blocks than it has"],
  [
    "span",
    "if (isRefused) flipGiven(pairPtr(marked));",
    "if (isRefused) free(pairPtr(marked));",
    "pairs before a refused one stay live",
  ],
  ["span", "if (hadRoom) unlist(id, cls);", "", "a span that is gone is in no list"],
  ["span", "clearLinks(at, slab, spanSlabsOf(cls));", "", "slabs without a span have no links"],
  ["span", "} else if (!hadRoom) {", "} else {", "a span is listed once"],
  [
    "span",
    "if (load<u64>(at, FREE_MAP) == 0) noteFull(segment);",
    "noteFull(segment);",
    "a segment with room left is found again",
  ],
  ["span", "(offset & 15) != 0", "(offset & 15) > 8", "a pointer between two grains is refused"],
  ["span", "index < <u32>capacityOf(cls) &&", "", "what is left behind a run's last block is no block"],
  [
    "span",
    "if (head < 0 || isFree(at, slab)) return NOT_LIVE;",
    "if (head < 0) return NOT_LIVE;",
    "a free slab behind a run has no block",
  ],
];

const TESTS = ["test/unit/book.test.ts", "test/unit/memory/abi.test.ts", "test/model/book.test.ts"];

const root = fileURLToPath(new URL("../", import.meta.url));
const copy = join(root, "build/mutation/module");
const tracked = execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).split("\n");
rmSync(copy, { recursive: true, force: true });
for (const path of tracked.filter((each) => /^(assembly|scripts|src|test)\/|^[^/]+\.(json|ts)$/.test(each))) {
  mkdirSync(dirname(join(copy, path)), { recursive: true });
  cpSync(join(root, path), join(copy, path));
}
symlinkSync(join(root, "node_modules"), join(copy, "node_modules"), "junction");

const node = (file, ...args) => spawnSync(process.execPath, [file, ...args], { cwd: copy, encoding: "utf8" });

/** The output of a step that failed; `undefined` if all is well. */
function failure() {
  const { status: built, stderr } = node("scripts/build-module.mjs");
  if (built !== 0) throw new Error(`it does not compile: ${stderr}`);
  const { status, stdout } = node("node_modules/vitest/vitest.mjs", "run", "--bail=1", ...TESTS);
  return status === 0 ? undefined : (/(?:FAIL|×).*? > .*/.exec(stdout)?.[0] ?? "a test failed");
}

const unbroken = failure();
if (unbroken !== undefined) throw new Error(`the tests fail without a change: ${unbroken}`);
const words = process.argv.slice(3);
const rows = TABLE.filter((row) => words.every((word) => row.join(" ").includes(word)));
let survivors = 0;
for (const [name, text, replacement, why] of rows) {
  const path = join(copy, `assembly/${name}.ts`);
  const source = readFileSync(path, "utf8");
  if (source.split(text).length !== 2) throw new Error(`assembly/${name}.ts has not exactly one: ${text}`);
  writeFileSync(
    path,
    source.replace(text, () => replacement),
  );
  const caught = failure();
  writeFileSync(path, source);
  if (caught === undefined) survivors++;
  console.log(
    `${caught === undefined ? "SURVIVED" : "killed  "}  ${name}: ${why}\n          ${text}  →  ${replacement || "nothing"}`,
  );
}
console.log(`${rows.length - survivors} of ${rows.length} killed`);
if (survivors > 0) process.exitCode = 1;
