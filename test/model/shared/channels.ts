/**
 * What random programs do with channels, and what must hold of them: order, tags, room, and what
 * becomes of messages when an end is closed or its thread dies.
 */

import type { SharedPortHandle } from "cleanslab/shared";
import { Finding } from "../checks.js";
import type { Answer, Deed, Place } from "./hand.js";
import {
  type Dice,
  type End,
  expectCode,
  expectSame,
  MOST_PENDING,
  Model,
  nameOf,
  type OpenEnd,
  pick,
  remove,
  resultOf,
} from "./model.js";

const MOST_CHANNELS = 4;

export class Channels extends Model {
  async channel({ who, how }: Dice): Promise<void> {
    const [owner, key, capacity] = [this.anyPart(who), this.key(), 1 + (how % 5)];
    const isOver = (ends: readonly End[]): boolean => ends.every((end) => end.isClosed && end.sent.length === 0);
    if (this.channels.length === MOST_CHANNELS) remove(this.channels, this.channels.find(isOver));
    if (this.channels.length === MOST_CHANNELS) return;
    const handle = resultOf<SharedPortHandle>(await this.do(owner, "channel", key, capacity));
    const one = { handle, capacity, key, owner, sent: [], isClosed: false, isReceiving: false } as unknown as End;
    const two: End = { handle, capacity, key, sent: [], isClosed: false, isReceiving: false, other: one };
    this.channels.push([Object.assign(one, { other: two }), two]);
  }

  async open({ who, which }: Dice): Promise<void> {
    const end = pick(this.channels, which)?.[1];
    if (end === undefined) return;
    const [owner, key] = [this.anyPart(who), this.key()];
    const answer = await this.do(owner, "open", key, end.handle);
    if (end.owner !== undefined) return expectCode(answer, "ERR_PORT_OPENED");
    resultOf(answer);
    Object.assign(end, { key, owner });
  }

  async trySend(dice: Dice): Promise<void> {
    const end = this.#anyEnd(dice);
    const block = pick(end?.owner.held ?? [], dice.byteLength);
    if (end === undefined || block === undefined) return;
    const { other, sent, capacity } = end;
    const tag = dice.byteLength - 1000;
    const answer = await this.do(end.owner, "trySend", end.key, block.key, tag);
    if (answer.code !== undefined) return this.#checkNotSent(end, answer);
    // One that waits comes first, and may be all that knows of a close yet.
    const isWaiting = sent.some(({ isSending }) => isSending);
    if (answer.value === false && isWaiting) return;
    if (end.isClosed || other.isClosed) throw new Finding("sent through a closed channel");
    const hasRoom = sent.length < capacity;
    // Otherwise others may have received some of them.
    const isKnown = !isWaiting && (hasRoom || (!this.hasDied(other) && !other.isReceiving));
    if (isKnown) expectSame(`trySend with ${sent.length} of ${capacity} on their way`, answer.value, hasRoom);
    if (answer.value === false) return;
    this.leave(block);
    sent.push(Object.assign(block, { tag }));
  }

  async send(dice: Dice): Promise<void> {
    const end = this.#anyEnd(dice);
    const block = pick(end?.owner.held ?? [], dice.byteLength);
    if (end === undefined || block === undefined || this.pending.size >= MOST_PENDING) return;
    const { owner, sent, other } = end;
    const tag = dice.byteLength + 1000;
    resultOf(await this.do(owner, "send", end.key, block.key, tag));
    remove(owner.held, block);
    sent.push(Object.assign(block, { tag, isSending: true }));
    const settle = (answer: Answer): void => {
      block.isSending = false;
      const isSent = answer.code === undefined;
      if (!isSent) this.#checkNotSent(end, answer);
      if (!isSent && !sent.includes(block)) throw new Finding(`${nameOf(block)} came, and its send has failed`);
      if (!isSent || other.isClosed) remove(sent, block);
      if (isSent) this.leave(block);
      else owner.held.push(Object.assign(block, { mayBeGone: false }));
    };
    this.pending.set(block.key, { name: "send", by: owner, end, settle });
  }

  async tryReceive(dice: Dice): Promise<void> {
    const end = this.#anyEnd(dice);
    if (end !== undefined) await this.receiveOne(end, dice.how % 3 === 0);
  }

