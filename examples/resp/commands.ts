/** Commands for a Redis server, written into one lease. */

import type { Lease } from "cleanslab";
import { checkWellFormed, ParseError } from "../parsing/errors.ts";
import type { BytesSource, HeldBytes } from "../parsing/source.ts";

export type RespArgument = string | number | bigint | Uint8Array;
export type RespCommand = readonly RespArgument[];

const encoder = new TextEncoder();

/**
 * A pipeline of commands, as arrays of bulk strings. Strings become UTF-8.
 *
 * @returns a lease of exactly the bytes to send, the caller's. A socket may
 *   still read them after `write` has returned: `writeAndRelease` knows when it has done.
 * @throws ParseError `ERR_INVALID_ARGUMENT` for a command without a name, and
 *   for a string with a lone surrogate, which UTF-8 cannot carry.
 */
export function encodeCommands<L extends HeldBytes = Lease>(
  source: BytesSource<L>,
  commands: readonly RespCommand[],
): L {
  let byteLength = 0;
  for (const command of commands) {
    if (command.length === 0) throw new ParseError("ERR_INVALID_ARGUMENT", "a command is empty; pass its name");
    byteLength += headLength(command.length);
    for (const argument of command) {
      if (typeof argument === "string") checkWellFormed(argument);
      const length = argumentLength(argument);
      byteLength += headLength(length) + length + 2;
    }
  }
  return source.acquireFilled(byteLength, (bytes) => {
    let at = 0;
    for (const command of commands) {
      at = writeHead(bytes, at, "*", command.length);
      for (const argument of command) at = writeArgument(bytes, at, argument);
    }
    return at;
  });
}

function headLength(count: number): number {
  return 3 + String(count).length;
}

function argumentLength(argument: RespArgument): number {
  return argument instanceof Uint8Array ? argument.length : Buffer.byteLength(String(argument));
}

function writeHead(bytes: Uint8Array, at: number, type: string, count: number): number {
  return at + encoder.encodeInto(`${type}${count}\r\n`, bytes.subarray(at)).written;
}

function writeArgument(bytes: Uint8Array, at: number, argument: RespArgument): number {
  let end = writeHead(bytes, at, "$", argumentLength(argument));
  if (argument instanceof Uint8Array) {
    bytes.set(argument, end);
    end += argument.length;
  } else {
    end += encoder.encodeInto(String(argument), bytes.subarray(end)).written;
  }
  bytes[end] = 13;
  bytes[end + 1] = 10;
  return end + 2;
}
