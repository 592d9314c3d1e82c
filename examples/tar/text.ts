/**
 * Text in an archive: bytes first. A field's bytes are kept; its text is made from them.
 *
 * TT1  Different bytes give different text. A byte that is not part of valid UTF-8 becomes
 *      the lone surrogate U+DC80 to U+DCFF, as in Python's `surrogateescape`.
 * TT2  A byte order mark is text like any other.
 */

const NUL = 0;
const ESCAPE = 0xdc00;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes of a name, which ends at its first NUL in every field that holds one. */
export function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(NUL);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

export function textOf(bytes: Uint8Array): string {
  return decoded(bytes) ?? escaped(bytes);
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

function escaped(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] as number;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const character = decoded(bytes.subarray(at, at + length));
    parts.push(character ?? String.fromCharCode(ESCAPE + lead));
    at += character === null ? 1 : length;
  }
  return parts.join("");
}
