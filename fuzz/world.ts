/**
 * One arena and the plain model of it: what is live, what ended, who waits. Owns
 * the promises that are checked, and the transcript: the same calls as TypeScript
 * that runs by itself. Which calls are made is the business of steps.ts.
 *
 * Checked with every lease: zero and exactly as long as asked when it is handed
 * out, apart from all live leases, untouched until its end, zero or out of reach
 * after that. Checked every `checkEvery` operations, and after every step that
 * asks for it: all live leases, all stale views, the counts, the cap, the audit.
 */

import { Arena, ArenaError, type ArenaErrorCode, type Lease, type Pin, type Scope } from "cleanslab";
import { fillWith, firstOther, markOf, STALE_BYTE } from "./marks.js";
import { PAGE_BYTES, type Program, type Reaction } from "./program.js";

/** The arena did not do what the model does. */
export class Finding extends Error {
  /** An assertion that fails at the end of the transcript; empty if its last line throws by itself. */
  readonly assertion: string;

  constructor(message: string, assertion = "") {
    super(message);
    this.assertion = assertion;
  }
}

/** What listeners and callbacks of the programs throw on purpose. */
export class PlannedError extends Error {}

/** A lease that is out, from its acquisition until its block is returned. */
export interface Live {
  readonly serial: number;
  readonly byteLength: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly buffer: ArrayBuffer;
  readonly start: number;
  readonly mark: number;
  /** None where only the bytes are lent: `use`, `scope.bytes`. */
  readonly lease: Lease | undefined;
  readonly pins: Pin[];
  scope: OpenScope | undefined;
  /** Promises under way that keep the block in place. */
  held: number;
  /** Released, though perhaps kept in place. */
  ended: boolean;
}

export interface OpenScope {
  readonly serial: number;
  readonly scope: Scope;
}

interface Stale {
  readonly serial: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly part: Uint8Array<ArrayBuffer>;
  readonly data: DataView<ArrayBuffer>;
}

export interface Waiter {
  readonly serial: number;
  readonly byteLength: number;
  readonly controller: AbortController | undefined;
  aborted: boolean;
}

/** A promise that something lent until it settles waits for. */
export interface Pending {
  readonly live: Live;
  readonly planned: PlannedError;
  resolve(value: number): void;
  reject(reason: unknown): void;
  /** What came out: the value, or the reason. */
  outcome: unknown;
}

export interface WorldOptions {
  /** Operations between two checks of everything. */
  readonly checkEvery: number;
  /** For tests of the fuzzer: makes arenas that are broken on purpose. */
  readonly create?: (options: Program["options"]) => Arena;
  /** Kept if given: the calls so far, a line each. */
  readonly transcript?: string[];
}

const STALE_AT_MOST = 64;
/** Bytes of a stale view that was written to. */
const STALE_SCANNED = 2048;
const ENDED_AT_MOST = 32;

export class World {
  readonly options: Program["options"];
  readonly revokes: boolean;
  arena: Arena;
  live: Live[] = [];
  stale: Stale[] = [];
  /** Leases that ended: every use of one must fail. */
  ended: { serial: number; lease: Lease; pin: Pin | undefined }[] = [];
  scopes: OpenScope[] = [];
  pending: Pending[] = [];
  waiting: Waiter[] = [];
  leaked = 0;
  leakedBytes = 0;
  /** By a listener, in the middle of something else. */
  disposed = false;
  operations = 0;
  readonly #options: WorldOptions;
  readonly #reaction: Reaction;
  readonly #served: { waiter: Waiter; lease: Lease }[] = [];
  readonly #rejected: { waiter: Waiter; reason: unknown }[] = [];
  #serial = 0;
  #reported = { leases: 0, bytes: 0 };
  #reacting = false;
  #nextCheck: number;

  constructor(program: Program, options: WorldOptions) {
    this.options = program.options;
    this.revokes = program.options.revoke !== "never";
    this.#options = options;
    this.#reaction = program.reaction;
    this.#nextCheck = options.checkEvery;
    this.arena = this.#open();
  }

  say(line: string): void {
    this.#options.transcript?.push(line);
  }

  nextSerial(): number {
    return ++this.#serial;
  }

