/**
 * An arena and its model, kept in step: how a lease begins, moves and ends. Which calls are
 * made is the business of commands/, what must hold that of checks.ts, and when it is
 * looked at that of after.ts. Writes down every call, as code that runs by itself.
 */

import { Arena, type ArenaErrorCode, type Lease } from "cleanslab";
import { expectCode, expectNew, expectNoRoom, expectValue, Finding, firstOther, zeroBytes } from "./checks.js";
import { bufferOf, type Held, type HeldPin, Model, type OpenScope, removeFrom, type View } from "./model.js";
import { LONGEST_SHORT_BYTES, type Settings } from "./settings.js";

/** Commands done, by name. */
export type Tally = Record<string, number>;

export type CreateArena = (options: Settings) => Arena;

export class World {
  readonly settings: Settings;
  readonly model: Model;
  arena: Arena;
  trace: Settings["trace"];
  /** The calls of the command that runs now, as code. */
  lines: string[] = [];
  readonly #create: CreateArena;
  readonly #tally: Tally;
  #serial = 0;
  #mark = 0;

  constructor(settings: Settings, tally: Tally, create: CreateArena = (options) => new Arena(options)) {
    this.settings = settings;
    this.#tally = tally;
    this.#create = create;
    this.model = new Model(settings.revoke !== "never");
    this.trace = settings.trace;
    this.arena = create(settings);
  }

  say(line: string): void {
    this.lines.push(line);
  }

  /** A number for names in the printed program. */
  next(): number {
    return ++this.#serial;
  }

  /** A byte to fill with: 1 to 250, and never the same twice in a row. */
  mark(): number {
    this.#mark = (this.#mark % 250) + 1;
    return this.#mark;
  }

  /** Whether bytes are zero the moment their lease was returned. */
  get wipes(): boolean {
    return this.settings.wipeOnRelease || this.settings.revoke === "on-release" || this.trace === "all";
  }

  /** A call that must throw `code`. */
  refused(expression: string, call: () => unknown, code: ArenaErrorCode): void {
    const assertion = `assert.throws(() => ${expression}, { code: "${code}" });`;
    let result: unknown;
    try {
      result = call();
    } catch (error) {
      expectCode(error, code);
      this.say(assertion);
      return;
    }
    throw new Finding(`${expression} gave ${typeof result} instead of ${code}`, assertion);
  }

  /**
   * Runs a call that makes a lease; `undefined` if there may be no room, and was none.
   *
   * @param content what its bytes must be; zeros if it is `null`.
   */
  obtain(
    expression: string,
    byteLength: number,
    acquire: () => Lease,
    content: Uint8Array | null = null,
  ): Held | undefined {
    const serial = this.next();
    let lease: Lease;
    const wasFull = this.model.liveLeases > 0;
    try {
      lease = acquire();
    } catch (error) {
      this.say(`assert.throws(() => ${expression});`);
      expectNoRoom(this.model, this.settings, [byteLength], error);
      return undefined;
    }
    this.say(`const lease${serial} = ${expression};`);
    if (byteLength > this.settings.maxBytes) throw new Finding(`a lease of ${byteLength} bytes, above the cap`);
    // A lease that was cut may have found no shorter block beside its own.
    if (lease.origin === "heap" && !wasFull && lease.byteLength === byteLength) {
      throw new Finding(`a heap lease with nothing out`, `assert.equal(lease${serial}.origin, "arena");`);
    }
    if (lease.byteLength === byteLength) this.#expectNobodyWaitsFor(byteLength, lease);
    return this.adopt(serial, lease, content?.length ?? byteLength, content);
  }

  /** `lease` was handed out: checks its bytes and marks those that were zero. */
  adopt(serial: number, lease: Lease, byteLength: number, content: Uint8Array | null): Held {
    const held = this.#heldOf(serial, lease, byteLength, content);
    this.#forgetStrays(held);
    this.say(`const ${held.name} = ${held.leaseName}.bytes;`);
    expectNew(this.model, held, content);
    if (content === null && byteLength > 0) {
      const mark = this.mark();
      held.bytes.fill(mark);
      held.expected.fill(mark);
      this.say(`${held.name}.fill(${mark});`);
    }
    this.model.blocks.push(held);
    this.model.held.push(held);
    return held;
  }

  release(held: Held): void {
    this.say(`${held.leaseName}.release();`);
    held.lease.release();
    this.ended(held);
  }

  unpin({ name, pin, held }: HeldPin): void {
    this.say(`${name}.release();`);
    pin.release();
    this.unpinned(held);
  }

  /** A pin of `held` is gone. */
  unpinned(held: Held): void {
    held.pins--;
    if (held.pins === 0 && held.hasEnded) this.returned(held);
  }

  /** The arena was disposed: another one takes its place. */
  restart(): void {
    this.model.clear();
    this.arena = this.#create(this.settings);
    this.trace = this.settings.trace;
    this.say("arena = new Arena(options);");
  }

  count(name: string): void {
    this.#tally[name] = (this.#tally[name] ?? 0) + 1;
  }

  /** The caller ends the lease: it is returned now, or after its last pin. */
  ended(held: Held): void {
    removeFrom(this.model.held, held);
    held.hasEnded = true;
    this.model.addEnded(held.leaseName, held.lease);
    if (!held.lease.released) throw new Finding(`${held.leaseName} is not released`);
    if (held.pins === 0) this.returned(held);
  }

