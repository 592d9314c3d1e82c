/**
 * What each step of a program does to the arena and to its model. Everything is
 * done through the public API, by calls that are also said to the transcript.
 */

import { setImmediate } from "node:timers/promises";
import { type Arena, ArenaError, type ArenaErrorCode, type Lease, type ViewConstructor } from "cleanslab";
import { firstOther, STALE_BYTE } from "./marks.js";
import { PAGE_BYTES, type Program, STEP_NAMES, STEPS, type Step, type StepName } from "./program.js";
import { Finding, type Live, type Pending, PlannedError, World, type WorldOptions } from "./world.js";

/** How many operations of each kind were done. */
export type Tally = Record<StepName, number>;

export function emptyTally(): Tally {
  return Object.fromEntries(STEP_NAMES.map((name) => [name, 0])) as Tally;
}

/** Runs `program`, and releases everything in the end. Throws a `Finding`. */
export async function runProgram(program: Program, options: WorldOptions, tally: Tally): Promise<void> {
  const world = new World(program, options);
  for (const step of program.steps) {
    // A listener may have disposed the arena in a job of its own, after the step before was settled.
    if (world.disposed) await world.reopen();
    const perform: Perform = performers[step.do];
    const before = world.operations;
    for (let count = step.times; count > 0; count--) {
      const done = perform(world, step);
      if (done instanceof Promise) await done;
      if (world.disposed) break;
    }
    tally[step.do] += world.operations - before;
    await world.settle();
  }
  await finish(world);
}

type Perform = (world: World, step: Step) => unknown;

const CONTENT = 7;
const COPIED = 0x07070707;

function pickFrom<T>(items: readonly T[], pick: number): T | undefined {
  return pick < 0 ? items[items.length - 1] : items[pick % items.length];
}

/** A lease that its holder still has. */
function pickHeld(world: World, pick: number): Live | undefined {
  const live = pickFrom(world.live, pick);
  return live === undefined || live.ended ? undefined : live;
}

function acquire(world: World, { way, byteLength, pick }: Step): void {
  const serial = world.nextSerial();
  const name = `lease${serial}`;
  const { arena } = world;
  const through = STEPS.acquire[way];
  if (through === "scope" || through === "scopeBytes") {
    acquireInScope(world, serial, byteLength, pick, through === "scopeBytes");
    return;
  }
  const lease =
    through === "pool"
      ? world.attempt(
          name,
          `arena.pool(${byteLength}).acquire()`,
          () => arena.pool(byteLength).acquire(),
          world.refusals,
        )
      : through === "copyOf"
        ? world.attempt(
            name,
            `arena.copyOf(new Uint8Array(${byteLength}).fill(${CONTENT}))`,
            () => arena.copyOf(new Uint8Array(byteLength).fill(CONTENT)),
            world.refusals,
          )
        : world.attempt(name, `arena.acquire(${byteLength})`, () => arena.acquire(byteLength), world.refusals);
  if (lease instanceof ArenaError) world.expectNoRoom(byteLength);
  else world.adopt(serial, byteLength, lease, through === "copyOf" ? COPIED : undefined);
}

function acquireInScope(world: World, serial: number, byteLength: number, pick: number, bytesOnly: boolean): void {
  const { arena } = world;
  if (world.scopes.length === 0 || (pick < 0 && world.scopes.length < 4)) {
    const opened = world.attempt(`scope${serial}`, "arena.scope()", () => arena.scope());
    if (opened instanceof ArenaError) return;
    world.scopes.push({ serial, scope: opened });
  }
  const open = pickFrom(world.scopes, pick);
  if (open === undefined) return;
  const of = `scope${open.serial}`;
  let live: Live | null;
  if (bytesOnly) {
    const call = () => open.scope.bytes(byteLength);
    const bytes = world.attempt(`bytes${serial}`, `${of}.bytes(${byteLength})`, call, world.refusals);
    if (bytes instanceof ArenaError) {
      world.expectNoRoom(byteLength);
      return;
    }
    live = world.disposed ? null : world.adoptBytes(serial, byteLength, bytes);
  } else {
    const call = () => open.scope.acquire(byteLength);
    const lease = world.attempt(`lease${serial}`, `${of}.acquire(${byteLength})`, call, world.refusals);
    if (lease instanceof ArenaError) {
      world.expectNoRoom(byteLength);
      return;
    }
    live = world.adopt(serial, byteLength, lease);
  }
  if (live !== null) live.scope = open;
}

