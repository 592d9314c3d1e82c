/**
 * Random programs' calls of a shared arena, one at a time: the ways to a lease, what is done with
 * one, and threads that come, go and die. What must hold is model.ts, channels are channels.ts.
 */

import { BLOCK_BYTES, CLASS_BY_GRAIN, LONGEST_SHORT, SLAB_BYTES } from "../../../src/shared/abi.js";
import { Finding } from "../checks.js";
import type { Tally } from "../world.js";
import { Channels } from "./channels.js";
import type { Answer, Place } from "./hand.js";
import {
  type Block,
  type Dice,
  expectCode,
  expectSame,
  expectWithin,
  MOST_LEASES,
  MOST_PENDING,
  type Part,
  pick,
  remove,
  resultOf,
} from "./model.js";
import type { Pool, Thread } from "./threads.js";

/** Steps between two looks at everything. */
const LOOK_EVERY = 64;

export type Settings = Readonly<Record<"threads" | "slabs", number>>;

export class World extends Channels {
  readonly #detached: Thread[] = [];
  /** Tokens that were adopted. */
  readonly #used: number[] = [];
  #steps = 0;

  /** This thread makes the arena, so it hears of deaths. */
  static async open(pool: Pool, { threads, slabs }: Settings): Promise<World> {
    const world = new World(pool, slabs);
    const here = { thread: pool.here, held: [] };
    world.parts.push(here);
    world.handle = resultOf(await world.do(here, "create", world.maxBytes));
    for (let each = 1; each < threads; each++) await world.#attachThread(pool.take());
    return world;
  }

  /** Makes a call, and looks. One that finds nothing to do is no operation. */
  async step(name: Step, dice: Dice, tally: Tally): Promise<void> {
    const before = this.calls.length;
    await this[name](dice);
    if (this.calls.length > before) tally[name] = (tally[name] ?? 0) + 1;
    const step = ++this.#steps;
    if (step % 3 === 0) await this.turn([...this.pending.values()].map(({ by }) => by));
    const blocks = this.blocks();
    for (const block of blocks) this.checkSample(block, step);
    if (blocks.length > 0) this.checkWhole(blocks[step % blocks.length] as Block);
    if (step % LOOK_EVERY === 0) await this.look();
  }

