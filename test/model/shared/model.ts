/**
 * The plain model of a shared arena, and what must hold after each call of a random program:
 *
 * - what was handed out is zero, or what its producer wrote, and shares no byte with a lease
 *   of any thread, or with one on its way; every one of these has its bytes;
 * - the counts of `stats()` are the model's, whoever asks, and `audit()` is clean;
 * - nobody is refused where there is room, and who waits for it is served;
 * - a token is good for one `adopt`, a channel keeps the order, and a closed one keeps nothing;
 * - the dead hold nothing, and what they had handed over can be adopted until room is needed.
 *
 * What takes its time (`acquireAsync`, `send`, `receive`) is pending until its thread says what
 * became of it: until then the model knows that it may have happened. Knows leases and threads;
 * what channels do is channels.ts, and which calls there are world.ts.
 */

import type { SharedArenaHandle, SharedArenaStats, SharedPortHandle } from "cleanslab/shared";
import { SLAB_BYTES } from "../../../src/shared/abi.js";
import { Finding, firstOther } from "../checks.js";
import type { Answer, Deed, deeds, Place } from "./hand.js";
import type { Pool, Thread } from "./threads.js";

/** Leases out at a time, and calls pending, at most. */
export const [MOST_LEASES, MOST_PENDING] = [40, 4];
/** Turns of every thread's event loop after which what should come has not come. */
const TURNS = 300;

/** A thread's part in the arena. */
export interface Part {
  readonly thread: Thread;
  readonly held: Block[];
}

/** A block that is somebody's: leased, or on its way. */
export interface Block {
  readonly key: number;
  /** The one that has it or sent it. */
  owner: Part;
  place: number;
  expected: Uint8Array;
  /** How long its block may be: it may have been longer, and not have moved. */
  reach: number;
  token?: number;
  tag?: number;
  /** Its `send` is pending. */
  isSending?: boolean;
  /** It may have gone back: nobody says when. */
  mayBeGone?: boolean;
}

/** One end of a channel. */
export interface End {
  readonly handle: SharedPortHandle;
  readonly capacity: number;
  readonly sent: Block[];
  other: End;
  key: number;
  /** Nobody, as long as it is not opened. */
  owner?: Part;
  isClosed: boolean;
  isReceiving: boolean;
}

/** An end that a thread has which is attached. */
export type OpenEnd = End & { owner: Part };

export interface Pending {
  readonly name: Deed;
  readonly by: Part;
  readonly end?: End;
  settle(answer: Answer): void;
}

/** What a random call is made of: who makes it, which one of several things, how, and a length. */
export type Dice = Readonly<Record<"who" | "which" | "how" | "byteLength", number>>;

export class Model {
  protected readonly pool: Pool;
  protected readonly maxBytes: number;
  protected readonly calls: [by: Part, name: Deed, args: readonly unknown[], answer: Answer][] = [];
  protected readonly parts: Part[] = [];
  protected readonly dead = new Set<Thread>();
  protected readonly tokens: Block[] = [];
  protected readonly channels: [End, End][] = [];
  /** What has ended, to be used once more. */
  protected readonly ended: [by: Part, key: number][] = [];
  protected readonly pending = new Map<number, Pending>();
  protected handle!: SharedArenaHandle;
  #memory = new Uint8Array(0);
  #serial = 0;
  #mark = 0;

  protected constructor(pool: Pool, slabs: number) {
    this.pool = pool;
    this.maxBytes = slabs * SLAB_BYTES;
  }

  protected async do<D extends Deed>(by: Part, name: D, ...args: Parameters<(typeof deeds)[D]>): Promise<Answer> {
    const answer = await by.thread.do(name, args);
    this.calls.push([by, name, args, answer]);
    return answer;
  }

  /** @param wanted the length of the lease, or what the call is to throw. */
  protected async obtain<D extends "acquire" | "acquireFilled" | "copyOf">(
    name: D,
    who: number,
    byteLength: number,
    wanted: number | string,
    mark: number,
    ...rest: unknown[]
  ): Promise<void> {
    const [by, key] = [this.anyPart(who), this.key()];
    if (this.leased >= MOST_LEASES) return;
    const answer = await this.do(by, name, ...([key, byteLength, ...rest] as Parameters<(typeof deeds)[D]>));
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.checkRefusal(by, byteLength);
    if (typeof wanted === "string") expectCode(answer, wanted);
    else this.hold(by, key, resultOf(answer), wanted, mark, byteLength);
  }