function closeScope(world: World, { way, pick }: Step): void {
  const open = pickFrom(world.scopes, pick);
  if (open === undefined) return;
  const { scope, serial } = open;
  const inside = world.live.filter((live) => live.scope === open && !live.ended);
  for (const live of inside) world.expectMarked(live);
  world.scopes.splice(world.scopes.indexOf(open), 1);
  if (STEPS.closeScope[way] === "release") world.attempt("", `scope${serial}.release()`, () => scope.release());
  else world.attempt("", `scope${serial}[Symbol.dispose]()`, () => scope[Symbol.dispose]());
  for (const live of inside) world.end(live);
  world.refuses(`scope${serial}.acquire(1)`, () => scope.acquire(1), "ERR_LEASE_RELEASED");
}

async function acquireAsync(world: World, { way, byteLength }: Step): Promise<void> {
  const serial = world.nextSerial();
  const { arena } = world;
  const how = STEPS.acquireAsync[way];
  const controller = how === "without signal" ? undefined : new AbortController();
  const signal = controller?.signal;
  if (controller !== undefined) world.say(`const controller${serial} = new AbortController();`);
  if (how === "aborted") abortNow(world, serial, controller);
  const code =
    controller === undefined
      ? `arena.acquireAsync(${byteLength})`
      : `arena.acquireAsync(${byteLength}, { signal: controller${serial}.signal })`;
  const promise = world.attempt(`promise${serial}`, code, () => arena.acquireAsync(byteLength, { signal }));
  if (promise instanceof ArenaError) return;
  world.wait({ serial, byteLength, controller, aborted: how === "aborted" }, promise);
  await world.flush();
}

function abortNow(world: World, serial: number, controller: AbortController | undefined): void {
  world.say(`controller${serial}.abort(new Error("planned"));`);
  controller?.abort(new PlannedError("an abort"));
}

async function abort(world: World, { pick }: Step): Promise<void> {
  const waiter = pickFrom(
    world.waiting.filter(({ controller }) => controller !== undefined),
    pick,
  );
  if (waiter === undefined) return;
  waiter.aborted = true;
  world.operations++;
  abortNow(world, waiter.serial, waiter.controller);
  await world.flush();
}

function use(world: World, { way, byteLength }: Step): void {
  const serial = world.nextSerial();
  const how = STEPS.use[way];
  if (how === "resolves later") {
    useUntilLater(world, serial, byteLength);
    return;
  }
  const planned = new PlannedError("a callback throws");
  const lent: Live[] = [];
  const body = (bytes: Uint8Array<ArrayBuffer>): number => {
    const live = world.adoptBytes(serial, byteLength, bytes);
    lent.push(live);
    if (how === "throws") throw planned;
    if (how === "nests") useInside(world, live);
    return serial;
  };
  const call = (): number | PlannedError => {
    try {
      return world.arena.use(byteLength, body);
    } catch (error) {
      if (error === planned) return planned;
      throw error;
    }
  };
  const result = world.attempt("", `arena.use(${byteLength}, (bytes) => bytes.fill(1)) // ${how}`, call, [
    ...world.refusals,
    // Of the lease inside: the outer one is returned all the same.
  ]);
  const [live] = lent;
  if (live === undefined) {
    if (result instanceof ArenaError) world.expectNoRoom(byteLength);
    return;
  }
  world.end(live);
  if (world.disposed || result instanceof ArenaError) return;
  if (result !== (how === "throws" ? planned : serial)) throw new Finding(`use answered ${String(result)}`);
}

