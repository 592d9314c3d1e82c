/**
 * The plain model of a shared arena, the calls that random programs make of the real one,
 * one at a time, and what must hold after each of them:
 *
 * - what was handed out is zero, or what its producer wrote, and shares no byte with a lease
 *   of any thread, or with one on its way; every one of these has its bytes;
 * - the counts of `stats()` are the model's, whoever asks, and `audit()` is clean;
 * - nobody is refused where there is room, and who waits for it is served;
 * - a token is good for one `adopt`, a channel keeps the order, and a closed one keeps nothing;
 * - the dead hold nothing, and what they had handed over can be adopted until room is needed.
 *
 * What takes its time (`acquireAsync`, `send`, `receive`) is pending until its thread says what
 * became of it: until then the model knows that it may have happened.
 */

import type { SharedArenaHandle, SharedArenaStats, SharedPortHandle } from "cleanslab/shared";
import { BLOCK_BYTES, CLASS_BY_GRAIN, LONGEST_SHORT, SLAB_BYTES } from "../../../src/shared/abi.js";
import { Finding, firstOther } from "../checks.js";
import type { Tally } from "../world.js";
import type { Answer, Deed, deeds, Place } from "./hand.js";
import type { Pool, Thread } from "./threads.js";

/** Calls between two looks at everything; leases out at a time, calls pending, and channels, at most. */
const [LOOK_EVERY, MOST_LEASES, MOST_PENDING, MOST_CHANNELS] = [64, 40, 4, 4];
/** Turns of every thread's event loop after which what should come has not come. */
const TURNS = 300;

/** A thread's part in the arena. */
interface Part {
  readonly thread: Thread;
  readonly held: Block[];
}

/** A block that is somebody's: leased, or on its way. */
interface Block {
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
  /** Whether it may have gone back: nobody says when. */
  mayBeGone?: boolean;
}

/** One end of a channel. */
interface End {
  readonly key: number;
  readonly owner: Part;
  isClosed: boolean;
  isReceiving: boolean;
}

interface Channel {
  readonly handle: SharedPortHandle;
  readonly capacity: number;
  /** The second one is missing as long as nobody has opened it. */
  readonly ends: [End, End | undefined];
  /** By the end that sent them. */
  readonly messages: [Block[], Block[]];
}

/** One end of a channel as its thread sees it. */
interface Side {
  readonly channel: Channel;
  readonly end: End;
  readonly other: End | undefined;
  /** What this end has sent, and what comes. */
  readonly sent: Block[];
  readonly coming: Block[];
}

interface Pending {
  readonly by: Part;
  readonly name: Deed;
  readonly end?: End;
  settle(answer: Answer): void;
}

export interface Settings {
  readonly threads: number;
  readonly slabs: number;
}

/** What a random call is made of: who makes it, which one of several things, how, and a length. */
export interface Dice {
  readonly who: number;
  readonly which: number;
  readonly how: number;
  readonly byteLength: number;
}

export class World {
  readonly #calls: [by: Part, name: Deed, args: readonly unknown[], answer: Answer][] = [];
  readonly #pool: Pool;
  readonly #slabs: number;
  readonly #parts: Part[] = [];
  readonly #detached: Thread[] = [];
  readonly #tokens: Block[] = [];
  readonly #used: number[] = [];
  readonly #ended: [by: Part, key: number][] = [];
  readonly #channels: Channel[] = [];
  readonly #pending = new Map<number, Pending>();
  readonly #dead = new Set<Thread>();
  #handle!: SharedArenaHandle;
  #memory = new Uint8Array(0);
  #serial = 0;
  #mark = 0;
  #steps = 0;

  private constructor(pool: Pool, slabs: number) {
    this.#pool = pool;
    this.#slabs = slabs;
  }

  /** This thread makes the arena, so it hears of deaths. */
  static async open(pool: Pool, { threads, slabs }: Settings): Promise<World> {
    const world = new World(pool, slabs);
    const here = { thread: pool.here, held: [] };
    world.#parts.push(here);
    world.#handle = resultOf(await world.#do(here, "create", slabs * SLAB_BYTES));
    for (let each = 1; each < threads; each++) await world.#attach(await pool.take());
    return world;
  }