  /** A new lease of so many times `mark`, or of the bytes of a block. What is zero is dirty from now on. */
  protected hold(owner: Part, key: number, place: unknown, wanted: number | Block, mark = -1, reach = 0): void {
    const [at, byteLength] = place as Place;
    const block: Block =
      typeof wanted === "number"
        ? { key, owner, place: at, expected: new Uint8Array(wanted).fill(mark), reach: Math.max(wanted, reach) }
        : { key, owner, place: at, expected: wanted.expected, reach: wanted.reach };
    expectSame(`bytes of ${nameOf(block)}`, byteLength, block.expected.length);
    this.checkApart(block);
    owner.held.push(block);
    if (mark === 0) this.now(block).set(block.expected.fill(this.nextMark()));
  }

  /** Of a lease that was, and is not any more. */
  protected checkPassing(owner: Part, [place, length]: Place, byteLength: number): void {
    expectSame("bytes of a short lease", length, byteLength);
    this.checkApart({ key: 0, owner, place, expected: new Uint8Array(length), reach: length }, false);
  }

  /** A new one has its bytes, and shares none. @param isOut whether it is still leased. */
  protected checkApart(block: Block, isOut = true): void {
    if (isOut) this.checkWhole(block);
    const end = block.place + block.expected.length;
    if (end === block.place) return;
    expectSame(`the place of ${nameOf(block)}, in 64 bytes`, block.place % 64, 0);
    for (const other of this.blocks()) {
      if (other === block || other.place >= end || other.place + other.expected.length <= block.place) continue;
      if (!this.mayBeLost(other)) throw new Finding(`${nameOf(block)} shares bytes with ${nameOf(other)}`);
      for (const list of [this.tokens, ...this.channels.flat().map(({ sent }) => sent)]) remove(list, other);
    }
  }

  protected async releaseBlock(block: Block): Promise<void> {
    this.checkWhole(block);
    resultOf(await this.do(block.owner, "release", block.key));
    this.leave(block);
  }

  protected leave(block: Block): void {
    remove(block.owner.held, block);
    this.ended.push([block.owner, block.key]);
  }

  /** Their event loops turn, and what has settled is known. */
  protected async turn(parts: readonly Part[]): Promise<void> {
    for (const by of new Set(parts)) {
      for (const [key, answer] of resultOf<[number, Answer][]>(await this.do(by, "settled"))) {
        const pending = this.pending.get(key);
        this.pending.delete(key);
        pending?.settle(answer);
      }
    }
  }

  protected async until(isDone: () => boolean | Promise<boolean>, otherwise: string): Promise<void> {
    for (let turn = 0; !(await isDone()); turn++) {
      if (turn === TURNS) throw new Finding(otherwise);
      await this.turn(this.parts);
    }
  }

  protected hasDied({ owner }: End): boolean {
    return owner !== undefined && this.dead.has(owner.thread);
  }

  /** Also what the dead had handed over, once there was no more memory to have. */
  protected mayBeLost({ owner, mayBeGone = false }: Block): boolean {
    return mayBeGone || (this.handle.data.buffer.byteLength === this.maxBytes && this.dead.has(owner.thread));
  }

  /** Where there is room for it, whoever asks again gets it, once others have given back what they keep. */
  protected async checkRefusal(by: Part, byteLength: number): Promise<void> {
    if (byteLength > this.maxBytes || this.pending.size > 0) return;
    const taken = new Uint8Array(this.maxBytes / SLAB_BYTES);
    for (const { place, reach } of this.blocks()) {
      taken.fill(1, Math.floor(place / SLAB_BYTES), Math.floor((place + Math.max(reach, 1) - 1) / SLAB_BYTES) + 1);
    }
    const rows = taken.join("").split("1");
    const longest = Math.max(...rows.map(({ length }) => length));
    if (longest * SLAB_BYTES < Math.max(byteLength, 1)) return;
    const key = this.key();
    const isGiven = async (): Promise<boolean> => {
      const answer = await this.do(by, "acquire", key, byteLength);
      if (answer.code === undefined) this.hold(by, key, answer.value, byteLength, 0);
      else expectCode(answer, "ERR_ARENA_EXHAUSTED");
      return answer.code === undefined;
    };
    await this.until(isGiven, `no room for ${byteLength} bytes, with a row of ${longest} slabs free`);
  }

