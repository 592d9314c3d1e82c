/**
 * What an arena tells the process: Node's `diagnostics_channel`, where it exists,
 * under the names `cleanslab:acquire`, `:release`, `:revoke`, `:leak`, `:dirty`
 * and `:exhausted`. Each message has the `arena` and what the event of that name
 * has. Unlike an event, a message needs no reference to the arena beforehand.
 *
 * A subscriber may do anything to the arena, so a message is sent only where
 * nothing is half done, or in a job of its own.
 */

interface Channel {
  readonly hasSubscribers: boolean;
  publish(message: object): void;
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
}