  /** Does `call`, which `code` says; a refusal is its result where it is one of `expected`. */
  attempt<T>(name: string, code: string, call: () => T, expected: readonly ArenaErrorCode[] = []): T | ArenaError {
    this.operations++;
    try {
      const result = call();
      this.say(`${name === "" ? "" : `const ${name} = `}${code};`);
      return result;
    } catch (error) {
      if (error instanceof ArenaError && (expected.includes(error.code) || this.#isDisposed(error))) {
        this.say(`assert.throws(() => ${code});`);
        return error;
      }
      this.say(`${name === "" ? "" : `const ${name} = `}${code};`);
      if (error instanceof Finding) throw error;
      throw new Finding(`${code} threw ${String(error)}`);
    }
  }

  /** `call` must fail with `code`. */
  refuses(code: string, call: () => unknown, expected: ArenaErrorCode): void {
    const result = this.attempt("", code, call, [expected]);
    if (!(result instanceof ArenaError)) throw new Finding(`${code} did not throw ${expected}`);
  }

  /** The codes that `acquire` may fail with when there is no room. */
  get refusals(): readonly ArenaErrorCode[] {
    return this.options.onExhausted === "throw" ? ["ERR_ARENA_EXHAUSTED"] : [];
  }

  /** Nothing is out, yet there was no room for so many bytes. */
  expectNoRoom(byteLength: number): void {
    if (this.disposed || this.live.length > 0 || this.leaked > 0 || byteLength > this.options.segmentBytes) return;
    throw new Finding(`no room for ${byteLength} bytes though nothing is out`);
  }

  /** A lease was handed out: checks its bytes, and marks them. Null if a listener disposed the arena meanwhile. */
  adopt(serial: number, byteLength: number, lease: Lease, copied = -1): Live | null {
    if (this.disposed) {
      if (byteLength > 0) this.refuses(`lease${serial}.bytes`, () => lease.bytes, "ERR_ARENA_DISPOSED");
      return null;
    }
    const { bytes } = lease;
    this.say(`const bytes${serial} = lease${serial}.bytes;`);
    if (lease.origin === "heap") this.expectNoRoom(byteLength);
    return this.adoptBytes(serial, byteLength, bytes, lease, copied);
  }

  adoptBytes(serial: number, byteLength: number, bytes: Uint8Array<ArrayBuffer>, lease?: Lease, copied = -1): Live {
    const { buffer, byteOffset: start } = bytes;
    if (bytes.length !== byteLength) {
      throw new Finding(
        `${bytes.length} bytes instead of ${byteLength}`,
        `assert.equal(bytes${serial}.length, ${byteLength})`,
      );
    }
    const mark = markOf(serial);
    const other = firstOther(bytes, copied >= 0 ? copied : 0);
    if (other >= 0) {
      const wanted = copied >= 0 ? copied & 0xff : 0;
      throw new Finding(
        `a lease of ${byteLength} bytes is handed out with byte ${other} = ${bytes[other]}`,
        `assert(bytes${serial}.every((byte) => byte === ${wanted}))`,
      );
    }
    for (const each of this.live) {
      if (each.buffer === buffer && each.start < start + byteLength && start < each.start + each.byteLength) {
        throw new Finding(
          `a lease at ${start} + ${byteLength} overlaps a live one at ${each.start} + ${each.byteLength}`,
          `assert(bytes${serial}.fill(1) && !bytes${each.serial}.includes(1))`,
        );
      }
    }
    fillWith(mark, bytes);
    this.say(`bytes${serial}.fill(${mark & 0xff});`);
    const live: Live = {
      serial,
      byteLength,
      bytes,
      buffer,
      start,
      mark,
      lease,
      pins: [],
      scope: undefined,
      held: 0,
      ended: false,
    };
    this.live.push(live);
    return live;
  }

  /** The holder of `live` is about to end it: its bytes are as he left them. */
  expectMarked({ serial, bytes, mark, byteLength }: Live): void {
    // A listener disposed the arena in a job of its own: reopen() looks at what is left.
    if (this.disposed) return;
    if (bytes.length !== byteLength)
      throw new Finding(`a live view is dead`, `assert.equal(bytes${serial}.length, ${byteLength})`);
    const other = firstOther(bytes, mark);
    if (other < 0) return;
    throw new Finding(
      `byte ${other} of a live lease of ${byteLength} bytes became ${bytes[other]}`,
      `assert(bytes${serial}.every((byte) => byte === ${mark & 0xff}))`,
    );
  }

  /** `live` ended for its holder; its block is returned unless something keeps it. */
  end(live: Live): void {
    live.ended = true;
    if (live.lease !== undefined) {
      this.ended.push({ serial: live.serial, lease: live.lease, pin: undefined });
      if (this.ended.length > ENDED_AT_MOST) this.ended.shift();
    }
    this.buryIfReturned(live);
  }

  /** From here on the views of `live` are stale, unless something still keeps its block. */
  buryIfReturned(live: Live): void {
    if (!live.ended || live.pins.length > 0 || live.held > 0) return;
    this.live.splice(this.live.indexOf(live), 1);
    this.expectReturned(live.serial, live.bytes);
  }

  /** A block was returned just now: its bytes are zero, or out of reach. */
  expectReturned(serial: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === 0) return;
    const other = firstOther(bytes, 0);
    if (other >= 0) {
      throw new Finding(
        `byte ${other} is ${bytes[other]} after release`,
        `assert(bytes${serial}.every((byte) => byte === 0))`,
      );
    }
    if (this.options.revoke === "on-release") {
      throw new Finding("a view lives on after release", `assert.equal(bytes${serial}.length, 0)`);
    }
    if (!this.revokes) return;
    const { buffer, byteOffset, length } = bytes;
    this.stale.push({
      serial,
      bytes,
      part: bytes.subarray(length >> 1),
      data: new DataView(buffer, byteOffset, length),
    });
    if (this.stale.length > STALE_AT_MOST) this.#expectStale(this.stale.splice(0, STALE_AT_MOST >> 1));
  }