/** Within `use`: another lease comes and goes, and `outer` is untouched. */
function useInside(world: World, outer: Live): void {
  const serial = world.nextSerial();
  const lease = world.arena.acquire(outer.byteLength);
  const live = world.adopt(serial, outer.byteLength, lease);
  if (live === null) return;
  world.expectMarked(outer);
  lease.release();
  world.end(live);
  world.expectMarked(outer);
}

function useUntilLater(world: World, serial: number, byteLength: number): void {
  const lent: Live[] = [];
  const pending = promiseFor(world);
  const result = world.attempt(
    `used${serial}`,
    `arena.use(${byteLength}, (bytes) => { bytes.fill(1); return deferred${serial}.promise; })`,
    () =>
      world.arena.use(byteLength, (bytes) => {
        lent.push(world.adoptBytes(serial, byteLength, bytes));
        return pending.promise;
      }),
    world.refusals,
  );
  const [live] = lent;
  if (result instanceof ArenaError) {
    if (live === undefined) world.expectNoRoom(byteLength);
    return;
  }
  if (live !== undefined) holdUntil(world, live, pending, result);
}

interface Deferred {
  readonly promise: Promise<number>;
  resolve(value: number): void;
  reject(reason: unknown): void;
}

function promiseFor(world: World): Deferred {
  const settlers: Omit<Deferred, "promise">[] = [];
  const promise = new Promise<number>((resolve, reject) => settlers.push({ resolve, reject }));
  const [settler] = settlers;
  if (settler === undefined) throw new Error("a promise's executor runs at once");
  if (world.disposed) settler.resolve(0);
  return { promise, ...settler };
}

/** `live` is out until `deferred` settles, which makes `result` settle. */
function holdUntil(world: World, live: Live, { resolve, reject }: Deferred, result: Promise<number>): void {
  live.held++;
  live.ended = true;
  const planned = new PlannedError("a promise rejects");
  const pending: Pending = { live, planned, resolve, reject, outcome: undefined };
  const settled = (outcome: unknown): void => {
    pending.outcome = outcome;
  };
  result.then(settled, settled);
  world.pending.push(pending);
}

async function settle(world: World, { way, pick }: Step): Promise<void> {
  const pending = pickFrom(world.pending, pick);
  if (pending === undefined) return;
  const { live, planned } = pending;
  const isFulfilled = STEPS.settle[way] === "fulfilled";
  const wanted = isFulfilled ? live.serial : planned;
  world.expectMarked(live);
  world.operations++;
  world.pending.splice(world.pending.indexOf(pending), 1);
  world.say(`deferred${live.serial}.${isFulfilled ? "resolve()" : 'reject(new Error("planned"))'}; await rest();`);
  if (isFulfilled) pending.resolve(live.serial);
  else pending.reject(planned);
  for (let turn = 0; turn < 8; turn++) await undefined;
  if (pending.outcome !== wanted) throw new Finding(`a promise came out as ${String(pending.outcome)}`);
  live.held--;
  if (live.pins.length === 0 && live.held === 0) world.buryIfReturned(live);
}

function release(world: World, { way, pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial, byteLength } = live;
  world.expectMarked(live);
  const how = STEPS.release[way];
  const isPinned = live.pins.length > 0;
  if (how === "understated" && !isPinned && byteLength > 1 && canUnderstate(world)) {
    understate(world, live, lease);
    return;
  }
  if (how === "written" && !isPinned) {
    const written = byteLength >> 1;
    live.bytes.fill(0, written);
    world.say(`bytes${serial}.fill(0, ${written});`);
    world.attempt("", `lease${serial}.release({ written: ${written} })`, () => lease.release({ written }));
  } else if (how === "dispose") {
    world.attempt("", `lease${serial}[Symbol.dispose]()`, () => lease[Symbol.dispose]());
  } else {
    world.attempt("", `lease${serial}.release()`, () => lease.release());
  }
  if (!lease.released) throw new Finding("a released lease says it is not", `assert(lease${serial}.released)`);
  world.end(live);
}