  /** The block went back. */
  returned(held: Held): void {
    const { name, bytes } = held;
    this.model.remove(held);
    if (this.wipes) this.#expectWiped(held);
    const diesAtOnce = this.settings.revoke === "on-release" || held.origin === "guard";
    if (diesAtOnce) expectValue(`${name}.length`, bytes.length, 0);
    this.keepStale(held);
  }

  /** `held` has another length now, and perhaps another block. */
  resized(held: Held, byteLength: number): void {
    const { bytes: old, byteLength: oldLength, byteOffset, lease } = held;
    const { bytes } = lease;
    const stays = bytes.byteOffset === byteOffset && bytes.buffer === old.buffer;
    const expected = new Uint8Array(byteLength);
    expected.set(held.expected.subarray(0, Math.min(byteLength, oldLength)));
    if (!stays) this.keepStale(held);
    Object.assign(held, {
      name: `bytes${this.next()}`,
      bytes,
      byteLength,
      byteOffset: lease.byteOffset,
      expected,
      memory: lease.memory,
      origin: lease.origin,
      isDetached: false,
      isInSegment: stays ? held.isInSegment : this.#liesInSegment(lease, byteLength),
    });
    this.say(`const ${held.name} = ${held.leaseName}.bytes;`);
    this.#forgetStrays(held);
    expectNew(this.model, held, expected);
    // So that a later lease shows if these were forgotten.
    if (byteLength > oldLength) this.write(bytes, held.name, oldLength, byteLength, this.mark());
  }

  /** The block under `view` went back. */
  keepStale({ name, bytes, expected }: View): void {
    if (bytes.length === 0) return;
    const content = this.wipes ? new Uint8Array(bytes.length) : expected.slice(0, bytes.length);
    this.model.addStale({ name, bytes, expected: content });
  }

  /** `view` is of a block that was written before its lease was shown: its lease may have another. */
  keepUnlessHeld(view: View, held: Held | undefined): void {
    const { buffer, byteOffset } = view.bytes;
    if (held === undefined || bufferOf(held) !== buffer || held.byteOffset !== byteOffset) this.keepStale(view);
  }

  /** Fills [from, to) of a view, in the arena and in the model. A dead view takes nothing. */
  write(view: Uint8Array<ArrayBuffer>, name: string, from: number, to: number, value: number): void {
    if (view.length === 0) {
      this.say(`${name}[0] = ${value};`);
      view[0] = value;
      return;
    }
    this.say(`${name}.fill(${value}, ${from}, ${to});`);
    view.fill(value, from, to);
    const start = view.byteOffset;
    this.model.noteWrite(view.buffer, start + Math.min(from, view.length), start + Math.min(to, view.length), value);
  }

  #heldOf(serial: number, lease: Lease, byteLength: number, content: Uint8Array | null): Held {
    if (lease.released) throw new Finding("a lease is handed out and has ended");
    expectValue(`lease${serial}.byteLength`, lease.byteLength, byteLength);
    return {
      name: `bytes${serial}`,
      leaseName: `lease${serial}`,
      lease,
      bytes: lease.bytes,
      byteLength,
      byteOffset: lease.byteOffset,
      expected: content === null ? new Uint8Array(byteLength) : new Uint8Array(content),
      memory: lease.memory,
      isDetached: false,
      origin: lease.origin,
      pins: 0,
      hasEnded: false,
      // One that was cut may still have the memory of its own that it needed before.
      isInSegment: content === null && this.#liesInSegment(lease, byteLength),
    };
  }

  #liesInSegment(lease: Lease, byteLength: number): boolean {
    return this.settings.revoke !== "on-release" && lease.origin === "arena" && byteLength <= LONGEST_SHORT_BYTES;
  }

  /** A memory that was revoked and zeroed since somebody wrote outside every lease is as good as new. */
  #forgetStrays({ memory }: Held): void {
    if (memory === undefined) return;
    const strayed = this.model.strayed.get(memory);
    if (strayed?.isNoticed && strayed.buffer !== memory.buffer) this.model.strayed.delete(memory);
  }

  #expectWiped({ name, bytes, byteOffset, byteLength, memory }: Held): void {
    const now = memory === undefined ? bytes : new Uint8Array(memory.buffer, byteOffset, byteLength);
    const other = now.length === 0 ? -1 : firstOther(now, zeroBytes(now.length));
    if (other >= 0) throw new Finding(`${name}[${other}] is ${now[other]} after release`);
  }

  /** The head of the queue was served when there was room, before this call. */
  #expectNobodyWaitsFor(byteLength: number, lease: Lease): void {
    const head = this.model.waiting[0];
    if (lease.origin !== "arena" || head?.byteLengths.length !== 1 || head.byteLengths[0] !== byteLength) return;
    throw new Finding(`${head.name} waits for ${byteLength} bytes, for which there was room`);
  }

  /** Leases that somebody waited for. */
  served(
    leases: readonly Lease[],
    byteLengths: readonly number[],
    expression: string,
    isList: boolean,
    scope: OpenScope | undefined,
    content: Uint8Array | null = null,
  ): void {
    if (leases.length !== byteLengths.length) throw new Finding(`${leases.length} leases came of ${expression}`);
    const serials = leases.map(() => this.next());
    const names = serials.map((serial) => `lease${serial}`);
    this.say(`const ${isList ? `[${names.join(", ")}]` : names[0]} = ${expression};`);
    leases.forEach((lease, each) => {
      const held = this.adopt(serials[each] ?? 0, lease, byteLengths[each] ?? 0, content);
      scope?.leases.push(held);
    });
  }
}
