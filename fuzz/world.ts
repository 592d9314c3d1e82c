/**
 * One arena and its model, kept in step: the beginning and end of each lease, who
 * waits, what listeners do, and the end of the arena. Which calls are made is the
 * business of steps/. What must hold is that of checks.ts: done with every lease
 * and, for everything at once, every `checkEvery` operations and after every step
 * that asks for it.
 */

import { Arena, ArenaError, type Lease } from "cleanslab";
import { Caller } from "./calls.js";
import { expectAll, expectNew, expectNoRoom, expectReturned, expectStale } from "./checks.js";
import { PlannedError } from "./finding.js";
import { fillWith, markOf } from "./marks.js";
import { type Live, REST_TURNS, type Waiter } from "./model.js";
import { PAGE_BYTES, type Program, type Reaction } from "./program.js";
import type { Transcript } from "./transcript.js";

export interface WorldOptions {
  /** Operations between two checks of everything. */
  readonly checkEvery: number;
  /** For tests of the fuzzer: makes arenas that are broken on purpose. */
  readonly create?: (options: Program["options"]) => Arena;
  /** Written if given. */
  readonly transcript?: Transcript;
}

const STALE_AT_MOST = 64;
const ENDED_AT_MOST = 32;

export class World extends Caller {
  readonly revokes: boolean;
  arena: Arena;
  readonly #options: WorldOptions;
  readonly #reaction: Reaction;
  readonly #served: { waiter: Waiter; lease: Lease }[] = [];
  readonly #rejected: { waiter: Waiter; reason: unknown }[] = [];
  #reacting = false;
  #nextCheck: number;

  constructor(program: Program, options: WorldOptions) {
    super(program.options, options.transcript);
    this.revokes = program.options.revoke !== "never";
    this.#options = options;
    this.#reaction = program.reaction;
    this.#nextCheck = options.checkEvery;
    this.arena = this.#open();
  }

  /** A lease was handed out: checks its bytes, and marks them. Null if a listener disposed the arena meanwhile. */
  /** @param hasMoved whether it took the place of another lease, which took room while it was acquired. */
  adopt(serial: number, byteLength: number, lease: Lease, copied = -1, hasMoved = false): Live | null {
    if (this.disposed) {
      if (byteLength > 0) this.refuses(`lease${serial}.bytes`, () => lease.bytes, "ERR_ARENA_DISPOSED");
      return null;
    }
    const { bytes } = lease;
    this.transcript?.assign(`bytes${serial}`, `lease${serial}.bytes`);
    if (lease.origin === "heap" && !hasMoved)
      expectNoRoom(this, byteLength, `assert.notEqual(lease${serial}.origin, "heap")`);
    return this.adoptBytes(serial, byteLength, bytes, lease, copied);
  }

  /** Likewise, where only the bytes are lent: the transcript has them already. */
  adoptBytes(serial: number, byteLength: number, bytes: Uint8Array<ArrayBuffer>, lease?: Lease, copied = -1): Live {
    expectNew(this, serial, byteLength, bytes, copied);
    const mark = markOf(serial);
    fillWith(mark, bytes);
    this.say(`bytes${serial}.fill(${mark & 0xff});`);
    const live: Live = {
      serial,
      byteLength,
      bytes,
      buffer: bytes.buffer,
      start: bytes.byteOffset,
      mark,
      lease,
      trace: this.arena.trace,
      countedBytes: byteLength,
      pins: [],
      scope: undefined,
      held: 0,
      ended: false,
    };
    this.live.push(live);
    return live;
  }

  /** `live` ended for its holder; its block is returned unless something keeps it. */
  end(live: Live): void {
    live.ended = true;
    if (live.lease !== undefined) {
      this.ended.push({ serial: live.serial, lease: live.lease });
      if (this.ended.length > ENDED_AT_MOST) this.#forgetEnded();
    }
    this.buryIfReturned(live);
  }