/** Whether it is certain that a false `written` is found out, or certain that it is not. */
function canUnderstate({ options, revokes }: World): boolean {
  return options.trace === "all" || (options.trace === "off" && revokes);
}

/** A false `written`: found out if traced, else what it leaves must not reach the next owner. */
function understate(world: World, live: Live, lease: Lease): void {
  const { serial, byteLength } = live;
  const written = byteLength >> 1;
  const code = `lease${serial}.release({ written: ${written} })`;
  const call = () => lease.release({ written });
  if (world.options.trace === "all") {
    world.refuses(code, call, "ERR_INVALID_ARGUMENT");
    if (lease.released) throw new Finding("a refused release ended the lease", `assert(!lease${serial}.released)`);
    world.expectMarked(live);
    return;
  }
  world.attempt("", code, call);
  world.live.splice(world.live.indexOf(live), 1);
}

function pin(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial, pins } = live;
  const name = `pin${serial}_${pins.length}`;
  const held = world.attempt(name, `lease${serial}.pin()`, () => lease.pin());
  if (!(held instanceof ArenaError)) pins.push(held);
}

function unpin(world: World, { pick }: Step): void {
  const live = pickFrom(
    world.live.filter(({ pins }) => pins.length > 0),
    pick,
  );
  const held = live?.pins.pop();
  if (live === undefined || held === undefined) return;
  world.expectMarked(live);
  const name = `pin${live.serial}_${live.pins.length}`;
  world.attempt("", `${name}.release()`, () => held.release());
  world.refuses(`${name}.release()`, () => held.release(), "ERR_LEASE_RELEASED");
  world.buryIfReturned(live);
}

function releaseAfter(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial } = live;
  world.expectMarked(live);
  const deferred = promiseFor(world);
  const code = `lease${serial}.releaseAfter(deferred${serial}.promise)`;
  const result = world.attempt(`used${serial}`, code, () => lease.releaseAfter(deferred.promise));
  if (result instanceof ArenaError) return;
  holdUntil(world, live, deferred, result);
  world.end(live);
}

const VIEWS: Record<(typeof STEPS.view)[number], ViewConstructor<ArrayBufferView>> = {
  DataView,
  Uint16Array,
  Float64Array,
  BigUint64Array,
};

function view(world: World, { way, pick }: Step): void {
  const live = pickHeld(world, pick);
  const name = STEPS.view[way];
  if (live?.lease === undefined || name === undefined) return;
  const { lease, serial, byteLength, mark } = live;
  const View = VIEWS[name];
  const code = `lease${serial}.view(${name})`;
  const call = () => lease.view(View);
  if (byteLength % (View.BYTES_PER_ELEMENT ?? 1) !== 0) {
    world.refuses(code, call, "ERR_INVALID_ARGUMENT");
    return;
  }
  const other = world.attempt("", code, call);
  if (other instanceof ArenaError) return;
  const bytes = new Uint8Array(other.buffer, other.byteOffset, other.byteLength);
  if (other.buffer !== live.buffer || bytes.length !== byteLength || firstOther(bytes, mark) >= 0) {
    throw new Finding(`${code} is not a view of the lease's bytes`);
  }
}

function copy(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial, mark, byteLength } = live;
  const copied = world.attempt("", `lease${serial}.copy()`, () => lease.copy());
  if (copied instanceof ArenaError) return;
  if (copied.length !== byteLength || firstOther(copied, mark) >= 0) throw new Finding("a copy is none");
  copied.fill(STALE_BYTE);
  world.expectMarked(live);
}