  /** `acquireAsync` was called; `flush` finds out what became of it. */
  wait(waiter: Waiter, promise: Promise<Lease>): void {
    this.waiting.push(waiter);
    promise.then(
      (lease) => this.#served.push({ waiter, lease }),
      (reason: unknown) => this.#rejected.push({ waiter, reason }),
    );
  }

  /** Everything that is due has run, and the leases that came of it are the model's too. */
  async flush(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await undefined;
    for (const { waiter, reason } of this.#rejected.splice(0)) {
      this.waiting.splice(this.waiting.indexOf(waiter), 1);
      const isRight = waiter.aborted
        ? reason instanceof PlannedError
        : reason instanceof ArenaError && (this.#isDisposed(reason) || this.#neverFits(waiter, reason));
      if (!isRight) throw new Finding(`acquireAsync(${waiter.byteLength}) rejected with ${String(reason)}`);
    }
    for (const { waiter, lease } of this.#served.splice(0)) {
      if (this.waiting[0] !== waiter) throw new Finding(`lease${waiter.serial} was served out of turn`);
      this.waiting.shift();
      if (waiter.aborted) throw new Finding(`lease${waiter.serial} was served though its signal had been aborted`);
      this.say(`const lease${waiter.serial} = await promise${waiter.serial};`);
      this.adopt(waiter.serial, waiter.byteLength, lease);
    }
    const aborted = this.waiting.find((waiter) => waiter.aborted);
    if (aborted !== undefined) throw new Finding(`promise${aborted.serial} still waits though its signal was aborted`);
    if (this.waiting.length > 0 && !this.disposed && this.live.length === 0 && this.leaked === 0) {
      throw new Finding(`promise${this.waiting[0]?.serial} still waits though nothing is out`);
    }
  }

  /** After each step: what waits is served, a listener's dispose is noticed, and now and then all is checked. */
  async settle(): Promise<void> {
    if (this.waiting.length > 0) await this.flush();
    if (this.disposed) await this.reopen();
    if (this.operations < this.#nextCheck) return;
    this.check();
  }

  check(): void {
    this.#nextCheck = this.operations + this.#options.checkEvery;
    for (const live of this.live) this.expectMarked(live);
    this.#expectStale(this.stale);
    this.stale = this.stale.filter(({ bytes }, each) => bytes.length > 0 || each % 8 === 0);
    this.#expectCounts();
    const { problems } = this.arena.audit();
    if (problems.length > 0) throw new Finding(problems.join("; "), "assert.deepEqual(arena.audit().problems, [])");
  }

  /** The arena is disposed, here or by a listener: nothing of it works, and the program goes on with a new one. */
  async reopen(): Promise<void> {
    this.disposed = true;
    this.arena[Symbol.dispose]();
    this.say("arena[Symbol.dispose]();");
    await this.flush();
    if (this.waiting.length > 0) throw new Finding("someone still waits after dispose");
    for (const { serial, bytes, lease, pins } of this.live) {
      if (bytes.length > 0)
        throw new Finding("a view lives on after dispose", `assert.equal(bytes${serial}.length, 0)`);
      if (lease !== undefined && !lease.released) {
        if (pins.length === 0) this.refuses(`lease${serial}.release()`, () => lease.release(), "ERR_ARENA_DISPOSED");
        lease[Symbol.dispose]();
      }
    }
    this.refuses("arena.acquire(1)", () => this.arena.acquire(1), "ERR_ARENA_DISPOSED");
    this.refuses("arena.audit()", () => this.arena.audit(), "ERR_ARENA_DISPOSED");
    for (const { scope } of this.scopes) scope[Symbol.dispose]();
    for (const { resolve } of this.pending) resolve(0);
    await this.flush();
    const { liveLeases, liveBytes, reservedBytes } = this.arena.stats();
    if (liveLeases + liveBytes + reservedBytes !== 0)
      throw new Finding("a disposed arena still counts leases or bytes");
    this.live = [];
    this.stale = [];
    this.ended = [];
    this.scopes = [];
    this.pending = [];
    this.leaked = this.leakedBytes = 0;
    this.#reported = { leases: 0, bytes: 0 };
    this.disposed = false;
    this.arena = this.#open();
    this.say("arena = create();");
  }

  #open(): Arena {
    const arena = this.#options.create?.(this.options) ?? new Arena(this.options);
    const react = (): void => this.#react(arena);
    arena.addEventListener("leak", ({ leases, byteLength }) => {
      if (arena !== this.arena) return;
      this.#reported.leases += leases;
      this.#reported.bytes += byteLength;
      react();
    });
    arena.addEventListener("exhausted", react);
    arena.addEventListener("dirty", react);
    return arena;
  }

  #react(arena: Arena): void {
    if (this.#reacting || arena !== this.arena || this.disposed) return;
    this.#reacting = true;
    try {
      if (this.#reaction === "acquire") arena.use(100, (bytes) => bytes.fill(1));
      else if (this.#reaction === "trim") arena.trim();
      else if (this.#reaction === "audit") arena.audit();
      else if (this.#reaction === "throw") throw new PlannedError("a listener throws");
      else if (this.#reaction === "dispose") {
        this.disposed = true;
        arena[Symbol.dispose]();
      }
    } catch (error) {
      if (!(error instanceof ArenaError && error.code === "ERR_ARENA_EXHAUSTED")) throw error;
    } finally {
      this.#reacting = false;
    }
  }

  #isDisposed({ code }: ArenaError): boolean {
    return this.disposed && code === "ERR_ARENA_DISPOSED";
  }

  /** So much may be above the cap, once rounded up to a memory of its own. */
  #neverFits({ byteLength }: Waiter, { code }: ArenaError): boolean {
    return code === "ERR_ARENA_EXHAUSTED" && byteLength * 1.25 + PAGE_BYTES > this.options.maxBytes;
  }

  #expectStale(stale: readonly Stale[]): void {
    for (const { serial, bytes, part } of stale) {
      if (bytes.length === 0 || firstOther(bytes, 0) < 0) continue;
      // A foreign mark would reach over all of a block: its start is enough to see it.
      const foreign = bytes.subarray(0, STALE_SCANNED).findIndex((byte) => byte !== 0 && byte !== STALE_BYTE);
      if (foreign >= 0) {
        throw new Finding(
          `a stale view sees ${bytes[foreign]} at ${foreign}`,
          `assert(bytes${serial}.every((byte) => byte === 0 || byte === ${STALE_BYTE}))`,
        );
      }
      if (part.length === 0 && bytes.length > 1) throw new Finding("a stale view is dead in part");
    }
  }

  #expectCounts(): void {
    const stats = this.arena.stats();
    const lost = this.leaked - this.#reported.leases;
    const liveBytes = this.live.reduce((sum, live) => sum + live.byteLength, 0);
    this.#expectEqual("liveLeases", stats.liveLeases, this.live.length + lost);
    this.#expectEqual("liveBytes", stats.liveBytes, liveBytes + this.leakedBytes - this.#reported.bytes);
    this.#expectEqual("leakedLeases", stats.leakedLeases, this.#reported.leases);
    this.#expectEqual("waiting", stats.waiting, this.waiting.length);
    this.#expectEqual("corruptSegments", stats.corruptSegments, 0);
    this.#expectEqual("acquired", stats.acquired, stats.released + stats.liveLeases + stats.leakedLeases);
    const { maxBytes } = this.options;
    // The peak: at no moment was it more. And what the leases lie in, whatever the arena counts.
    const memories = new Map<ArrayBuffer, number>();
    for (const { lease, buffer } of this.live) {
      if (lease?.memory !== undefined) memories.set(buffer, buffer.byteLength);
    }
    const inUse = [...memories.values()].reduce((sum, byteLength) => sum + byteLength, 0);
    if (stats.peakReservedBytes <= maxBytes && inUse <= stats.reservedBytes) return;
    throw new Finding(
      `${stats.peakReservedBytes} bytes were reserved, ${inUse} are in use, under a cap of ${maxBytes}`,
      `assert(arena.stats().peakReservedBytes <= ${maxBytes})`,
    );
  }

  #expectEqual(what: string, actual: number, wanted: number): void {
    if (actual === wanted) return;
    throw new Finding(`stats().${what} is ${actual}, not ${wanted}`, `assert.equal(arena.stats().${what}, ${wanted})`);
  }
}
