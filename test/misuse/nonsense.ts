/**
 * What the tables of nonsense share: the values, and what holds for each refused call.
 */

import { Arena, type ByteFiller, ByteReader, type ByteWriter, type Lease, type Scope } from "cleanslab";
import { expect, test } from "vitest";
import { expectArenaError, expectSound, expectUsable, smallArena, wrong } from "../helpers.ts";

export interface Context {
  readonly arena: Arena;
  readonly lease: Lease;
  readonly writer: ByteWriter;
  readonly filler: ByteFiller;
  readonly reader: ByteReader;
  readonly scope: Scope;
}

const { proxy: revoked, revoke } = Proxy.revocable({}, {});
revoke();
const detached = new Uint8Array(8);
structuredClone(detached, { transfer: [detached.buffer] });

/** Where an array is a list of lengths. */
export const LENGTHS = [{}, null, "8", -1, 0.5, Number.NaN, 8n, Symbol("8"), () => 8, [[8]], ["8"]];
export const LENGTH = [...LENGTHS, [8], revoked];
export const INTEGER = [{}, null, "8", 0.5, [8]];
export const NUMBER = [{}, null, "8", [8], 8n];
export const BOOLEAN = [{}, null, "yes", 1];
export const FUNCTION = [{}, null, 5, "fn", Promise.resolve()];
export const OBJECT = [null, 5, "options", true, AbortSignal.timeout(2 ** 31 - 1)];
export const BYTES = [
  ...[{}, null, 5, "text", [1, 2], new ArrayBuffer(8), new SharedArrayBuffer(8), { length: 3, byteLength: 3 }],
  ...[Object.create(Uint8Array.prototype), new Proxy(new Uint8Array(4), {}), detached],
];
export const SIGNAL = [{}, 5, "abort", { aborted: false }, { aborted: false, addEventListener() {} }];
export const ARENA = [{}, null, 5, "arena", Arena, { acquire() {} }];
/** The last is a writer whose `take` was forgotten, as far as one can see. */
export const LEASE = [{}, null, undefined, 5, "lease", { bytes: new Uint8Array(8), byteLength: 8, release() {} }];

/** A public function, its parameter, what that is not, and a call with nothing wrong but that. */
export type Call = [
  name: string,
  parameter: string,
  nonsense: unknown[],
  call: (context: Context, nonsense: never) => unknown,
];

/** A row for each option of a function. */
export function optionsOf(
  name: string,
  options: Record<string, unknown[]>,
  call: (context: Context, options: never) => unknown,
): Call[] {
  return Object.entries(options).map(([option, nonsense]) => {
    return [name, option, nonsense, (context, each) => call(context, wrong({ [option]: each }))];
  });
}

/** Each call is refused with a typed error, before anything is leased. */
export function testRefusals(calls: readonly Call[], endsLease: (name: string, parameter: string) => boolean): void {
  test.each(calls)("%s refuses what is no %s", async (name, parameter, nonsense, call) => {
    for (const each of nonsense) {
      using arena = smallArena();
      const lease = arena.acquire(8);
      const writer = arena.writer(16);
      writer.writeUint32(1);
      const filler = arena.filler(5);
      filler.writeUint8(7);
      const reader = new ByteReader(lease);
      reader.skip(1);
      const scope = arena.scope();
      const { acquired, reservedBytes } = arena.stats();
      const error = await Promise.resolve()
        .then(() => call({ arena, lease, writer, filler, reader, scope }, wrong(each)))
        .catch((reason: unknown) => reason);
      expectArenaError(error, "ERR_INVALID_ARGUMENT", "; pass ");
      expect(arena.stats()).toMatchObject({ acquired, reservedBytes, waiting: 0 });
      expect(lease.released).toBe(endsLease(name, parameter));
      expect(writer.bytes).toEqual(Uint8Array.of(0, 0, 0, 1));
      expect([filler.written, reader.offset]).toEqual([1, 1]);
      for (const held of [lease, writer, filler, scope]) held[Symbol.dispose]();
      arena.assertDrained();
      expectSound(arena);
      expectUsable(arena);
    }
  });
}

/** The names of the methods and setters of `object` and its prototype, if that is not `Object`'s. */
export function methodsOf(name: string, object: object): string[] {
  const prototype: object = Object.getPrototypeOf(object);
  const members = {
    ...Object.getOwnPropertyDescriptors(object),
    ...(prototype !== Object.prototype && Object.getOwnPropertyDescriptors(prototype)),
  };
  return Object.entries(members)
    .filter(([member, { value, set }]) => member !== "constructor" && (typeof value === "function" || set))
    .map(([member]) => `${name}.${member}`);
}

/** The names of the functions that a module exports. */
export function functionsOf(name: string, module: object): string[] {
  return Object.entries(module)
    .filter(([, value]) => typeof value === "function")
    .map(([member]) => `${name}.${member}`);
}