  #forgetEnded(): void {
    const { serial } = this.ended.shift() ?? {};
    // One that is pinned still is wanted until its last pin is released.
    if (serial !== undefined && !this.live.some((live) => live.serial === serial)) this.forget(serial);
  }

  /** From here on the views of `live` are stale, unless something still keeps its block. */
  buryIfReturned(live: Live): void {
    if (!live.ended || live.pins.length > 0 || live.held > 0) return;
    this.live.splice(this.live.indexOf(live), 1);
    const { serial, bytes } = live;
    if (!expectReturned(this, serial, bytes)) return;
    const { buffer, byteOffset, length } = bytes;
    this.stale.push({
      serial,
      bytes,
      part: bytes.subarray(length >> 1),
      data: new DataView(buffer, byteOffset, length),
    });
    if (this.stale.length > STALE_AT_MOST) expectStale(this, this.stale.splice(0, STALE_AT_MOST >> 1));
  }

  /** The program lets go of a lease, and of all that would keep it from the collector. */
  forget(serial: number): void {
    this.transcript?.forget(serial);
  }

  /** `acquireAsync` was called; `flush` finds out what became of it. */
  wait(waiter: Waiter, promise: Promise<Lease>): void {
    this.say(`promise${waiter.serial}.catch(() => {});`);
    this.waiting.push(waiter);
    promise.then(
      (lease) => this.#served.push({ waiter, lease }),
      (reason: unknown) => this.#rejected.push({ waiter, reason }),
    );
  }

  /** Waits until everything that is due has run. */
  async rest(): Promise<void> {
    this.#sayRest();
    for (let turn = 0; turn < REST_TURNS; turn++) await undefined;
  }

  #sayRest(): void {
    if (this.#reaction !== "nothing" || this.waiting.length > 0 || this.pending.length > 0) this.transcript?.rest();
  }

  /** Everything that is due has run, and the leases that came of it are the model's too. */
  async flush(): Promise<void> {
    await this.rest();
    for (const { waiter, reason } of this.#rejected.splice(0)) {
      this.waiting.splice(this.waiting.indexOf(waiter), 1);
      const isRight = waiter.aborted
        ? reason instanceof PlannedError
        : reason instanceof ArenaError && (this.isDisposed(reason) || this.#neverFits(waiter, reason));
      if (!isRight) {
        throw this.found(
          `acquireAsync(${waiter.byteLength}) rejected with ${String(reason)}`,
          `await promise${waiter.serial}`,
        );
      }
      this.say(`await assert.rejects(promise${waiter.serial});`);
    }
    for (const { waiter, lease } of this.#served.splice(0)) {
      const { serial } = waiter;
      if (waiter.aborted) {
        const assertion = `await assert.rejects(promise${serial})`;
        throw this.found(`lease${serial} was served though its signal had been aborted`, assertion);
      }
      const [first] = this.waiting;
      if (first !== waiter) {
        const both = `[promise${first?.serial}.then(() => true), promise${serial}.then(() => false)]`;
        throw this.found(`lease${serial} was served out of turn`, `assert(await Promise.race(${both}))`);
      }
      this.waiting.shift();
      this.transcript?.assign(`lease${serial}`, `await promise${serial}`);
      this.adopt(serial, waiter.byteLength, lease);
    }
    const aborted = this.waiting.find((waiter) => waiter.aborted);
    if (aborted !== undefined) {
      const assertion = `await assert.rejects(promise${aborted.serial})`;
      throw this.found(`promise${aborted.serial} still waits though its signal was aborted`, assertion);
    }
    if (this.waiting.length > 0 && !this.disposed && this.live.length === 0 && this.leaked === 0) {
      const { serial } = this.waiting[0] ?? {};
      throw this.found(`promise${serial} still waits though nothing is out`, `await promise${serial}`);
    }
  }

  /** After each step: what waits is served, a listener's dispose is noticed, and now and then all is checked. */
  async settle(): Promise<void> {
    if (this.waiting.length > 0) await this.flush();
    else this.#sayRest();
    if (this.disposed) await this.reopen();
    if (this.operations < this.#nextCheck) return;
    this.check();
  }

  check(): void {
    this.#nextCheck = this.operations + this.#options.checkEvery;
    expectAll(this);
    this.stale = this.stale.filter(({ bytes }, each) => bytes.length > 0 || each % 8 === 0);
  }

  /** The arena is disposed, here or by a listener: nothing of it works, and the program goes on with a new one. */
  async reopen(): Promise<void> {
    await this.close();
    this.clear();
    this.arena = this.#open();
    this.say("arena = create();");
  }

  async close(): Promise<void> {
    this.disposed = true;
    this.arena[Symbol.dispose]();
    this.say("arena[Symbol.dispose]();");
    await this.flush();
    if (this.waiting.length > 0) {
      throw this.found("someone still waits after dispose", `await promise${this.waiting[0]?.serial}`);
    }
    for (const { serial, bytes, lease, pins } of this.live) {
      if (bytes.length > 0) {
        throw this.found("a view lives on after dispose", `assert.equal(bytes${serial}.length, 0)`);
      }
      if (lease !== undefined && !lease.released) {
        if (pins.length === 0) this.refuses(`lease${serial}.release()`, () => lease.release(), "ERR_ARENA_DISPOSED");
        this.attempt("", `lease${serial}[Symbol.dispose]()`, () => lease[Symbol.dispose]());
      }
    }
    this.refuses("arena.acquire(1)", () => this.arena.acquire(1), "ERR_ARENA_DISPOSED");
    this.refuses("arena.audit()", () => this.arena.audit(), "ERR_ARENA_DISPOSED");
    for (const { scope, serial } of this.scopes) {
      this.attempt("", `scope${serial}[Symbol.dispose]()`, () => scope[Symbol.dispose]());
    }
    for (const { resolve, live } of this.pending) {
      this.say(`deferred${live.serial}.resolve();`);
      resolve(0);
    }
    await this.flush();
    const { liveLeases, liveBytes, reservedBytes } = this.arena.stats();
    if (liveLeases + liveBytes + reservedBytes !== 0) {
      const assertion =
        "{ const { liveLeases, liveBytes, reservedBytes } = arena.stats(); assert.equal(liveLeases + liveBytes + reservedBytes, 0); }";
      throw this.found("a disposed arena still counts leases or bytes", assertion);
    }
  }

  #open(): Arena {
    const arena = this.#options.create?.(this.options) ?? new Arena(this.options);
    const react = (): void => this.#react(arena);
    arena.addEventListener("leak", ({ leases, byteLength }) => {
      if (arena !== this.arena) return;
      this.reported.leases += leases;
      this.reported.bytes += byteLength;
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
      const code = error instanceof ArenaError ? error.code : "";
      if (code !== "ERR_ARENA_EXHAUSTED" && !(code === "ERR_ARENA_CORRUPT" && this.damaged.size > 0)) throw error;
    } finally {
      this.#reacting = false;
    }
  }

  /** So much may be above the cap, once rounded up to a memory of its own. */
  #neverFits({ byteLength }: Waiter, { code }: ArenaError): boolean {
    return code === "ERR_ARENA_EXHAUSTED" && byteLength * 1.25 + PAGE_BYTES > this.options.maxBytes;
  }
}