/** Where nothing is revoked, a stale write reaches whom it reaches: that is not promised, and not tried. */
function staleWrite(world: World, { pick }: Step): void {
  const stale = pickFrom(world.stale, pick);
  if (stale === undefined) return;
  const { serial, bytes, part, data } = stale;
  world.operations++;
  world.say(`bytes${serial}[0] = bytes${serial}[bytes${serial}.length >> 1] = ${STALE_BYTE};`);
  bytes[0] = STALE_BYTE;
  part[0] = STALE_BYTE;
  if (bytes.length > 0) {
    data.setUint8(bytes.length - 1, STALE_BYTE);
    return;
  }
  if (part.length > 0) throw new Finding("part of a dead view is alive");
  if (!throwsTypeError(() => data.getUint8(0))) throw new Finding("a DataView of dead bytes is alive");
  if (!throwsTypeError(() => bytes.set([1]))) throw new Finding("a dead view takes bytes");
}

function throwsTypeError(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch (error) {
    return error instanceof TypeError;
  }
}

/** Through `.buffer` any view reaches free memory of its segment too: that must not matter either. */
function bufferWrite(world: World, { pick }: Step): void {
  const from = pickFrom<{ serial: number; bytes: Uint8Array<ArrayBuffer> }>(
    pick % 2 === 0 ? world.stale : world.live,
    pick,
  );
  if (from === undefined || !world.revokes || from.bytes.length === 0) return;
  const { buffer, byteOffset } = from.bytes;
  // Blocks of segments start behind the bookkeeping; who starts at 0 has the memory for himself.
  const first = byteOffset === 0 ? from.bytes.length : PAGE_BYTES;
  const target = first + ((Math.abs(pick) * 7919) % Math.max(1, buffer.byteLength - first));
  const isLive = world.live.some(
    (live) => live.buffer === buffer && target >= live.start && target < live.start + live.byteLength,
  );
  if (isLive || target >= buffer.byteLength) return;
  world.operations++;
  world.say(`new Uint8Array(bytes${from.serial}.buffer)[${target}] = ${STALE_BYTE};`);
  new Uint8Array(buffer)[target] = STALE_BYTE;
}

function useEnded(world: World, { way, pick }: Step): void {
  const ended = pickFrom(world.ended, pick);
  if (ended === undefined) return;
  const { lease, serial } = ended;
  const how = STEPS.useEnded[way];
  if (how === "dispose") {
    world.attempt("", `lease${serial}[Symbol.dispose]()`, () => lease[Symbol.dispose]());
    return;
  }
  const uses: Record<Exclude<(typeof STEPS.useEnded)[number], "dispose">, [string, () => unknown]> = {
    release: ["release()", () => lease.release()],
    bytes: ["bytes", () => lease.bytes],
    view: ["view(Uint8Array)", () => lease.view(Uint8Array)],
    copy: ["copy()", () => lease.copy()],
    pin: ["pin()", () => lease.pin()],
    releaseAfter: ["releaseAfter(Promise.resolve())", () => lease.releaseAfter(Promise.resolve())],
  };
  if (how === undefined) return;
  const [code, call] = uses[how];
  world.refuses(`lease${serial}.${code}`, call, "ERR_LEASE_RELEASED");
}

/** A value of the wrong type, where the types would not let it through. */
function wrong<T>(value: unknown): T {
  return value as T;
}

const BAD_CALLS: readonly (readonly [string, (arena: Arena) => unknown, ArenaErrorCode])[] = [
  ["arena.acquire(-1)", (arena) => arena.acquire(-1), "ERR_INVALID_ARGUMENT"],
  ["arena.acquire(1.5)", (arena) => arena.acquire(1.5), "ERR_INVALID_ARGUMENT"],
  ["arena.acquire(2 ** 32)", (arena) => arena.acquire(2 ** 32), "ERR_INVALID_ARGUMENT"],
  ['arena.acquire("1")', (arena) => arena.acquire(wrong("1")), "ERR_INVALID_ARGUMENT"],
  ["arena.pool(NaN)", (arena) => arena.pool(Number.NaN), "ERR_INVALID_ARGUMENT"],
  ["arena.copyOf([1])", (arena) => arena.copyOf(wrong([1])), "ERR_INVALID_ARGUMENT"],
  ["arena.use(1, null)", (arena) => arena.use(1, wrong(null)), "ERR_INVALID_ARGUMENT"],
  ["arena.scope().acquire({})", (arena) => arena.scope().acquire(wrong({})), "ERR_INVALID_ARGUMENT"],
];