  /** Makes a call, and looks. One that finds nothing to do is no operation. */
  async step(name: Step, dice: Dice, tally: Tally): Promise<void> {
    const before = this.#calls.length;
    await this[name](dice);
    if (this.#calls.length > before) tally[name] = (tally[name] ?? 0) + 1;
    if (this.#pending.size > 0) await this.#turn([...this.#pending.values()].map(({ by }) => by));
    const step = ++this.#steps;
    const blocks = this.#blocks();
    for (const block of blocks) this.#checkSample(block, step);
    if (blocks.length > 0) this.#checkWhole(blocks[step % blocks.length] as Block);
    if (step % LOOK_EVERY === 0) await this.#look();
  }

  /** What was called, to be read. */
  get source(): string {
    const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 80);
    return this.#calls
      .filter(([, name]) => !/^(stats|audit|settled)$/.test(name))
      .map(([by, name, args, answer]) => {
        const given = args.map((arg) => (Object(arg) === arg && !Array.isArray(arg) ? "…" : shown(arg))).join(", ");
        return `thread${by.thread.threadId}.${name}(${given}) → ${answer.code ?? shown(answer.value)}`;
      })
      .join("\n");
  }

  // ---- What programs do ----

  async acquire({ who, byteLength }: Dice): Promise<void> {
    await this.#obtain(who, 0, byteLength, "acquire", byteLength);
  }

  async copyOf({ who, byteLength }: Dice): Promise<void> {
    const mark = this.#nextMark();
    await this.#obtain(who, mark, byteLength, "copyOf", byteLength, mark);
  }

  async acquireFilled({ who, how, byteLength }: Dice): Promise<void> {
    const mark = this.#nextMark();
    const written = [byteLength, byteLength >> 1, 0, byteLength + 1, -1][how % 5] as number;
    const wrong = written < 0 ? "thrown" : written > byteLength ? "ERR_INVALID_ARGUMENT" : undefined;
    await this.#obtain(who, mark, wrong ?? written, "acquireFilled", byteLength, mark, written, how > 30);
  }

  /** It may need two blocks at a time, so its refusals say nothing. */
  async writer({ who, byteLength }: Dice): Promise<void> {
    const by = this.#any(who);
    const [key, mark] = [this.#key(), this.#nextMark()];
    const answer = await this.#do(by, "writer", key, byteLength, mark);
    if (answer.code !== "ERR_ARENA_EXHAUSTED") this.#hold(by, key, resultOf<Place>(answer), byteLength, mark, 4 * byteLength);
  }

  async use({ who, byteLength }: Dice): Promise<void> {
    const by = this.#any(who);
    const answer = await this.#do(by, "use", byteLength, 0xaa);
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.#checkRefusal(by, byteLength);
    const [place, wasZero] = resultOf<[Place, boolean]>(answer);
    if (!wasZero) throw new Finding("use() lent bytes that were not zero");
    this.#passing(by, place, byteLength);
  }

  async scope({ who, how, byteLength }: Dice): Promise<void> {
    const by = this.#any(who);
    const byteLengths = [byteLength, 100 * how, byteLength >> 1];
    const key = this.#key(3);
    const answer = await this.#do(by, "scope", key, byteLengths);
    if (answer.code !== undefined) return expectCode(answer, "ERR_ARENA_EXHAUSTED");
    for (const [each, place] of resultOf<Place[]>(answer).entries()) {
      this.#passing(by, place, byteLengths[each] as number);
      this.#ended.push([by, key + each]);
    }
  }

  async acquireAsync({ who, how, byteLength }: Dice): Promise<void> {
    const by = this.#any(who);
    if (this.#isFull || this.#pending.size >= MOST_PENDING) return;
    const byteLengths = [byteLength, 100 * how, byteLength >> 1].slice(0, how > 20 ? 1 : 1 + (how % 3));
    const key = this.#key(3);
    this.#later(key, { by, name: "acquireAsync" }, (answer) => {
      if (answer.code === "given up") return;
      const isTooMuch = slabsFor(byteLengths) > this.#slabs;
      if (isTooMuch || answer.code === "ERR_ARENA_DISPOSED") {
        return expectCode(answer, isTooMuch ? "ERR_ARENA_EXHAUSTED" : "ERR_ARENA_DISPOSED");
      }
      for (const [each, place] of resultOf<Place[]>(answer).entries()) {
        this.#hold(by, key + each, place, byteLengths[each] as number, 0);
      }
    });
    resultOf(await this.#do(by, "acquireAsync", key, byteLengths));
  }

  async abort({ which }: Dice): Promise<void> {
    const waits = [...this.#pending].filter(([, { name }]) => name === "acquireAsync");
    const wait = pick(waits, which);
    if (wait === undefined) return;
    const [key, { by }] = wait;
    resultOf(await this.#do(by, "abort", key));
    await this.#until(() => !this.#pending.has(key), "a wait that was given up goes on");
  }

  async write({ who, which, how, byteLength }: Dice): Promise<void> {
    const block = pick(this.#any(who).held, which);
    if (block === undefined) return;
    const from = (how * 37) % (block.expected.length + 1);
    const to = Math.min(block.expected.length, from + byteLength);
    const mark = this.#nextMark();
    resultOf(await this.#do(block.owner, "write", block.key, from, to, mark));
    block.expected.fill(mark, from, to);
  }

  async resize({ who, which, byteLength }: Dice): Promise<void> {
    const block = pick(this.#any(who).held, which);
    if (block === undefined) return;
    const answer = await this.#do(block.owner, "resize", block.key, byteLength);
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.#checkRefusal(block.owner, byteLength);
    const [place, newLength] = resultOf<Place>(answer);
    if (newLength !== byteLength) throw new Finding(`${nameOf(block)} has ${newLength} bytes, not ${byteLength}`);
    const expected = new Uint8Array(byteLength);
    expected.set(block.expected.subarray(0, byteLength));
    const reach = Math.max(byteLength, place === block.place ? block.reach : 0);
    Object.assign(block, { place, expected, reach });
    this.#checkNew(block);
  }

  async release({ who, which }: Dice): Promise<void> {
    const block = pick(this.#any(who).held, which);
    if (block !== undefined) await this.#release(block);
  }

  async handOver({ who, which }: Dice): Promise<void> {
    const block = pick(this.#any(who).held, which);
    if (block === undefined) return;
    block.token = resultOf<number>(await this.#do(block.owner, "handOver", block.key));
    this.#leave(block);
    this.#tokens.push(block);
  }

  async adopt({ who, which }: Dice): Promise<void> {
    const block = pick(this.#tokens, which);
    if (block === undefined) return;
    const by = this.#any(who);
    const key = this.#key();
    remove(this.#tokens, block);
    this.#used.unshift(block.token as number);
    this.#used.length = Math.min(this.#used.length, 10);
    const answer = await this.#do(by, "adopt", key, block.token as number);
    if (answer.code === "ERR_TOKEN_USED" && this.#mayBeLost(block)) return;
    this.#hold(by, key, resultOf<Place>(answer), block);
  }

  async adoptAgain({ who, which }: Dice): Promise<void> {
    const token = pick(this.#used, which);
    if (token !== undefined) expectCode(await this.#do(this.#any(who), "adopt", this.#key(), token), "ERR_TOKEN_USED");
  }

  async misuse({ who, which }: Dice): Promise<void> {
    const forged = (pick(this.#tokens, which)?.token ?? 0) + 2 ** 50;
    expectOnly(await this.#do(this.#any(who), "misuse", forged), "ERR_INVALID_ARGUMENT");
  }

  async useEnded({ which }: Dice): Promise<void> {
    this.#ended.splice(0, this.#ended.length - 20);
    const [by, key] = pick(this.#ended, which) ?? [];
    if (by === undefined || key === undefined || !this.#parts.includes(by)) return;
    expectOnly(await this.#do(by, "ended", key), "ERR_LEASE_RELEASED");
  }

  async channel({ who, how }: Dice): Promise<void> {
    const owner = this.#any(who);
    const key = this.#key();
    if (this.#channels.length === MOST_CHANNELS) {
      const done = this.#channels.findIndex(
        ({ ends, messages }) => ends.every((end) => end?.isClosed) && messages.flat().length === 0,
      );
      if (done < 0) return;
      this.#channels.splice(done, 1);
    }
    const capacity = 1 + (how % 5);
    const handle = resultOf<SharedPortHandle>(await this.#do(owner, "channel", key, capacity));
    const end = { key, owner, isClosed: false, isReceiving: false };
    this.#channels.push({ handle, capacity, ends: [end, undefined], messages: [[], []] });
  }

  async open({ who, which }: Dice): Promise<void> {
    const channel = pick(this.#channels, which);
    if (channel === undefined) return;
    const owner = this.#any(who);
    const key = this.#key();
    const answer = await this.#do(owner, "open", key, channel.handle);
    if (channel.ends[1] !== undefined) return expectCode(answer, "ERR_PORT_OPENED");
    resultOf(answer);
    channel.ends[1] = { key, owner, isClosed: false, isReceiving: false };
  }

  async trySend(dice: Dice): Promise<void> {
    const side = this.#side(dice);
    const block = pick(side?.end.owner.held ?? [], dice.byteLength);
    if (side === undefined || block === undefined) return;
    const { channel, end, other, sent } = side;
    const tag = dice.byteLength - 1000;
    const answer = await this.#do(end.owner, "trySend", end.key, block.key, tag);
    if (answer.code !== undefined) return expectCode(answer, ...this.#sendCodes(side));
    if (end.isClosed || other?.isClosed) throw new Finding("sent through a closed channel");
    const isKnown = !this.#hasDied(other) && !other?.isReceiving && !sent.some(({ isSending }) => isSending);
    const hasRoom = sent.length < channel.capacity;
    if (answer.value !== hasRoom && (hasRoom || isKnown)) {
      throw new Finding(`trySend was ${answer.value} with ${sent.length} of ${channel.capacity} on their way`);
    }
    if (answer.value === false) return;
    this.#leave(block);
    sent.push(Object.assign(block, { tag }));
  }

  async send(dice: Dice): Promise<void> {
    const side = this.#side(dice);
    const block = pick(side?.end.owner.held ?? [], dice.byteLength);
    if (side === undefined || block === undefined || this.#pending.size >= MOST_PENDING) return;
    const { end, sent } = side;
    const tag = dice.byteLength + 1000;
    resultOf(await this.#do(end.owner, "send", end.key, block.key, tag));
    remove(block.owner.held, block);
    sent.push(Object.assign(block, { tag, isSending: true }));
    this.#later(block.key, { by: end.owner, name: "send", end }, (answer) => {
      block.isSending = false;
      if (answer.code === undefined) {
        if (side.other?.isClosed) remove(sent, block);
        return this.#leave(block);
      }
      expectCode(answer, ...this.#sendCodes(side));
      if (!sent.includes(block)) throw new Finding(`${nameOf(block)} was received, and its send has failed`);
      remove(sent, block);
      block.mayBeGone = false;
      end.owner.held.push(block);
    });
  }

  async tryReceive(dice: Dice): Promise<void> {
    const side = this.#side(dice);
    if (side !== undefined && !side.end.isReceiving) await this.#tryReceive(side, dice.how % 3 === 0);
  }

  async receive(dice: Dice): Promise<void> {
    const side = this.#side(dice);
    if (side === undefined || side.end.isReceiving || this.#pending.size >= MOST_PENDING) return;
    const { end } = side;
    const key = this.#key();
    end.isReceiving = true;
    this.#later(key, { by: end.owner, name: "receive", end }, (answer) => {
      end.isReceiving = false;
      const isOver = end.isClosed || side.other?.isClosed === true || this.#hasDied(side.other);
      if (!this.#received(side, key, answer) && !isOver) throw new Finding("receive() ended in an open channel");
    });
    resultOf(await this.#do(end.owner, "receive", end.key, key));
  }

  async close(dice: Dice): Promise<void> {
    const side = this.#side(dice);
    if (side === undefined) return;
    resultOf(await this.#do(side.end.owner, "close", side.end.key));
    expectSame("closed", resultOf(await this.#do(side.end.owner, "closed", side.end.key)), true);
    await this.#closed(side);
  }

  /** Of a peer that has died: what it had not received comes back. */
  async peerEnded(dice: Dice): Promise<void> {
    const side = this.#side(dice);
    if (side !== undefined && this.#hasDied(side.other)) await this.#takeBack(side);
  }

  async trim({ who }: Dice): Promise<void> {
    resultOf(await this.#do(this.#any(who), "trim"));
  }

  async detach({ who }: Dice): Promise<void> {
    const by = this.#any(who);
    if (this.#parts.length === 1) return;
    const isWaiting = (): boolean => [...this.#pending.values()].some((each) => each.by === by);
    const answer = await this.#do(by, "detach");
    if (by.held.length > 0 || (answer.code !== undefined && isWaiting())) {
      return expectCode(answer, "ERR_LEASES_OUTSTANDING");
    }
    resultOf(answer);
    expectCode(await this.#do(by, "acquire", this.#key(), 10), "ERR_ARENA_DISPOSED");
    await this.#closed(...this.#sides().filter(({ end }) => end.owner === by));
    await this.#until(() => !isWaiting(), "calls of a thread that has detached wait on");
    expectSame("leases of one that could detach", by.held.length, 0);
    remove(this.#parts, by);
    this.#detached.push(by.thread);
  }

  async attach(): Promise<void> {
    const thread = this.#detached.pop();
    if (thread !== undefined) await this.#attach(thread);
  }

  /** A worker dies, and this thread hears of it, or another one is told; or it is declared dead, and all is refused to it. */
  async threadEnded({ who, which, how }: Dice): Promise<void> {
    const dead = this.#any(who);
    if (dead.thread === this.#pool.here || this.#parts.length === 1) return;
    remove(this.#parts, dead);
    const by = pick(this.#parts, which) as Part;
    const isHeard = how % 3 === 0 && this.#parts.some(({ thread }) => thread === this.#pool.here);
    const isAlive = how % 3 === 1;
    if (!isAlive) await this.#pool.end(dead.thread);
    if (isHeard) await this.#attach(await this.#pool.take());
    else resultOf(await this.#do(by, "threadEnded", dead.thread.threadId));
    this.#bury(dead);
    const keys = dead.held.splice(0).map(({ key }) => key);
    if (this.#pending.size === 0) expectSame("leases", (await this.#stats(by)).blocks.leased, this.#leased);
    if (isAlive) {
      expectOnly(await this.#do(dead, "refused", keys.slice(0, 2), this.#tokens[0]?.token ?? 0), "ERR_THREAD_ENDED");
      await this.#pool.end(dead.thread);
    }
    if (!isHeard) await this.#attach(await this.#pool.take());
  }

  /** What other threads ring for is heard. */
  async turn(): Promise<void> {
    await this.#turn(this.#parts);
  }

  /** Everything is received, adopted and released, and all who wait are served: all memory is one lease's. */
  async end(): Promise<void> {
    await this.#look();
    const dice = { who: 0, which: 0, how: 0, byteLength: this.#slabs * SLAB_BYTES };
    const takeAll = async (): Promise<boolean> => {
      while (this.#tokens.length > 0) await this.adopt(dice);
      for (const [which, { ends }] of this.#channels.entries())
        if (ends[1] === undefined) await this.open({ ...dice, which });
      for (const side of this.#sides().filter(({ end }) => this.#parts.includes(end.owner))) {
        if (this.#hasDied(side.other)) await this.#takeBack(side);
        while (!side.end.isReceiving && (await this.#tryReceive(side, false)));
      }
      for (const { held } of this.#parts) while (held[0] !== undefined) await this.#release(held[0]);
      const isServed = [...this.#pending.values()].every(({ name }) => name === "receive");
      return isServed && this.#blocks().every(({ mayBeGone }) => mayBeGone);
    };
    await this.#until(takeAll, "with everything released, somebody waits");
    for (const side of this.#sides()) {
      if (!this.#parts.includes(side.end.owner)) continue;
      resultOf(await this.#do(side.end.owner, "close", side.end.key));
      await this.#closed(side);
    }
    // What a thread had sent before it detached, to one that has died, is out as long as it lives.
    if (this.#blocks().some(({ owner }) => !this.#dead.has(owner.thread))) return;
    // What one dead thread had sent to another goes when room is wanted.
    this.#channels.length = 0;
    await this.acquire(dice);
    const [all] = (this.#parts[0] as Part).held;
    if (all === undefined) throw new Finding("the memory is not whole again");
    await this.#release(all);
    await this.#look();
    const { leased, inTransit } = (await this.#stats(all.owner)).blocks;
    expectSame("blocks left over", leased + inTransit, 0);
  }

  // ---- How ----

  async #do<D extends Deed>(by: Part, name: D, ...args: Parameters<(typeof deeds)[D]>): Promise<Answer> {
    const answer = await by.thread.do(name, args);
    this.#calls.push([by, name, args, answer]);
    return answer;
  }

  async #attach(thread: Thread): Promise<void> {
    const part = { thread, held: [] };
    expectSame("threadId", resultOf(await this.#do(part, "attach", this.#handle)), thread.threadId);
    this.#parts.push(part);
  }

  /** @param wanted the length of the lease, or what the call is to throw. False if there was no room. */
  async #obtain<D extends "acquire" | "acquireFilled" | "copyOf">(
    who: number,
    mark: number,
    wanted: number | string,
    name: D,
    byteLength: number,
    ...rest: unknown[]
  ): Promise<boolean> {
    const by = this.#any(who);
    if (this.#isFull) return false;
    const key = this.#key();
    const answer = await this.#do(by, name, ...([key, byteLength, ...rest] as Parameters<(typeof deeds)[D]>));
    if (answer.code === "ERR_ARENA_EXHAUSTED") {
      await this.#checkRefusal(by, byteLength);
      return false;
    }
    if (typeof wanted === "string") expectCode(answer, wanted);
    else this.#hold(by, key, resultOf<Place>(answer), wanted, mark, byteLength);
    return true;
  }

  /** A new lease of this thread's, of bytes or so many times `mark`. What is zero is dirty from now on. */
  #hold(owner: Part, key: number, [place, byteLength]: Place, wanted: number | Block, mark = -1, most = 0): void {
    const expected = typeof wanted === "number" ? new Uint8Array(wanted).fill(mark) : wanted.expected;
    const reach = typeof wanted === "number" ? Math.max(wanted, most) : wanted.reach;
    const block = { key, owner, place, expected, reach };
    expectSame(nameOf(block), byteLength, expected.length);
    this.#checkNew(block);
    owner.held.push(block);
    if (mark !== 0) return;
    expected.fill(this.#nextMark());
    this.#now(block).set(expected);
  }

  /** One that was leased, and is not any more. */
  #passing(owner: Part, [place, length]: Place, byteLength: number): void {
    const block = { key: 0, owner, place, expected: new Uint8Array(length), reach: length };
    expectSame(nameOf(block), length, byteLength);
    this.#checkApart(block);
  }

  #checkNew(block: Block): void {
    this.#checkWhole(block);
    this.#checkApart(block);
  }

  #checkApart(block: Block): void {
    if (block.expected.length === 0) return;
    if (block.place % 64 !== 0) throw new Finding(`${nameOf(block)} is at ${block.place}`);
    const end = block.place + block.expected.length;
    for (const other of this.#blocks()) {
      if (other === block || other.place >= end || other.place + other.expected.length <= block.place) continue;
      if (!this.#mayBeLost(other)) throw new Finding(`${nameOf(block)} shares bytes with ${nameOf(other)}`);
      for (const list of [this.#tokens, ...this.#channels.flatMap(({ messages }) => messages)]) remove(list, other);
    }
  }

  async #release(block: Block): Promise<void> {
    this.#checkWhole(block);
    resultOf(await this.#do(block.owner, "release", block.key));
    this.#leave(block);
  }

  #leave(block: Block): void {
    remove(block.owner.held, block);
    this.#ended.push([block.owner, block.key]);
  }

  #later(key: number, pending: Omit<Pending, "settle">, settle: Pending["settle"]): void {
    this.#pending.set(key, { ...pending, settle });
  }

  /** Their event loops turn, and what has settled is known. */
  async #turn(parts: readonly Part[]): Promise<void> {
    for (const by of new Set(parts)) {
      for (const [key, answer] of resultOf<[number, Answer][]>(await this.#do(by, "settled"))) {
        const pending = this.#pending.get(key);
        this.#pending.delete(key);
        pending?.settle(answer);
      }
    }
  }

  async #until(isDone: () => boolean | Promise<boolean>, otherwise: string): Promise<void> {
    for (let turn = 0; !(await isDone()); turn++) {
      if (turn === TURNS) {
        const left = this.#blocks().map(({ key, owner, mayBeGone }) => [key, owner.thread.threadId, mayBeGone]);
        throw new Finding(`${otherwise}: ${JSON.stringify([[...this.#pending.keys()], left])}`);
      }
      await this.#turn(this.#parts);
    }
  }

  /** False if there was nothing. */
  async #tryReceive(side: Side, isSync: boolean): Promise<boolean> {
    const key = this.#key();
    const answer = await this.#do(side.end.owner, "tryReceive", side.end.key, key, isSync);
    const isReceived = this.#received(side, key, answer);
    if (isReceived && side.end.isClosed) throw new Finding("received from a closed port");
    return isReceived;
  }

  #received({ end, other, coming }: Side, key: number, answer: Answer): boolean {
    if (answer.code !== undefined || answer.value === null) {
      if (answer.code !== undefined) expectCode(answer, this.#hasDied(other) ? "ERR_PEER_ENDED" : "");
      if (end.isClosed) return false;
      const kept = coming.find((block) => !block.isSending && !this.#mayBeLost(block));
      if (kept !== undefined) throw new Finding(`${nameOf(kept)} is on its way, and nothing was received`);
      for (const block of coming.filter(({ isSending }) => !isSending)) remove(coming, block);
      return false;
    }
    const place = resultOf<Place>(answer);
    let message = coming.shift();
    while (message !== undefined && message.tag !== place[2] && this.#mayBeLost(message)) message = coming.shift();
    if (message === undefined) throw new Finding("received, and there was nothing");
    expectSame("the tag", place[2], message.tag);
    this.#hold(end.owner, key, place, message);
    return true;
  }

  async #takeBack({ end, sent, coming }: Side): Promise<void> {
    const key = this.#key(8);
    const places = resultOf<Place[]>(await this.#do(end.owner, "peerEnded", end.key, key));
    await this.#allSettled(end, "send");
    const messages = sent.splice(0);
    while (messages.length > places.length && messages[0]?.mayBeGone) messages.shift();
    expectSame("messages that came back", places.length, messages.length);
    for (const [each, place] of places.entries()) {
      this.#hold(end.owner, key + each, place, messages[each] as Block);
    }
    // What the other end had sent is this thread's from now on, if it is still there.
    for (const message of coming) {
      message.mayBeGone ||= this.#mayBeLost(message);
      message.owner = end.owner;
    }
  }

  /** What came and was not received is released, and what a dead peer had not received. */
  async #closed(...sides: readonly Side[]): Promise<void> {
    const open = sides.filter(({ end }) => !end.isClosed);
    for (const { end } of open) end.isClosed = true;
    for (const { end, other, sent, coming } of open) {
      await this.#allSettled(end, "send");
      await this.#allSettled(end, "receive");
      for (const block of [...coming]) {
        if (block.isSending) block.mayBeGone = true;
        else remove(coming, block);
      }
      if (this.#hasDied(other)) sent.length = 0;
    }
  }

  async #allSettled(end: End, name: Deed): Promise<void> {
    const isDone = (): boolean => [...this.#pending.values()].every((each) => each.end !== end || each.name !== name);
    await this.#until(isDone, `a ${name} goes on whose end is closed, or whose peer has died`);
  }

  /** The model's side of a death. */
  #bury(dead: Part): void {
    this.#dead.add(dead.thread);
    for (const [key, { by }] of this.#pending) if (by === dead) this.#pending.delete(key);
    for (const { end, other, sent, coming } of this.#sides()) {
      if (end.owner === dead) {
        for (const block of sent.filter(({ isSending }) => isSending)) {
          Object.assign(block, { isSending: false, mayBeGone: true });
        }
        if (end.isReceiving && coming[0] !== undefined) coming[0].mayBeGone = true;
      }
      // A closed end takes back what it had sent when it hears of this; if its thread has detached, never.
      if (this.#hasDied(other) && (end.isClosed || this.#hasDied(end))) for (const block of sent) block.mayBeGone = true;
    }
  }

  /** What keeps an end from sending. */
  #sendCodes({ end, other }: Side): string[] {
    const isOver = end.isClosed || other?.isClosed;
    return [...(isOver ? ["ERR_PORT_CLOSED"] : []), ...(this.#hasDied(other) ? ["ERR_PEER_ENDED"] : [])];
  }

  #hasDied(end: End | undefined): boolean {
    return end !== undefined && this.#dead.has(end.owner.thread);
  }

  /** Also what the dead had handed over, once there was no more memory to have. */
  #mayBeLost({ owner, mayBeGone = false }: Block): boolean {
    const isFull = this.#handle.data.buffer.byteLength === this.#slabs * SLAB_BYTES;
    return mayBeGone || (isFull && this.#dead.has(owner.thread));
  }

  /** Where there is room for it, whoever asks again gets it, once others have given back what they keep. */
  async #checkRefusal(by: Part, byteLength: number): Promise<void> {
    if (byteLength > this.#slabs * SLAB_BYTES || this.#pending.size > 0) return;
    const taken = new Set<number>();
    for (const { place, reach } of this.#blocks()) {
      const last = Math.max(place, place + reach - 1);
      for (let slab = Math.floor(place / SLAB_BYTES); slab <= last / SLAB_BYTES; slab++) taken.add(slab);
    }
    let [row, longest] = [0, 0];
    for (let slab = 0; slab < this.#slabs; slab++) {
      row = taken.has(slab) ? 0 : row + 1;
      longest = Math.max(longest, row);
    }
    if (longest * SLAB_BYTES < Math.max(1, byteLength)) return;
    const key = this.#key();
    const isGiven = async (): Promise<boolean> => {
      const answer = await this.#do(by, "acquire", key, byteLength);
      if (answer.code === undefined) this.#hold(by, key, resultOf<Place>(answer), byteLength, 0);
      else expectCode(answer, "ERR_ARENA_EXHAUSTED");
      return answer.code === undefined;
    };
    await this.#until(isGiven, `no room for ${byteLength} bytes, with a row of ${longest} slabs free`);
  }

  async #look(): Promise<void> {
    for (const block of this.#blocks()) this.#checkWhole(block);
    const sent = [...this.#tokens, ...this.#channels.flatMap(({ messages }) => messages.flat())];
    const certain = sent.filter((block) => !this.#mayBeLost(block)).length;
    for (const by of this.#parts) {
      expectSame("audit", resultOf(await this.#do(by, "audit")), "");
      const { liveLeases, liveBytes, waiting, blocks, reservedBytes, threads } = await this.#stats(by);
      if (reservedBytes > this.#slabs * SLAB_BYTES) throw new Finding(`${reservedBytes} bytes are reserved`);
      if (this.#pending.size > 0) continue;
      expectSame("liveLeases", liveLeases, by.held.length);
      expectSame(
        "liveBytes",
        liveBytes,
        by.held.reduce((sum, { expected }) => sum + expected.length, 0),
      );
      expectSame("waiting", waiting, 0);
      expectSame("leases of all threads", blocks.leased, this.#leased);
      expectSame("blocks on their way", blocks.inTransit, Math.min(sent.length, Math.max(certain, blocks.inTransit)));
      expectSame("threads", threads, Math.max(this.#parts.length, threads));
    }
  }

  async #stats(by: Part): Promise<SharedArenaStats> {
    return resultOf<SharedArenaStats>(await this.#do(by, "stats"));
  }

  get #leased(): number {
    return this.#parts.reduce((sum, { held }) => sum + held.length, 0);
  }

  get #isFull(): boolean {
    return this.#leased >= MOST_LEASES;
  }

  #blocks(): Block[] {
    const lists = [this.#tokens, ...this.#parts.map(({ held }) => held)];
    for (const { messages } of this.#channels) lists.push(...messages);
    return lists.flat();
  }

  #now({ place, expected }: Block): Uint8Array {
    const { buffer } = this.#handle.data;
    if (this.#memory.length !== buffer.byteLength) this.#memory = new Uint8Array(buffer as unknown as ArrayBuffer);
    return this.#memory.subarray(place, place + expected.length);
  }

  #checkWhole(block: Block): void {
    if (this.#mayBeLost(block)) return;
    const now = this.#now(block);
    const at = firstOther(now, block.expected);
    if (at >= 0) throw new Finding(`${nameOf(block)} is ${now[at]} at ${at}, not ${block.expected[at]}`);
  }

  /** Its ends, and one byte between. */
  #checkSample(block: Block, step: number): void {
    const { place, expected } = block;
    const { length } = expected;
    if (length === 0) return;
    this.#now(block);
    for (const at of [0, length - 1, (step * 61) % length]) {
      if (this.#memory[place + at] !== expected[at]) this.#checkWhole(block);
    }
  }

  #key(count = 1): number {
    this.#serial += count;
    return this.#serial - count + 1;
  }

  #nextMark(): number {
    this.#mark = (this.#mark % 255) + 1;
    return this.#mark;
  }

  #any(who: number): Part {
    return pick(this.#parts, who) as Part;
  }

  #sides(): Side[] {
    return this.#channels.flatMap((channel) =>
      [0, 1].flatMap((side) => {
        const end = channel.ends[side];
        const [sent, coming] = [channel.messages[side] as Block[], channel.messages[1 - side] as Block[]];
        if (end === undefined) return [];
        const opened = { channel, end, sent, coming };
        return [Object.defineProperty(opened, "other", { get: () => channel.ends[1 - side] }) as Side];
      }),
    );
  }

  /** Of a detached thread nobody has the ports any more. */
  #side({ which, how }: Dice): Side | undefined {
    const side = pick(this.#sides(), 2 * which + (how & 1));
    return side !== undefined && this.#parts.includes(side.end.owner) ? side : undefined;
  }
}

export type Step = Exclude<
  { [K in keyof World]: World[K] extends (dice: Dice) => Promise<void> ? K : never }[keyof World],
  "end"
>;

/** How many slabs of an empty arena these leases need. */
function slabsFor(byteLengths: readonly number[]): number {
  const shares = new Map<number, number>();
  let slabs = 0;
  for (const byteLength of byteLengths) {
    if (byteLength > LONGEST_SHORT) slabs += Math.ceil(byteLength / SLAB_BYTES);
    else {
      const blockBytes = BLOCK_BYTES[CLASS_BY_GRAIN[(byteLength + 63) >>> 6] as number] as number;
      shares.set(blockBytes, (shares.get(blockBytes) ?? 0) + 1 / Math.floor(SLAB_BYTES / blockBytes));
    }
  }
  return [...shares.values()].reduce((sum, share) => sum + Math.ceil(share), slabs);
}

function resultOf<T>(answer: Answer): T {
  if (answer.code !== undefined) throw new Finding(`threw ${answer.code}`);
  return answer.value as T;
}

function expectCode(answer: Answer, ...codes: string[]): void {
  if (answer.code === undefined) throw new Finding(`returned, and was to throw ${codes.join(" or ")}`);
  if (!codes.includes(answer.code)) throw new Finding(`threw ${answer.code}, not ${codes.join(" or ")}`);
}

/** The calls of a list were to throw that code, each of them. */
function expectOnly(answer: Answer, code: string): void {
  expectSame("what a list of wrong calls threw", resultOf(answer), code);
}

function expectSame(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Finding(`${what}: ${actual}, not ${expected}`);
}

function nameOf({ key }: { key: number }): string {
  return `lease ${key}`;
}

function pick<T>(list: readonly T[], which: number): T | undefined {
  return list[which % list.length];
}

function remove<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}
