/** What a parser throws. Knows no format: each passes its own words. */

/**
 * - `ERR_MALFORMED`: the input breaks the format
 * - `ERR_LIMIT`: the input asks for more than the parser was told to allow
 * - `ERR_UNSUPPORTED`: the input is right, but this parser does not read it
 * - `ERR_TRUNCATED`: the input ended in the middle
 * - `ERR_PARSER_STATE`: the parser is destroyed, ended, or in the middle of a write
 * - `ERR_INVALID_ARGUMENT`: an option or argument is out of range
 */
export type ParseErrorCode =
  | "ERR_MALFORMED"
  | "ERR_LIMIT"
  | "ERR_UNSUPPORTED"
  | "ERR_TRUNCATED"
  | "ERR_PARSER_STATE"
  | "ERR_INVALID_ARGUMENT";

/** Branch on `code`; the message is for people. */
export class ParseError extends Error {
  readonly code: ParseErrorCode;

  constructor(code: ParseErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  override get name(): string {
    return "ParseError";
  }
}

/** A limit among a parser's options: a whole number of at least `least`. */
export function checkedLimit(name: string, value: number | undefined, fallback: number, least = 1): number {
  const limit = value ?? fallback;
  if (Number.isSafeInteger(limit) && limit >= least) return limit;
  throw new ParseError("ERR_INVALID_ARGUMENT", `${name} is ${limit}; pass a whole number of at least ${least}`);
}

/** @throws ParseError `ERR_INVALID_ARGUMENT` for text that is to be sent, and has a lone surrogate. */
export function checkWellFormed(text: string): void {
  if (text.isWellFormed()) return;
  const what = `${JSON.stringify(text.slice(0, 40))} has a lone surrogate, which UTF-8 cannot carry; pass bytes`;
  throw new ParseError("ERR_INVALID_ARGUMENT", what);
}