function badArgument(world: World, { pick }: Step): void {
  const bad = pickFrom(BAD_CALLS, pick);
  if (bad === undefined) return;
  const [code, call, expected] = bad;
  world.refuses(code, () => call(world.arena), expected);
  const live = pickHeld(world, pick);
  const { lease, serial, byteLength } = live ?? {};
  if (live === undefined || lease === undefined || byteLength === undefined) return;
  const written = byteLength + 1;
  const release = () => lease.release({ written });
  world.refuses(`lease${serial}.release({ written: ${written} })`, release, "ERR_INVALID_ARGUMENT");
  world.expectMarked(live);
}

async function trim(world: World): Promise<void> {
  const { arena } = world;
  const before = arena.stats().reservedBytes;
  const trimmed = world.attempt("", "arena.trim()", () => arena.trim());
  if (!(trimmed instanceof ArenaError) && trimmed > before) throw new Finding(`trimmed ${trimmed} of ${before} bytes`);
  for (const live of world.live) world.expectMarked(live);
  await world.flush();
}

async function check(world: World): Promise<void> {
  world.operations++;
  await world.flush();
  if (world.disposed) return;
  world.check();
  const { arena } = world;
  if (world.arena.stats().liveLeases === 0) world.attempt("", "arena.assertDrained()", () => arena.assertDrained());
  else world.refuses("arena.assertDrained()", () => arena.assertDrained(), "ERR_LEASES_OUTSTANDING");
}

/** Forgets a lease: the arena must find out by itself, or hold on to it. */
function leak(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined || live.scope !== undefined || live.pins.length > 0 || live.held > 0) return;
  world.expectMarked(live);
  world.operations++;
  world.live.splice(world.live.indexOf(live), 1);
  world.leaked++;
  world.leakedBytes += live.byteLength;
}

async function collect(world: World): Promise<void> {
  world.operations++;
  await setImmediate();
  globalThis.gc?.();
  await setImmediate();
  await world.flush();
  if (!world.disposed) world.check();
}

async function dispose(world: World): Promise<void> {
  world.operations++;
  await world.reopen();
}

const performers: Record<StepName, Perform> = {
  acquire,
  acquireAsync,
  abort,
  use,
  settle,
  release,
  pin,
  unpin,
  releaseAfter,
  closeScope,
  view,
  copy,
  staleWrite,
  bufferWrite,
  useEnded,
  badArgument,
  trim,
  check,
  leak,
  collect,
  dispose,
};

/** Everything is given back, whoever still waits is served, and nothing is left but what leaked. */
async function finish(world: World): Promise<void> {
  const any = { do: "check", way: 0, byteLength: 0, pick: 0, times: 1 } as const;
  while (world.live.length > 0 || world.waiting.length > 0) {
    if (world.disposed) await world.reopen();
    const before = world.operations;
    while (world.pending.length > 0) await settle(world, any);
    while (world.scopes.length > 0) closeScope(world, any);
    for (const live of [...world.live]) {
      for (let held = live.pins.pop(); held !== undefined; held = live.pins.pop()) held.release();
      if (live.ended) world.buryIfReturned(live);
    }
    for (let live = world.live[0]; live !== undefined && !world.disposed; live = world.live[0]) {
      release(world, { ...any, pick: world.live.indexOf(live) });
    }
    await world.settle();
    // Leases leaked in segments that other leases hold may take all the room there is.
    if (world.operations === before && world.live.length === 0) break;
  }
  if (world.disposed) await world.reopen();
  world.check();
  if (world.leaked === 0) {
    world.arena.trim();
    const { reservedBytes } = world.arena.stats();
    if (reservedBytes > 0) throw new Finding(`${reservedBytes} bytes are reserved after all was released and trimmed`);
  }
  await world.reopen();
  world.arena[Symbol.dispose]();
}
