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

/** Steps between two looks at everything; leases out at a time, calls pending, and channels, at most. */
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
  /** It may have gone back: nobody says when. */
  mayBeGone?: boolean;
}

/** One end of a channel. */
interface End {
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
type OpenEnd = End & { owner: Part };

interface Pending {
  readonly name: Deed;
  readonly by: Part;
  readonly end?: End;
  settle(answer: Answer): void;
}

export type Settings = Readonly<Record<"threads" | "slabs", number>>;
/** What a random call is made of: who makes it, which one of several things, how, and a length. */
export type Dice = Readonly<Record<"who" | "which" | "how" | "byteLength", number>>;

export class World {
  readonly #calls: [by: Part, name: Deed, args: readonly unknown[], answer: Answer][] = [];
  readonly #pool: Pool;
  readonly #maxBytes: number;
  readonly #parts: Part[] = [];
  readonly #detached: Thread[] = [];
  readonly #dead = new Set<Thread>();
  readonly #tokens: Block[] = [];
  readonly #used: number[] = [];
  readonly #ended: [by: Part, key: number][] = [];
  readonly #channels: [End, End][] = [];
  readonly #pending = new Map<number, Pending>();
  #handle!: SharedArenaHandle;
  #memory = new Uint8Array(0);
  #serial = 0;
  #mark = 0;
  #steps = 0;

  private constructor(pool: Pool, slabs: number) {
    this.#pool = pool;
    this.#maxBytes = slabs * SLAB_BYTES;
  }

  /** This thread makes the arena, so it hears of deaths. */
  static async open(pool: Pool, { threads, slabs }: Settings): Promise<World> {
    const world = new World(pool, slabs);
    const here = { thread: pool.here, held: [] };
    world.#parts.push(here);
    world.#handle = resultOf(await world.#do(here, "create", world.#maxBytes));
    for (let each = 1; each < threads; each++) await world.#attach(pool.take());
    return world;
  }

  /** Makes a call, and looks. One that finds nothing to do is no operation. */
  async step(name: Step, dice: Dice, tally: Tally): Promise<void> {
    const before = this.#calls.length;
    await this[name](dice);
    if (this.#calls.length > before) tally[name] = (tally[name] ?? 0) + 1;
    const step = ++this.#steps;
    if (step % 3 === 0) await this.#turn([...this.#pending.values()].map(({ by }) => by));
    const blocks = this.#blocks();
    for (const block of blocks) this.#checkSample(block, step);
    if (blocks.length > 0) this.#checkWhole(blocks[step % blocks.length] as Block);
    if (step % LOOK_EVERY === 0) await this.#look();
  }

  /** What was called, to be read. */
  get source(): string {
    const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 80);
    const lines = this.#calls
      .filter(([, name]) => !/^(stats|audit|settled)$/.test(name))
      .map(([by, name, args, answer]) => {
        const given = args.map((arg) => (Object(arg) === arg && !Array.isArray(arg) ? "…" : shown(arg))).join(", ");
        return `thread${by.thread.threadId}.${name}(${given}) → ${answer.code ?? shown(answer.value)}`;
      });
    return lines.filter((line, each) => line !== lines[each - 1]).join("\n");
  }

  // ---- What programs do ----

  async acquire({ who, byteLength }: Dice): Promise<void> {
    await this.#obtain("acquire", who, byteLength, byteLength, 0);
  }

  async copyOf({ who, byteLength }: Dice): Promise<void> {
    const mark = this.#nextMark();
    await this.#obtain("copyOf", who, byteLength, byteLength, mark, mark);
  }

  async acquireFilled({ who, how, byteLength }: Dice): Promise<void> {
    const mark = this.#nextMark();
    const written = [byteLength, byteLength >> 1, 0, byteLength + 1, -1][how % 5] as number;
    const wrong = written < 0 ? "thrown" : written > byteLength ? "ERR_INVALID_ARGUMENT" : undefined;
    await this.#obtain("acquireFilled", who, byteLength, wrong ?? written, mark, mark, written, how > 30);
  }