  async receive(dice: Dice): Promise<void> {
    const end = this.#anyEnd(dice);
    if (end === undefined || end.isReceiving || this.pending.size >= MOST_PENDING) return;
    const { owner: by, other } = end;
    const key = this.key();
    end.isReceiving = true;
    const settle = (answer: Answer): void => {
      end.isReceiving = false;
      const isOver = end.isClosed || other.isClosed || this.hasDied(other);
      if (!this.#received(end, key, answer) && !isOver) throw new Finding("receive() ended in an open channel");
    };
    this.pending.set(key, { name: "receive", by, end, settle });
    resultOf(await this.do(by, "receive", end.key, key));
  }

  async close(dice: Dice): Promise<void> {
    const end = this.#anyEnd(dice);
    if (end !== undefined) await this.closeEnd(end);
  }

  /** Of a peer that has died: what it had not received comes back. */
  async peerEnded(dice: Dice): Promise<void> {
    const end = this.#anyEnd(dice);
    if (end !== undefined && this.hasDied(end.other)) await this.takeBack(end);
  }

  /** False if there was nothing, or somebody receives already. */
  protected async receiveOne(end: OpenEnd, isSync: boolean): Promise<boolean> {
    if (end.isReceiving) return false;
    const key = this.key();
    const isReceived = this.#received(end, key, await this.do(end.owner, "tryReceive", end.key, key, isSync));
    if (isReceived && end.isClosed) throw new Finding("received from a closed port");
    return isReceived;
  }

  #received({ owner, other, isClosed }: OpenEnd, key: number, answer: Answer): boolean {
    const coming = other.sent;
    if (answer.code !== undefined || answer.value === null) {
      if (answer.code !== undefined) expectCode(answer, this.hasDied(other) ? "ERR_PEER_ENDED" : "no code");
      for (const block of isClosed ? [] : coming.filter(({ isSending }) => !isSending)) {
        if (!this.mayBeLost(block)) throw new Finding(`${nameOf(block)} is on its way, and nothing was received`);
        remove(coming, block);
      }
      return false;
    }
    const [, , tag] = resultOf<Place>(answer);
    let message = coming.shift();
    while (message !== undefined && message.tag !== tag && this.mayBeLost(message)) message = coming.shift();
    if (message === undefined) throw new Finding("received, and there was nothing");
    expectSame("the tag", tag, message.tag);
    this.hold(owner, key, answer.value, message);
    return true;
  }

  protected async takeBack(end: OpenEnd): Promise<void> {
    const key = this.key(8);
    const places = resultOf<Place[]>(await this.do(end.owner, "peerEnded", end.key, key));
    await this.#allSettled(end, "send");
    const messages = end.sent.splice(0);
    while (messages.length > places.length && messages[0]?.mayBeGone) messages.shift();
    expectSame("messages that came back", places.length, messages.length);
    for (const [each, message] of messages.entries()) this.hold(end.owner, key + each, places[each], message);
    // What the other end had sent is this thread's from now on, if it is still there.
    for (const message of end.other.sent) {
      message.mayBeGone ||= this.mayBeLost(message);
      message.owner = end.owner;
    }
  }

  protected async closeEnd(end: OpenEnd): Promise<void> {
    resultOf(await this.do(end.owner, "close", end.key));
    expectSame("closed", resultOf(await this.do(end.owner, "closed", end.key)), true);
    await this.closed(end);
  }

  /** What came and was not received is released, and what a dead peer had not received. */
  protected async closed(...ends: readonly End[]): Promise<void> {
    const open = ends.filter(({ isClosed }) => !isClosed);
    for (const end of open) {
      end.isClosed = true;
      for (const block of [...end.other.sent, ...(this.hasDied(end.other) ? end.sent : [])]) block.mayBeGone = true;
    }
    for (const end of open) {
      await this.#allSettled(end, "send");
      await this.#allSettled(end, "receive");
      for (const block of end.other.sent.filter(({ isSending }) => !isSending)) remove(end.other.sent, block);
      if (this.hasDied(end.other)) end.sent.length = 0;
    }
  }

  async #allSettled(end: End, name: Deed): Promise<void> {
    const isDone = (): boolean => [...this.pending.values()].every((each) => each.end !== end || each.name !== name);
    await this.until(isDone, `a ${name} goes on whose end is closed, or whose peer has died`);
  }

  #checkNotSent(end: End, answer: Answer): void {
    const codes = [end.isClosed || end.other.isClosed ? "ERR_PORT_CLOSED" : ""];
    expectCode(answer, ...codes, this.hasDied(end.other) ? "ERR_PEER_ENDED" : "");
  }

  #anyEnd({ which, how }: Dice): OpenEnd | undefined {
    return pick(this.ends(), 2 * which + (how & 1));
  }
}
