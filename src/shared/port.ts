/**
 * One end of a channel: leases that go to another thread and come from it. Owns both ends'
 * claims, and what becomes of messages when an end closes or its thread dies.
 *
 *   word  0          1         16               16 + ring
 *        ┌──────────┬─────────┬────────────────┬────────────────┐
 *        │ port 1's │ port 2's│ ring: 1 to 2   │ ring: 2 to 1   │   claims: the engine's name
 *        └──────────┴─────────┴────────────────┴────────────────┘   of the thread that has it
 *
 * P3  A message is in transit until it is received or taken back, and adopting it decides
 *     between the two. So an end that closes drains what it has not received, a sender
 *     that finds itself too late takes back, and neither can do so twice.
 */

import { cannotBlock, invalidArgument, peerEnded, portClosed, portOpened } from "../errors.js";
import { Lease, movableBlock, surrender } from "../lease/lease.js";
import { holdingOpen, read, swap } from "./access.js";
import { clearRing, Inbox, Outbox, ringWords } from "./ring.js";
import type { Block, SharedLease, SharedStore } from "./store.js";

const RINGS = 16;
const MOST = 65536;
/** How long `receiveSync` blocks before it looks whether the other thread still lives, in milliseconds. */
const SLICE_MS = 50;
const SENT = Promise.resolve();

