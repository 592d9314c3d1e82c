/**
 * Node's `diagnostics_channel`, where it exists, under the names `cleanslab:acquire`,
 * `:release`, `:revoke`, `:leak`, `:dirty`, `:stray-write` and `:exhausted`. Unlike an
 * event, a message needs no reference to the arena beforehand. Nothing of Node's is
 * patched: each lease asks `hasSubscribers`.
 */

interface Channel {
  readonly hasSubscribers: boolean;
  publish(message: object): void;
}

interface HostProcess {
  getBuiltinModule?(name: "node:diagnostics_channel"): { channel(name: string): Channel } | undefined;
}

const { process } = globalThis as { process?: HostProcess };
const diagnostics = process?.getBuiltinModule?.("node:diagnostics_channel");

function open(name: string): Channel {
  return diagnostics?.channel(`cleanslab:${name}`) ?? { hasSubscribers: false, publish() {} };
}

export const channels = {
  acquire: open("acquire"),
  release: open("release"),
  revoke: open("revoke"),
  leak: open("leak"),
  dirty: open("dirty"),
  "stray-write": open("stray-write"),
  exhausted: open("exhausted"),
};

const { acquire, release } = channels;

/** Whether leases are to be announced. */
export function isAnnounced(): boolean {
  return acquire.hasSubscribers || release.hasSubscribers;
}
