/**
 * What an arena tells the process: Node's `diagnostics_channel`, where it exists,
 * under the names `cleanslab:acquire`, `:release`, `:revoke`, `:leak`, `:dirty`
 * and `:exhausted`. A message of the last three has the `arena` and what the event
 * of that name has, one of the first three `{ arena, byteLength }`. Unlike an
 * event, a message needs no reference to the arena beforehand.
 *
 * A subscriber may do anything to the arena, so a message is sent where the lease
 * at hand is wholly acquired or has ended, or in a job of its own: so for a lease
 * that went to a waiter, in the middle of somebody's release.
 *
 * Who listens to leases is not asked at each lease: the first subscriber makes
 * every lease of every arena due (src/countdown.ts), until there is none again.
 * So a lease's release is announced if its acquire could have been, but for those
 * that end with their arena.
 */

import { type Aftermath, type BlockOwner, bringAbout, Lease, StandIn } from "./lease.js";

interface Channel {
  readonly hasSubscribers: boolean;
  publish(message: object): void;
  subscribe?(listener: unknown): unknown;
  bindStore?(store: unknown, transform?: unknown): unknown;
}

/** What is told that somebody listens to leases from now on. */
export interface Listening {
  announce(on: boolean): void;
}

const silent: Channel = { hasSubscribers: false, publish() {} };

/** Replaced by the process's channels when the first arena is created, because an import should do nothing. */
export const channels = {
  acquire: silent,
  release: silent,
  revoke: silent,
  leak: silent,
  dirty: silent,
  exhausted: silent,
};

interface HostProcess {
  getBuiltinModule?(name: "node:diagnostics_channel"): { channel(name: string): Channel } | undefined;
}

export function openChannels(): void {
  if (channels.acquire !== silent) return;
  const { process } = globalThis as { process?: HostProcess };
  const diagnostics = process?.getBuiltinModule?.("node:diagnostics_channel");
  if (diagnostics === undefined) return;
  for (const name of Object.keys(channels)) {
    channels[name as keyof typeof channels] = diagnostics.channel(`cleanslab:${name}`);
  }
  callOnSubscribe(channels.acquire);
  callOnSubscribe(channels.release);
}

/** Whether leases are to be announced. */
export function isAnnounced(): boolean {
  return channels.acquire.hasSubscribers || channels.release.hasSubscribers;
}

const listening = new Set<WeakRef<Listening>>();

/** Keeps `target`, which is not held, told. */
export function tellWhenAnnounced(target: Listening): void {
  for (const ref of listening) if (ref.deref() === undefined) listening.delete(ref);
  listening.add(new WeakRef(target));
  if (isAnnounced()) target.announce(true);
}

/** A channel has no event of its own for its first subscriber, so its two ways to become one are wrapped. */
function callOnSubscribe(channel: Channel): void {
  for (const way of ["subscribe", "bindStore"] as const) {
    // Another copy of this package may have been here before.
    const before = Object.hasOwn(channel, way) ? channel[way] : undefined;
    channel[way] = (...args: [unknown, unknown?]) => {
      // The channel's prototype changes with its first subscriber: looked up each time.
      const original = (before ?? Object.getPrototypeOf(channel)[way]) as (...args: unknown[]) => unknown;
      const answer = original.apply(channel, args);
      for (const ref of listening) ref.deref()?.announce(true);
      return answer;
    };
  }
}

class AnnouncedOwner extends StandIn {
  readonly #arena: object;

  constructor(owner: BlockOwner, arena: object) {
    super(owner);
    this.#arena = arena;
  }

  override release(ptr: number, byteLength: number, written: number): Aftermath {
    const after = super.release(ptr, byteLength, written);
    return () => {
      channels.release.publish({ arena: this.#arena, byteLength });
      if (after !== undefined) bringAbout(after);
    };
  }
}

/** Says that `lease` was acquired, in a job of its own if `later`, and will say that it ended. */
export function announce(lease: Lease, arena: object, later = false): void {
  const { byteLength } = lease;
  Lease.watch(lease, (owner) => new AnnouncedOwner(owner, arena));
  const publish = (): void => channels.acquire.publish({ arena, byteLength });
  if (later) Promise.resolve().then(publish);
  else publish();
}