/** The other end of a channel: `postMessage` it, or pass it as `workerData`, and `arena.open` it there. */
export interface SharedPortHandle {
  /** Of the arena. */
  readonly cleanslabPort: number;
  readonly capacity: number;
  readonly words: Int32Array<SharedArrayBuffer>;
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `capacity` is out of range. */
export function createChannel(arenaId: number, capacity: number): SharedPortHandle {
  if (!Number.isSafeInteger(capacity) || capacity < 1 || capacity > MOST) {
    throw invalidArgument("capacity", capacity, `a whole number of messages from 1 to ${MOST}`);
  }
  const byteLength = 4 * (RINGS + 2 * ringWords(capacity));
  const words = new Int32Array(new SharedArrayBuffer(byteLength));
  for (const side of [0, 1]) clearRing(ringOf(words, capacity, side));
  return { cleanslabPort: arenaId, capacity, words };
}

function ringOf(words: Int32Array, capacity: number, side: number): Int32Array {
  const length = ringWords(capacity);
  return words.subarray(RINGS + side * length, RINGS + (side + 1) * length);
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `handle` is none of this arena. */
export function checkPortHandle(handle: SharedPortHandle, arenaId: number): void {
  const { cleanslabPort, capacity, words } = Object(handle) as Partial<SharedPortHandle>;
  const isPort =
    cleanslabPort === arenaId &&
    words instanceof Int32Array &&
    words.buffer instanceof SharedArrayBuffer &&
    Number.isSafeInteger(capacity);
  if (isPort && words.length === RINGS + 2 * ringWords(capacity as number)) return;
  throw invalidArgument("handle", handle, "a port2 of a channel of this arena");
}

/**
 * One end of a channel, in the thread that has it. Messages are leases: sending ends one
 * here, receiving makes it one there, yours to release. Made by `arena.channel()` and
 * `arena.open()`.
 */
export class SharedPort {
  readonly #store: SharedStore;
  readonly #claims: Int32Array;
  readonly #side: number;
  readonly #out: Outbox;
  readonly #in: Inbox;
  /** Looks at what other threads want of this one. */
  readonly #lookUp: () => void;
  #isClosed = false;
  #hasPeerDied = false;
  /** Sends that wait, and the end of the last of them. */
  #waiting = 0;
  #turn = SENT;
  /** Messages that came too late: their sender had died, and the room was needed. */
  #lost = 0;

  /**
   * @internal
   * @throws ArenaError `ERR_PORT_OPENED`.
   */
  constructor(store: SharedStore, { words, capacity }: SharedPortHandle, side: 0 | 1, lookUp: () => void) {
    if (!swap(words, side, 0, store.engine)) throw portOpened();
    this.#store = store;
    this.#lookUp = lookUp;
    this.#claims = words;
    this.#side = side;
    this.#out = new Outbox(ringOf(words, capacity, side), capacity);
    this.#in = new Inbox(ringOf(words, capacity, 1 - side), capacity);
  }

  /** Whether nothing can be sent any more: this end or the other one was closed, or its thread has ended. */
  get closed(): boolean {
    return this.#isClosed || this.#out.isRefused;
  }

  /**
   * Sends the lease, in the order of the calls. Waits while the channel is full, until
   * half of it is free: then the lease is yours until the promise is fulfilled.
   *
   * @param tag a whole number of 32 bits, `lease.tag` at the other end.
   * @returns a promise that rejects with an ArenaError: `ERR_PORT_CLOSED` or
   *   `ERR_PEER_ENDED`, and as `trySend` throws. The lease is still yours then.
   */
  send(lease: SharedLease, tag = 0): Promise<void> {
    try {
      if (this.trySend(lease, tag)) return SENT;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#sendInTurn(lease, tag);
  }

  /**
   * Sends the lease if the channel has room and no `send` waits. If it answers false, the
   * lease is still yours.
   *
   * @throws ArenaError `ERR_PORT_CLOSED`, `ERR_PEER_ENDED`; `ERR_INVALID_ARGUMENT` if `lease`
   *   is none of this arena or `tag` no 32-bit integer; and as `lease.handOver`.
   */
  trySend(lease: SharedLease, tag = 0): boolean {
    if ((tag | 0) !== tag) throw invalidArgument("tag", tag, "a whole number from -2147483648 to 2147483647");
    return this.#waiting === 0 && this.#put(lease, tag);
  }

  /**
   * The next message, yours to release; `undefined` if there is none now.
   *
   * @throws ArenaError `ERR_PEER_ENDED` if the other thread has ended without closing the
   *   port, once all that it had sent is received.
   */
  tryReceive(): SharedLease | undefined {
    const lease = this.#isClosed ? null : this.#in.take(this.#adopt);
    if (lease !== null) return lease;
    if (!this.#isClosed && this.#in.isDone && (this.#hasPeerDied || this.#lost > 0)) {
      throw peerEnded("receive", this.#lost);
    }
    return undefined;
  }

  /**
   * Waits for the next message; `undefined` once the channel is closed and everything
   * was received. Keeps the process alive while it waits.
   *
   * @returns a promise that rejects as `tryReceive` throws.
   */
  async receive(): Promise<SharedLease | undefined> {
    for (;;) {
      const lease = this.tryReceive();
      if (lease !== undefined) return lease;
      if (this.#isClosed || this.#in.isDone) return undefined;
      const coming = this.#in.whenMessage();
      if (coming !== undefined) await holdingOpen(coming);
    }
  }

  /**
   * Blocks this thread until a message comes: for workers that do nothing else. Their
   * event loop stands still meanwhile.
   *
   * @param ms how long, in milliseconds. Default: forever.
   * @returns the message; `undefined` if the time is up or the channel is closed.
   * @throws ArenaError as `tryReceive`; `ERR_CANNOT_BLOCK` on a page's main thread.
   */
  receiveSync(ms = Number.POSITIVE_INFINITY): SharedLease | undefined {
    const end = performance.now() + ms;
    for (;;) {
      const lease = this.tryReceive();
      if (lease !== undefined) return lease;
      const left = end - performance.now();
      if (this.#isClosed || this.#in.isDone || !(left > 0)) return undefined;
      try {
        this.#in.waitForMessage(Math.min(left, SLICE_MS));
      } catch (cause) {
        throw cannotBlock(cause);
      }
      this.#lookUp();
    }
  }

  /** The messages until the channel is closed, each yours to release. Throws as `tryReceive`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<SharedLease, undefined> {
    // No generator: it awaits three times for each message.
    const next = async (): Promise<IteratorResult<SharedLease, undefined>> => {
      const value = this.tryReceive() ?? (await this.receive());
      return value === undefined ? { done: true, value } : { done: false, value };
    };
    return {
      next,
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /**
   * Closes the channel. What was sent can still be received at the other end; what came
   * and was not received is released. A second call does nothing.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#out.close();
    this.#in.close();
    for (let lease = this.#in.take(this.#adopt); lease !== null; lease = this.#in.take(this.#adopt)) lease.release();
    this.settle();
  }

  /** As `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * The other end's thread runs no more, which the arena may not know: call this then.
   * Answers the leases that it had not received, with their tags, yours again. What it
   * had sent can still be received.
   */
  peerEnded(): SharedLease[] {
    this.#endPeer();
    const leases: SharedLease[] = [];
    this.#out.takeBack((id, generation, tag) => {
      const lease = this.#store.receive(id, generation, tag);
      if (lease !== null) leases.push(lease);
    });
    return leases;
  }

  /**
   * Looks whether the other thread has died. True if the arena need not ask again.
   *
   * @internal
   */
  settle(): boolean {
    const peer = read(this.#claims, 1 - this.#side);
    if (peer !== 0 && !this.#store.hasThread(peer)) this.#endPeer();
    if (!this.#isClosed) return false;
    if (this.#out.isRefused) for (const lease of this.peerEnded()) lease.release();
    return this.#out.unreceived === 0;
  }

  readonly #adopt = (id: number, generation: number, tag: number): SharedLease | null => {
    const lease = this.#store.receive(id, generation, tag);
    if (lease === null) this.#lost++;
    return lease;
  };

  #endPeer(): void {
    // One that closed its end has said all it had to say.
    if (!this.#in.isEnding) this.#hasPeerDied = true;
    this.#in.inherit((id, generation) => this.#store.inherit(id, generation));
    this.#out.refuse();
  }

  /** False if there is no room. */
  #put(lease: SharedLease, tag: number): boolean {
    const block = lease instanceof Lease ? (movableBlock(lease, "send") as Block) : undefined;
    if (block?.store !== this.#store) throw invalidArgument("lease", lease, "a lease of the arena that the port is of");
    if (this.closed) throw this.#hasPeerDied ? peerEnded("send", this.#lost) : portClosed("send");
    if (!this.#out.hasRoom) return false;
    const { byteLength } = lease;
    // L1
    surrender(lease);
    if (this.#out.put(block.id, this.#store.send(block, byteLength), tag)) return true;
    // P3: sent while the other end closed. If it has not seen the message, nobody else will.
    this.#out.takeBack((...message) => this.#store.receive(...message)?.release());
    return true;
  }

  async #sendInTurn(lease: SharedLease, tag: number): Promise<void> {
    const before = this.#turn;
    let end = (): void => {};
    this.#turn = new Promise((resolve) => {
      end = resolve;
    });
    this.#waiting++;
    try {
      await before;
      while (!this.#put(lease, tag)) {
        const room = this.#out.whenRoom();
        if (room !== undefined) await holdingOpen(room);
      }
    } finally {
      this.#waiting--;
      end();
    }
  }
}