  protected async look(): Promise<void> {
    for (const block of this.blocks()) this.checkWhole(block);
    const sent = [...this.tokens, ...this.channels.flat().flatMap((end) => end.sent)];
    const certain = sent.filter((block) => !this.mayBeLost(block)).length;
    for (const by of this.parts) {
      expectSame("audit", resultOf(await this.do(by, "audit")), "");
      const { liveLeases, liveBytes, waiting, blocks, reservedBytes, threads } = await this.stats(by);
      expectWithin("reservedBytes", reservedBytes, 0, this.maxBytes);
      expectWithin("threads", threads, this.parts.length, 1023);
      if (this.pending.size > 0) continue;
      expectSame("waiting", waiting, 0);
      expectSame("liveLeases", liveLeases, by.held.length);
      const bytes = by.held.reduce((sum, { expected }) => sum + expected.length, 0);
      expectSame("liveBytes", liveBytes, bytes);
      expectSame("leases of all threads", blocks.leased, this.leased);
      expectWithin("blocks on their way", blocks.inTransit, certain, sent.length);
    }
  }

  protected async stats(by: Part): Promise<SharedArenaStats> {
    return resultOf(await this.do(by, "stats"));
  }

  protected get leased(): number {
    return this.parts.reduce((sum, { held }) => sum + held.length, 0);
  }

  protected blocks(): Block[] {
    const blocks = [...this.tokens];
    for (const { held } of this.parts) blocks.push(...held);
    for (const [one, two] of this.channels) blocks.push(...one.sent, ...two.sent);
    return blocks;
  }

  protected now({ place, expected }: Block): Uint8Array {
    const { buffer } = this.handle.data;
    if (this.#memory.length !== buffer.byteLength) this.#memory = new Uint8Array(buffer as unknown as ArrayBuffer);
    return this.#memory.subarray(place, place + expected.length);
  }

  protected checkWhole(block: Block): void {
    if (this.mayBeLost(block)) return;
    const now = this.now(block);
    const at = firstOther(now, block.expected);
    if (at >= 0) throw new Finding(`${nameOf(block)} is ${now[at]} at ${at}, not ${block.expected[at]}`);
  }

  /** Its ends, and one byte between. */
  protected checkSample(block: Block, step: number): void {
    const { place, expected } = block;
    const { length } = expected;
    for (const at of length === 0 ? [] : [0, length - 1, (step * 61) % length]) {
      if (this.#memory[place + at] !== expected[at]) this.checkWhole(block);
    }
  }

  protected key(count = 1): number {
    this.#serial += count;
    return this.#serial - count + 1;
  }

  protected nextMark(): number {
    this.#mark = (this.#mark % 255) + 1;
    return this.#mark;
  }

  protected anyPart(who: number): Part {
    return pick(this.parts, who) as Part;
  }

  /** Those of a thread, or of all. Of a detached thread nobody has the ports any more. */
  protected ends(by?: Part): OpenEnd[] {
    const isOpen = (end: End): end is OpenEnd =>
      end.owner !== undefined && this.parts.includes(end.owner) && (by ?? end.owner) === end.owner;
    return this.channels.flat().filter(isOpen);
  }
}

export function resultOf<T>(answer: Answer): T {
  if (answer.code !== undefined) throw new Finding(`threw ${answer.code}`);
  return answer.value as T;
}

export function expectCode(answer: Answer, ...codes: string[]): void {
  if (!codes.includes(answer.code ?? "nothing")) throw new Finding(`threw ${answer.code}, not ${codes.join(" or ")}`);
}

export function expectSame(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Finding(`${what}: ${actual}, not ${expected}`);
}

export function expectWithin(what: string, actual: number, least: number, most: number): void {
  if (actual < least || actual > most) throw new Finding(`${what}: ${actual}, not ${least} to ${most}`);
}

export function nameOf({ key }: Block): string {
  return `lease ${key}`;
}

export function pick<T>(list: readonly T[], which: number): T | undefined {
  return list[which % list.length];
}

export function remove<T>(list: T[], item: T | undefined): void {
  const at = list.indexOf(item as T);
  if (at >= 0) list.splice(at, 1);
}