  /** What was called, to be read. */
  get source(): string {
    const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 80);
    const lines = this.calls
      .filter(([, name]) => !/^(stats|audit|settled)$/.test(name))
      .map(([by, name, args, answer]) => {
        const given = args.map((arg) => (Object(arg) === arg && !Array.isArray(arg) ? "…" : shown(arg))).join(", ");
        return `thread${by.thread.threadId}.${name}(${given}) → ${answer.code ?? shown(answer.value)}`;
      });
    return lines.filter((line, each) => line !== lines[each - 1]).join("\n");
  }

  async acquire({ who, byteLength }: Dice): Promise<void> {
    await this.obtain("acquire", who, byteLength, byteLength, 0);
  }

  async copyOf({ who, byteLength }: Dice): Promise<void> {
    const mark = this.nextMark();
    await this.obtain("copyOf", who, byteLength, byteLength, mark, mark);
  }

  async acquireFilled({ who, how, byteLength }: Dice): Promise<void> {
    const mark = this.nextMark();
    const written = [byteLength, byteLength >> 1, 0, byteLength + 1, -1][how % 5] as number;
    const wrong = written < 0 ? "thrown" : written > byteLength ? "ERR_INVALID_ARGUMENT" : undefined;
    await this.obtain("acquireFilled", who, byteLength, wrong ?? written, mark, mark, written, how > 30);
  }

  /** It may need two blocks at a time, so its refusals say nothing. */
  async writer({ who, byteLength }: Dice): Promise<void> {
    const [by, key, mark] = [this.anyPart(who), this.key(), this.nextMark()];
    const answer = await this.do(by, "writer", key, byteLength, mark);
    if (answer.code === undefined) this.hold(by, key, answer.value, byteLength, mark, 4 * byteLength);
    else expectCode(answer, "ERR_ARENA_EXHAUSTED");
  }

  async use({ who, byteLength }: Dice): Promise<void> {
    const by = this.anyPart(who);
    const answer = await this.do(by, "use", byteLength, 0xaa);
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.checkRefusal(by, byteLength);
    const [place, wasZero] = resultOf<[Place, boolean]>(answer);
    expectSame("whether what use() lent was zero", wasZero, true);
    this.checkPassing(by, place, byteLength);
  }

  async scope({ who, how, byteLength }: Dice): Promise<void> {
    const [by, key] = [this.anyPart(who), this.key(3)];
    const byteLengths = lengthsOf(byteLength, how, 3);
    const answer = await this.do(by, "scope", key, byteLengths);
    if (answer.code !== undefined) return expectCode(answer, "ERR_ARENA_EXHAUSTED");
    for (const [each, place] of resultOf<Place[]>(answer).entries()) {
      this.checkPassing(by, place, byteLengths[each] as number);
      this.ended.push([by, key + each]);
    }
  }

  async acquireAsync({ who, how, byteLength }: Dice): Promise<void> {
    const [by, key] = [this.anyPart(who), this.key(3)];
    if (this.leased >= MOST_LEASES || this.pending.size >= MOST_PENDING) return;
    const byteLengths = lengthsOf(byteLength, how, how > 20 ? 1 : 1 + (how % 3));
    const isTooMuch = slabsFor(byteLengths) * SLAB_BYTES > this.maxBytes;
    const settle = (answer: Answer): void => {
      const codes = ["given up", "ERR_ARENA_DISPOSED", ...(isTooMuch ? ["ERR_ARENA_EXHAUSTED"] : [])];
      if (isTooMuch || answer.code !== undefined) expectCode(answer, ...codes);
      const places = answer.code === undefined ? (answer.value as Place[]) : [];
      for (const [each, place] of places.entries()) {
        this.hold(by, key + each, place, byteLengths[each] as number, 0);
      }
    };
    this.pending.set(key, { name: "acquireAsync", by, settle });
    resultOf(await this.do(by, "acquireAsync", key, byteLengths));
  }

  async abort({ which }: Dice): Promise<void> {
    const wait = pick(
      [...this.pending].filter(([, { name }]) => name === "acquireAsync"),
      which,
    );
    if (wait === undefined) return;
    resultOf(await this.do(wait[1].by, "abort", wait[0]));
    await this.until(() => !this.pending.has(wait[0]), "a wait that was given up goes on");
  }

  async write({ who, which, how, byteLength }: Dice): Promise<void> {
    const block = pick(this.anyPart(who).held, which);
    if (block === undefined) return;
    const { owner, key, expected } = block;
    const from = (how * 37) % (expected.length + 1);
    const to = Math.min(expected.length, from + byteLength);
    const mark = this.nextMark();
    resultOf(await this.do(owner, "write", key, from, to, mark));
    expected.fill(mark, from, to);
  }

  async resize({ who, which, byteLength }: Dice): Promise<void> {
    const block = pick(this.anyPart(who).held, which);
    if (block === undefined) return;
    const answer = await this.do(block.owner, "resize", block.key, byteLength);
    if (answer.code === "ERR_ARENA_EXHAUSTED") return this.checkRefusal(block.owner, byteLength);
    const [place, newLength] = resultOf<Place>(answer);
    expectSame("bytes of a resized lease", newLength, byteLength);
    const expected = new Uint8Array(byteLength);
    expected.set(block.expected.subarray(0, byteLength));
    const reach = Math.max(byteLength, place === block.place ? block.reach : 0);
    this.checkApart(Object.assign(block, { place, expected, reach }));
  }

  async release({ who, which }: Dice): Promise<void> {
    const block = pick(this.anyPart(who).held, which);
    if (block !== undefined) await this.releaseBlock(block);
  }

  async handOver({ who, which }: Dice): Promise<void> {
    const block = pick(this.anyPart(who).held, which);
    if (block === undefined) return;
    block.token = resultOf<number>(await this.do(block.owner, "handOver", block.key));
    this.leave(block);
    this.tokens.push(block);
  }

  async adopt({ who, which }: Dice): Promise<void> {
    const block = pick(this.tokens, which);
    if (block?.token === undefined) return;
    const [by, key] = [this.anyPart(who), this.key()];
    remove(this.tokens, block);
    this.#used.push(block.token);
    const answer = await this.do(by, "adopt", key, block.token);
    if (answer.code === "ERR_TOKEN_USED" && this.mayBeLost(block)) return;
    this.hold(by, key, resultOf(answer), block);
  }

  async adoptAgain({ who, which }: Dice): Promise<void> {
    const token = pick(this.#used.slice(-10), which);
    if (token !== undefined) expectCode(await this.do(this.anyPart(who), "adopt", this.key(), token), "ERR_TOKEN_USED");
  }

  async useEnded({ which }: Dice): Promise<void> {
    const [by, key = 0] = pick(this.ended.slice(-20), which) ?? [];
    if (by === undefined || !this.parts.includes(by)) return;
    expectSame("what a lease that has ended threw", resultOf(await this.do(by, "ended", key)), "ERR_LEASE_RELEASED");
  }

  async trim({ who }: Dice): Promise<void> {
    expectWithin("trim()", resultOf(await this.do(this.anyPart(who), "trim")), 0, this.maxBytes);
  }

  async detach({ who }: Dice): Promise<void> {
    const by = this.anyPart(who);
    if (this.parts.length === 1) return;
    const isWaiting = (): boolean => [...this.pending.values()].some((each) => each.by === by);
    const answer = await this.do(by, "detach");
    if (by.held.length > 0 || (answer.code !== undefined && isWaiting())) {
      return expectCode(answer, "ERR_LEASES_OUTSTANDING");
    }
    resultOf(answer);
    expectCode(await this.do(by, "acquire", this.key(), 10), "ERR_ARENA_DISPOSED");
    await this.closed(...this.ends(by));
    await this.until(() => !isWaiting(), "calls of a thread that has detached wait on");
    expectSame("leases of one that could detach", by.held.length, 0);
    remove(this.parts, by);
    this.#detached.push(by.thread);
  }

  async attach(): Promise<void> {
    const thread = this.#detached.pop();
    if (thread !== undefined) await this.#attachThread(thread);
  }

  /** A worker dies, and this thread hears of it, or another one is told; or it is declared dead, and all is refused to it. */
  async threadEnded({ who, which, how }: Dice): Promise<void> {
    const dead = this.anyPart(who);
    if (dead.thread === this.pool.here || this.parts.length === 1) return;
    remove(this.parts, dead);
    const by = pick(this.parts, which) as Part;
    const isRefused = how % 3 === 0;
    const isHeard =
      how % 3 === 1 && this.pool.kind === "workers" && this.parts.some(({ thread }) => thread === this.pool.here);
    const certain = this.tokens.filter((block) => !this.mayBeLost(block)).length;
    if (!isRefused) await this.pool.end(dead.thread);
    if (!isHeard) resultOf(await this.do(by, "threadEnded", dead.thread.threadId));
    const keys = this.#bury(dead);
    const { leased, inTransit } = (await this.stats(by)).blocks;
    if (this.pending.size === 0) {
      expectSame("leases", leased, this.leased);
      expectWithin("tokens that outlive their thread", inTransit, certain, Number.POSITIVE_INFINITY);
    }
    if (isRefused) {
      const codes = resultOf(await this.do(dead, "refused", keys.slice(0, 2), this.tokens[0]?.token ?? 0));
      expectSame("what a thread declared dead was thrown", codes, "ERR_THREAD_ENDED");
      await this.pool.end(dead.thread);
    }
    await this.#attachThread(this.pool.take());
  }

  /** Everything is received, adopted and released, and all who wait are served: all memory is one lease's. */
  async end(): Promise<void> {
    await this.look();
    await this.until(() => this.#takeAll(), "with everything released, somebody waits");
    for (const end of this.ends()) await this.closeEnd(end);
    await this.until(() => this.pending.size === 0, "with every channel closed, somebody waits");
    if (this.#isStranded) return;
    // What one dead thread had sent to another goes when room is wanted.
    this.channels.length = 0;
    await this.acquire({ who: 0, which: 0, how: 0, byteLength: this.maxBytes });
    const [all] = this.anyPart(0).held;
    if (all === undefined) throw new Finding("the memory is not whole again");
    await this.releaseBlock(all);
    await this.look();
  }

  async #takeAll(): Promise<boolean> {
    const dice = { who: 0, which: 0, how: 0, byteLength: 0 };
    while (this.tokens.length > 0) await this.adopt(dice);
    for (const [which, [, end]] of this.channels.entries()) {
      if (end.owner === undefined) await this.open({ ...dice, which });
    }
    for (const end of this.ends()) {
      if (this.hasDied(end.other)) await this.takeBack(end);
      while (await this.receiveOne(end, false));
    }
    for (const { held } of this.parts) while (held[0] !== undefined) await this.releaseBlock(held[0]);
    const waits = [...this.pending].filter(([, { name }]) => name === "acquireAsync");
    if (this.#isStranded) for (const [key, { by }] of waits) await this.do(by, "abort", key);
    const isServed = [...this.pending.values()].every(({ name }) => name === "receive");
    return isServed && this.blocks().every(({ mayBeGone }) => mayBeGone);
  }

  async #attachThread(thread: Thread): Promise<void> {
    const part = { thread, held: [] };
    expectSame("threadId", resultOf(await this.do(part, "attach", this.handle)), thread.threadId);
    this.parts.push(part);
  }

  /** The model's side of a death. Answers the leases that it had. */
  #bury(dead: Part): number[] {
    this.dead.add(dead.thread);
    for (const [key, { by }] of this.pending) if (by === dead) this.pending.delete(key);
    for (const { owner, sent, other, isClosed, isReceiving } of this.channels.flat()) {
      const sending = owner === dead ? sent.filter(({ isSending }) => isSending) : [];
      for (const block of sending) Object.assign(block, { isSending: false, mayBeGone: true });
      if (owner === dead && isReceiving && other.sent[0] !== undefined) other.sent[0].mayBeGone = true;
      // A closed end takes back what it had sent when it hears of this; if its thread has detached, never.
      if (!this.hasDied(other) || !(isClosed || this.dead.has(owner?.thread as Thread))) continue;
      for (const block of sent) block.mayBeGone = true;
    }
    return dead.held.splice(0).map(({ key }) => key);
  }

  /** What a thread had sent before it detached, to one that has died, is out as long as it lives. */
  get #isStranded(): boolean {
    return this.blocks().some(({ owner, mayBeGone }) => mayBeGone && !this.dead.has(owner.thread));
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