  /** It may need two blocks at a time, so its refusals say nothing. */
  async writer({ who, byteLength }: Dice): Promise<void> {
    const [by, key, mark] = [this.#any(who), this.#key(), this.#nextMark()];
    const answer = await this.#do(by, "writer", key, byteLength, mark);
    if (answer.code === undefined) this.#hold(by, key, answer.value, byteLength, mark, 4 * byteLength);
    else expectCode(answer, "ERR_ARENA_EXHAUSTED");
  }

  async use({ who, byteLength }: Dice): Promise<void> {
    const by = this.#any(who);
    const answer = await this.#do(by, "use", byteLength, 0xaa);
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.#checkRefusal(by, byteLength);
    const [place, wasZero] = resultOf<[Place, boolean]>(answer);
    expectSame("whether what use() lent was zero", wasZero, true);
    this.#checkPassing(by, place, byteLength);
  }

  async scope({ who, how, byteLength }: Dice): Promise<void> {
    const [by, key] = [this.#any(who), this.#key(3)];
    const byteLengths = lengthsOf(byteLength, how, 3);
    const answer = await this.#do(by, "scope", key, byteLengths);
    if (answer.code !== undefined) return expectCode(answer, "ERR_ARENA_EXHAUSTED");
    for (const [each, place] of resultOf<Place[]>(answer).entries()) {
      this.#checkPassing(by, place, byteLengths[each] as number);
      this.#ended.push([by, key + each]);
    }
  }

  async acquireAsync({ who, how, byteLength }: Dice): Promise<void> {
    const [by, key] = [this.#any(who), this.#key(3)];
    if (this.#leased >= MOST_LEASES || this.#pending.size >= MOST_PENDING) return;
    const byteLengths = lengthsOf(byteLength, how, how > 20 ? 1 : 1 + (how % 3));
    const isTooMuch = slabsFor(byteLengths) * SLAB_BYTES > this.#maxBytes;
    const settle = (answer: Answer): void => {
      const codes = ["given up", "ERR_ARENA_DISPOSED", ...(isTooMuch ? ["ERR_ARENA_EXHAUSTED"] : [])];
      if (isTooMuch || answer.code !== undefined) expectCode(answer, ...codes);
      const places = answer.code === undefined ? (answer.value as Place[]) : [];
      for (const [each, place] of places.entries()) {
        this.#hold(by, key + each, place, byteLengths[each] as number, 0);
      }
    };
    this.#pending.set(key, { name: "acquireAsync", by, settle });
    resultOf(await this.#do(by, "acquireAsync", key, byteLengths));
  }

  async abort({ which }: Dice): Promise<void> {
    const wait = pick(
      [...this.#pending].filter(([, { name }]) => name === "acquireAsync"),
      which,
    );
    if (wait === undefined) return;
    resultOf(await this.#do(wait[1].by, "abort", wait[0]));
    await this.#until(() => !this.#pending.has(wait[0]), "a wait that was given up goes on");
  }

  async write({ who, which, how, byteLength }: Dice): Promise<void> {
    const block = pick(this.#any(who).held, which);
    if (block === undefined) return;
    const { owner, key, expected } = block;
    const from = (how * 37) % (expected.length + 1);
    const to = Math.min(expected.length, from + byteLength);
    const mark = this.#nextMark();
    resultOf(await this.#do(owner, "write", key, from, to, mark));
    expected.fill(mark, from, to);
  }

  async resize({ who, which, byteLength }: Dice): Promise<void> {
    const block = pick(this.#any(who).held, which);
    if (block === undefined) return;
    const answer = await this.#do(block.owner, "resize", block.key, byteLength);
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.#checkRefusal(block.owner, byteLength);
    const [place, newLength] = resultOf<Place>(answer);
    expectSame("bytes of a resized lease", newLength, byteLength);
    const expected = new Uint8Array(byteLength);
    expected.set(block.expected.subarray(0, byteLength));
    const reach = Math.max(byteLength, place === block.place ? block.reach : 0);
    this.#checkApart(Object.assign(block, { place, expected, reach }));
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
    if (block?.token === undefined) return;
    const [by, key] = [this.#any(who), this.#key()];
    remove(this.#tokens, block);
    this.#used.push(block.token);
    const answer = await this.#do(by, "adopt", key, block.token);
    if (answer.code === "ERR_TOKEN_USED" && this.#mayBeLost(block)) return;
    this.#hold(by, key, resultOf(answer), block);
  }

  async adoptAgain({ who, which }: Dice): Promise<void> {
    const token = pick(this.#used.slice(-10), which);
    if (token !== undefined) expectCode(await this.#do(this.#any(who), "adopt", this.#key(), token), "ERR_TOKEN_USED");
  }

  async misuse({ who, which }: Dice): Promise<void> {
    const forged = (pick(this.#tokens, which)?.token ?? 0) + 2 ** 50;
    const codes = resultOf(await this.#do(this.#any(who), "misuse", forged));
    expectSame("what wrong arguments threw", codes, "ERR_INVALID_ARGUMENT");
  }

  async useEnded({ which }: Dice): Promise<void> {
    const [by, key = 0] = pick(this.#ended.slice(-20), which) ?? [];
    if (by === undefined || !this.#parts.includes(by)) return;
    expectSame("what a lease that has ended threw", resultOf(await this.#do(by, "ended", key)), "ERR_LEASE_RELEASED");
  }

  async channel({ who, how }: Dice): Promise<void> {
    const [owner, key, capacity] = [this.#any(who), this.#key(), 1 + (how % 5)];
    const isOver = (ends: readonly End[]): boolean => ends.every((end) => end.isClosed && end.sent.length === 0);
    if (this.#channels.length === MOST_CHANNELS) remove(this.#channels, this.#channels.find(isOver));
    if (this.#channels.length === MOST_CHANNELS) return;
    const handle = resultOf<SharedPortHandle>(await this.#do(owner, "channel", key, capacity));
    const one = { handle, capacity, key, owner, sent: [], isClosed: false, isReceiving: false } as unknown as End;
    const two: End = { handle, capacity, key, sent: [], isClosed: false, isReceiving: false, other: one };
    this.#channels.push([Object.assign(one, { other: two }), two]);
  }

  async open({ who, which }: Dice): Promise<void> {
    const end = pick(this.#channels, which)?.[1];
    if (end === undefined) return;
    const [owner, key] = [this.#any(who), this.#key()];
    const answer = await this.#do(owner, "open", key, end.handle);
    if (end.owner !== undefined) return expectCode(answer, "ERR_PORT_OPENED");
    resultOf(answer);
    Object.assign(end, { key, owner });
  }

  async trySend(dice: Dice): Promise<void> {
    const end = this.#end(dice);
    const block = pick(end?.owner.held ?? [], dice.byteLength);
    if (end === undefined || block === undefined) return;
    const { other, sent, capacity } = end;
    const tag = dice.byteLength - 1000;
    const answer = await this.#do(end.owner, "trySend", end.key, block.key, tag);
    if (answer.code !== undefined) return this.#checkNotSent(end, answer);
    // One that waits comes first, and may be all that knows of a close yet.
    const isWaiting = sent.some(({ isSending }) => isSending);
    if (answer.value === false && isWaiting) return;
    if (end.isClosed || other.isClosed) throw new Finding("sent through a closed channel");
    const hasRoom = sent.length < capacity;
    // Otherwise others may have received some of them.
    const isKnown = !isWaiting && (hasRoom || (!this.#hasDied(other) && !other.isReceiving));
    if (isKnown) expectSame(`trySend with ${sent.length} of ${capacity} on their way`, answer.value, hasRoom);
    if (answer.value === false) return;
    this.#leave(block);
    sent.push(Object.assign(block, { tag }));
  }

  async send(dice: Dice): Promise<void> {
    const end = this.#end(dice);
    const block = pick(end?.owner.held ?? [], dice.byteLength);
    if (end === undefined || block === undefined || this.#pending.size >= MOST_PENDING) return;
    const { owner, sent, other } = end;
    const tag = dice.byteLength + 1000;
    resultOf(await this.#do(owner, "send", end.key, block.key, tag));
    remove(owner.held, block);
    sent.push(Object.assign(block, { tag, isSending: true }));
    const settle = (answer: Answer): void => {
      block.isSending = false;
      const isSent = answer.code === undefined;
      if (!isSent) this.#checkNotSent(end, answer);
      if (!isSent && !sent.includes(block)) throw new Finding(`${nameOf(block)} came, and its send has failed`);
      if (!isSent || other.isClosed) remove(sent, block);
      if (isSent) this.#leave(block);
      else owner.held.push(Object.assign(block, { mayBeGone: false }));
    };
    this.#pending.set(block.key, { name: "send", by: owner, end, settle });
  }

  async tryReceive(dice: Dice): Promise<void> {
    const end = this.#end(dice);
    if (end !== undefined) await this.#tryReceive(end, dice.how % 3 === 0);
  }

  async receive(dice: Dice): Promise<void> {
    const end = this.#end(dice);
    if (end === undefined || end.isReceiving || this.#pending.size >= MOST_PENDING) return;
    const { owner: by, other } = end;
    const key = this.#key();
    end.isReceiving = true;
    const settle = (answer: Answer): void => {
      end.isReceiving = false;
      const isOver = end.isClosed || other.isClosed || this.#hasDied(other);
      if (!this.#received(end, key, answer) && !isOver) throw new Finding("receive() ended in an open channel");
    };
    this.#pending.set(key, { name: "receive", by, end, settle });
    resultOf(await this.#do(by, "receive", end.key, key));
  }

  async close(dice: Dice): Promise<void> {
    const end = this.#end(dice);
    if (end !== undefined) await this.#close(end);
  }

  /** Of a peer that has died: what it had not received comes back. */
  async peerEnded(dice: Dice): Promise<void> {
    const end = this.#end(dice);
    if (end !== undefined && this.#hasDied(end.other)) await this.#takeBack(end);
  }

  async trim({ who }: Dice): Promise<void> {
    expectWithin("trim()", resultOf(await this.#do(this.#any(who), "trim")), 0, this.#maxBytes);
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
    await this.#closed(...this.#ends(by));
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
    const isRefused = how % 3 === 0;
    const isHeard =
      how % 3 === 1 && this.#pool.kind === "workers" && this.#parts.some(({ thread }) => thread === this.#pool.here);
    const certain = this.#tokens.filter((block) => !this.#mayBeLost(block)).length;
    if (!isRefused) await this.#pool.end(dead.thread);
    if (!isHeard) resultOf(await this.#do(by, "threadEnded", dead.thread.threadId));
    const keys = this.#bury(dead);
    const { leased, inTransit } = (await this.#stats(by)).blocks;
    if (this.#pending.size === 0) {
      expectSame("leases", leased, this.#leased);
      expectWithin("tokens that outlive their thread", inTransit, certain, Number.POSITIVE_INFINITY);
    }
    if (isRefused) {
      const codes = resultOf(await this.#do(dead, "refused", keys.slice(0, 2), this.#tokens[0]?.token ?? 0));
      expectSame("what a thread declared dead was thrown", codes, "ERR_THREAD_ENDED");
      await this.#pool.end(dead.thread);
    }
    await this.#attach(this.#pool.take());
  }

  /** Everything is received, adopted and released, and all who wait are served: all memory is one lease's. */
  async end(): Promise<void> {
    await this.#look();
    await this.#until(() => this.#takeAll(), "with everything released, somebody waits");
    for (const end of this.#ends()) await this.#close(end);
    await this.#until(() => this.#pending.size === 0, "with every channel closed, somebody waits");
    if (this.#isStranded) return;
    // What one dead thread had sent to another goes when room is wanted.
    this.#channels.length = 0;
    await this.acquire({ who: 0, which: 0, how: 0, byteLength: this.#maxBytes });
    const [all] = this.#any(0).held;
    if (all === undefined) throw new Finding("the memory is not whole again");
    await this.#release(all);
    await this.#look();
  }

  // ---- How ----

  async #takeAll(): Promise<boolean> {
    const dice = { who: 0, which: 0, how: 0, byteLength: 0 };
    while (this.#tokens.length > 0) await this.adopt(dice);
    for (const [which, [, end]] of this.#channels.entries()) {
      if (end.owner === undefined) await this.open({ ...dice, which });
    }
    for (const end of this.#ends()) {
      if (this.#hasDied(end.other)) await this.#takeBack(end);
      while (await this.#tryReceive(end, false));
    }
    for (const { held } of this.#parts) while (held[0] !== undefined) await this.#release(held[0]);
    const waits = [...this.#pending].filter(([, { name }]) => name === "acquireAsync");
    if (this.#isStranded) for (const [key, { by }] of waits) await this.#do(by, "abort", key);
    const isServed = [...this.#pending.values()].every(({ name }) => name === "receive");
    return isServed && this.#blocks().every(({ mayBeGone }) => mayBeGone);
  }

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

  /** @param wanted the length of the lease, or what the call is to throw. */
  async #obtain<D extends "acquire" | "acquireFilled" | "copyOf">(
    name: D,
    who: number,
    byteLength: number,
    wanted: number | string,
    mark: number,
    ...rest: unknown[]
  ): Promise<void> {
    const [by, key] = [this.#any(who), this.#key()];
    if (this.#leased >= MOST_LEASES) return;
    const answer = await this.#do(by, name, ...([key, byteLength, ...rest] as Parameters<(typeof deeds)[D]>));
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.#checkRefusal(by, byteLength);
    if (typeof wanted === "string") expectCode(answer, wanted);
    else this.#hold(by, key, resultOf(answer), wanted, mark, byteLength);
  }

  /** A new lease of so many times `mark`, or of the bytes of a block. What is zero is dirty from now on. */
  #hold(owner: Part, key: number, place: unknown, wanted: number | Block, mark = -1, reach = 0): void {
    const [at, byteLength] = place as Place;
    const block: Block =
      typeof wanted === "number"
        ? { key, owner, place: at, expected: new Uint8Array(wanted).fill(mark), reach: Math.max(wanted, reach) }
        : { key, owner, place: at, expected: wanted.expected, reach: wanted.reach };
    expectSame(`bytes of ${nameOf(block)}`, byteLength, block.expected.length);
    this.#checkApart(block);
    owner.held.push(block);
    if (mark === 0) this.#now(block).set(block.expected.fill(this.#nextMark()));
  }

  /** Of a lease that was, and is not any more. */
  #checkPassing(owner: Part, [place, length]: Place, byteLength: number): void {
    expectSame("bytes of a short lease", length, byteLength);
    this.#checkApart({ key: 0, owner, place, expected: new Uint8Array(length), reach: length }, false);
  }

  /** A new one has its bytes, and shares none. @param isOut whether it is still leased. */
  #checkApart(block: Block, isOut = true): void {
    if (isOut) this.#checkWhole(block);
    const end = block.place + block.expected.length;
    if (end === block.place) return;
    expectSame(`the place of ${nameOf(block)}, in 64 bytes`, block.place % 64, 0);
    for (const other of this.#blocks()) {
      if (other === block || other.place >= end || other.place + other.expected.length <= block.place) continue;
      if (!this.#mayBeLost(other)) throw new Finding(`${nameOf(block)} shares bytes with ${nameOf(other)}`);
      for (const list of [this.#tokens, ...this.#channels.flat().map(({ sent }) => sent)]) remove(list, other);
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
      if (turn === TURNS) throw new Finding(otherwise);
      await this.#turn(this.#parts);
    }
  }

  /** False if there was nothing, or somebody receives already. */
  async #tryReceive(end: OpenEnd, isSync: boolean): Promise<boolean> {
    if (end.isReceiving) return false;
    const key = this.#key();
    const isReceived = this.#received(end, key, await this.#do(end.owner, "tryReceive", end.key, key, isSync));
    if (isReceived && end.isClosed) throw new Finding("received from a closed port");
    return isReceived;
  }

  #received({ owner, other, isClosed }: OpenEnd, key: number, answer: Answer): boolean {
    const coming = other.sent;
    if (answer.code !== undefined || answer.value === null) {
      if (answer.code !== undefined) expectCode(answer, this.#hasDied(other) ? "ERR_PEER_ENDED" : "no code");
      for (const block of isClosed ? [] : coming.filter(({ isSending }) => !isSending)) {
        if (!this.#mayBeLost(block)) throw new Finding(`${nameOf(block)} is on its way, and nothing was received`);
        remove(coming, block);
      }
      return false;
    }
    const [, , tag] = resultOf<Place>(answer);
    let message = coming.shift();
    while (message !== undefined && message.tag !== tag && this.#mayBeLost(message)) message = coming.shift();
    if (message === undefined) throw new Finding("received, and there was nothing");
    expectSame("the tag", tag, message.tag);
    this.#hold(owner, key, answer.value, message);
    return true;
  }

  async #takeBack(end: OpenEnd): Promise<void> {
    const key = this.#key(8);
    const places = resultOf<Place[]>(await this.#do(end.owner, "peerEnded", end.key, key));
    await this.#allSettled(end, "send");
    const messages = end.sent.splice(0);
    while (messages.length > places.length && messages[0]?.mayBeGone) messages.shift();
    expectSame("messages that came back", places.length, messages.length);
    for (const [each, message] of messages.entries()) this.#hold(end.owner, key + each, places[each], message);
    // What the other end had sent is this thread's from now on, if it is still there.
    for (const message of end.other.sent) {
      message.mayBeGone ||= this.#mayBeLost(message);
      message.owner = end.owner;
    }
  }

  async #close(end: OpenEnd): Promise<void> {
    resultOf(await this.#do(end.owner, "close", end.key));
    expectSame("closed", resultOf(await this.#do(end.owner, "closed", end.key)), true);
    await this.#closed(end);
  }

  /** What came and was not received is released, and what a dead peer had not received. */
  async #closed(...ends: readonly End[]): Promise<void> {
    const open = ends.filter(({ isClosed }) => !isClosed);
    for (const end of open) {
      end.isClosed = true;
      for (const block of [...end.other.sent, ...(this.#hasDied(end.other) ? end.sent : [])]) block.mayBeGone = true;
    }
    for (const end of open) {
      await this.#allSettled(end, "send");
      await this.#allSettled(end, "receive");
      for (const block of end.other.sent.filter(({ isSending }) => !isSending)) remove(end.other.sent, block);
      if (this.#hasDied(end.other)) end.sent.length = 0;
    }
  }

  async #allSettled(end: End, name: Deed): Promise<void> {
    const isDone = (): boolean => [...this.#pending.values()].every((each) => each.end !== end || each.name !== name);
    await this.#until(isDone, `a ${name} goes on whose end is closed, or whose peer has died`);
  }

  /** The model's side of a death. Answers the leases that it had. */
  #bury(dead: Part): number[] {
    this.#dead.add(dead.thread);
    for (const [key, { by }] of this.#pending) if (by === dead) this.#pending.delete(key);
    for (const { owner, sent, other, isClosed, isReceiving } of this.#channels.flat()) {
      const sending = owner === dead ? sent.filter(({ isSending }) => isSending) : [];
      for (const block of sending) Object.assign(block, { isSending: false, mayBeGone: true });
      if (owner === dead && isReceiving && other.sent[0] !== undefined) other.sent[0].mayBeGone = true;
      // A closed end takes back what it had sent when it hears of this; if its thread has detached, never.
      if (!this.#hasDied(other) || !(isClosed || this.#dead.has(owner?.thread as Thread))) continue;
      for (const block of sent) block.mayBeGone = true;
    }
    return dead.held.splice(0).map(({ key }) => key);
  }

  #hasDied({ owner }: End): boolean {
    return owner !== undefined && this.#dead.has(owner.thread);
  }

  /** Also what the dead had handed over, once there was no more memory to have. */
  #mayBeLost({ owner, mayBeGone = false }: Block): boolean {
    return mayBeGone || (this.#handle.data.buffer.byteLength === this.#maxBytes && this.#dead.has(owner.thread));
  }

  #checkNotSent(end: End, answer: Answer): void {
    const codes = [end.isClosed || end.other.isClosed ? "ERR_PORT_CLOSED" : ""];
    expectCode(answer, ...codes, this.#hasDied(end.other) ? "ERR_PEER_ENDED" : "");
  }

  /** Where there is room for it, whoever asks again gets it, once others have given back what they keep. */
  async #checkRefusal(by: Part, byteLength: number): Promise<void> {
    if (byteLength > this.#maxBytes || this.#pending.size > 0) return;
    const taken = new Uint8Array(this.#maxBytes / SLAB_BYTES);
    for (const { place, reach } of this.#blocks()) {
      taken.fill(1, Math.floor(place / SLAB_BYTES), Math.floor((place + Math.max(reach, 1) - 1) / SLAB_BYTES) + 1);
    }
    const rows = taken.join("").split("1");
    const longest = Math.max(...rows.map(({ length }) => length));
    if (longest * SLAB_BYTES < Math.max(byteLength, 1)) return;
    const key = this.#key();
    const isGiven = async (): Promise<boolean> => {
      const answer = await this.#do(by, "acquire", key, byteLength);
      if (answer.code === undefined) this.#hold(by, key, answer.value, byteLength, 0);
      else expectCode(answer, "ERR_ARENA_EXHAUSTED");
      return answer.code === undefined;
    };
    await this.#until(isGiven, `no room for ${byteLength} bytes, with a row of ${longest} slabs free`);
  }

  async #look(): Promise<void> {
    for (const block of this.#blocks()) this.#checkWhole(block);
    const sent = [...this.#tokens, ...this.#channels.flat().flatMap((end) => end.sent)];
    const certain = sent.filter((block) => !this.#mayBeLost(block)).length;
    for (const by of this.#parts) {
      expectSame("audit", resultOf(await this.#do(by, "audit")), "");
      const { liveLeases, liveBytes, waiting, blocks, reservedBytes, threads } = await this.#stats(by);
      expectWithin("reservedBytes", reservedBytes, 0, this.#maxBytes);
      expectWithin("threads", threads, this.#parts.length, 1023);
      if (this.#pending.size > 0) continue;
      expectSame("waiting", waiting, 0);
      expectSame("liveLeases", liveLeases, by.held.length);
      const bytes = by.held.reduce((sum, { expected }) => sum + expected.length, 0);
      expectSame("liveBytes", liveBytes, bytes);
      expectSame("leases of all threads", blocks.leased, this.#leased);
      expectWithin("blocks on their way", blocks.inTransit, certain, sent.length);
    }
  }

  async #stats(by: Part): Promise<SharedArenaStats> {
    return resultOf(await this.#do(by, "stats"));
  }

  /** What a thread had sent before it detached, to one that has died, is out as long as it lives. */
  get #isStranded(): boolean {
    return this.#blocks().some(({ owner, mayBeGone }) => mayBeGone && !this.#dead.has(owner.thread));
  }

  get #leased(): number {
    return this.#parts.reduce((sum, { held }) => sum + held.length, 0);
  }

  #blocks(): Block[] {
    const blocks = [...this.#tokens];
    for (const { held } of this.#parts) blocks.push(...held);
    for (const [one, two] of this.#channels) blocks.push(...one.sent, ...two.sent);
    return blocks;
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
    for (const at of length === 0 ? [] : [0, length - 1, (step * 61) % length]) {
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

  /** Those of a thread, or of all. Of a detached thread nobody has the ports any more. */
  #ends(by?: Part): OpenEnd[] {
    const isOpen = (end: End): end is OpenEnd =>
      end.owner !== undefined && this.#parts.includes(end.owner) && (by ?? end.owner) === end.owner;
    return this.#channels.flat().filter(isOpen);
  }

  #end({ which, how }: Dice): OpenEnd | undefined {
    return pick(this.#ends(), 2 * which + (how & 1));
  }
}

export type Step = Exclude<
  { [K in keyof World]: World[K] extends (dice: Dice) => Promise<void> ? K : never }[keyof World],
  "end"
>;

function lengthsOf(byteLength: number, how: number, count: number): number[] {
  return [byteLength, 100 * how, byteLength >> 1].slice(0, count);
}

/** How many slabs of an empty arena these leases need. */
function slabsFor(byteLengths: readonly number[]): number {
  const shares = new Map<number, number>();
  let slabs = 0;
  for (const byteLength of byteLengths) {
    const blockBytes = BLOCK_BYTES[CLASS_BY_GRAIN[(byteLength + 63) >>> 6] as number] as number;
    if (byteLength > LONGEST_SHORT) slabs += Math.ceil(byteLength / SLAB_BYTES);
    else shares.set(blockBytes, (shares.get(blockBytes) ?? 0) + 1 / Math.floor(SLAB_BYTES / blockBytes));
  }
  return [...shares.values()].reduce((sum, share) => sum + Math.ceil(share), slabs);
}

function resultOf<T>(answer: Answer): T {
  if (answer.code !== undefined) throw new Finding(`threw ${answer.code}`);
  return answer.value as T;
}

function expectCode(answer: Answer, ...codes: string[]): void {
  if (!codes.includes(answer.code ?? "nothing")) throw new Finding(`threw ${answer.code}, not ${codes.join(" or ")}`);
}

function expectSame(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Finding(`${what}: ${actual}, not ${expected}`);
}

function expectWithin(what: string, actual: number, least: number, most: number): void {
  if (actual < least || actual > most) throw new Finding(`${what}: ${actual}, not ${least} to ${most}`);
}

function nameOf({ key }: Block): string {
  return `lease ${key}`;
}

function pick<T>(list: readonly T[], which: number): T | undefined {
  return list[which % list.length];
}

function remove<T>(list: T[], item: T | undefined): void {
  const at = list.indexOf(item as T);
  if (at >= 0) list.splice(at, 1);
}
