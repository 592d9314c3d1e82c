/**
 * How an arena is called: every call is counted, said to the transcript with
 * what came of it, and may be refused only as was expected.
 */

import { ArenaError, type ArenaErrorCode } from "cleanslab";
import { Finding, PlannedError } from "./finding.js";
import { type Live, Model } from "./model.js";
import type { Program } from "./program.js";
import type { Transcript } from "./transcript.js";

/** What a call may throw; a function where that is known only afterwards. */
type Expected = readonly ArenaErrorCode[] | (() => readonly ArenaErrorCode[]);

export class Caller extends Model {
  readonly options: Program["options"];
  readonly transcript: Transcript | undefined;

  constructor(options: Program["options"], transcript: Transcript | undefined) {
    super();
    this.options = options;
    this.transcript = transcript;
  }

  say(line: string): void {
    this.transcript?.say(line);
  }

  /** A finding, and the assertion that shows it; none if the last call throws by itself, or the program cannot tell. */
  found(message: string, assertion = ""): Finding {
    if (assertion !== "") this.say(`${assertion};`);
    return new Finding(message);
  }

  /**
   * Does `call`, which `code` says, and calls its result `name`; a refusal is the
   * result where its code is `expected`.
   */
  attempt<T>(name: string, code: string | (() => string), call: () => T, expected: Expected = []): T | ArenaError {
    this.operations++;
    const source = (): string => (typeof code === "string" ? code : code());
    let result: T;
    try {
      result = call();
    } catch (error) {
      const refusal = this.#refusalIn(error, typeof expected === "function" ? expected() : expected);
      if (refusal === undefined) {
        this.#sayCall(name, source());
        throw error instanceof Finding ? error : new Finding(`${source()} threw ${String(error)}`);
      }
      const thrown = error === refusal ? `{ code: "${refusal.code}" }` : "AggregateError";
      this.say(`assert.throws(() => ${source()}, ${thrown});`);
      return refusal;
    }
    this.#sayCall(name, source());
    return result;
  }

  #sayCall(name: string, source: string): void {
    if (name === "") this.say(`${source};`);
    else this.transcript?.assign(name, source);
  }

  /** The expected error in what was thrown: that itself, or one of several, of which others were planned. */
  #refusalIn(thrown: unknown, expected: readonly ArenaErrorCode[]): ArenaError | undefined {
    const errors: readonly unknown[] = thrown instanceof AggregateError ? thrown.errors : [thrown];
    let refusal: ArenaError | undefined;
    for (const error of errors) {
      if (error instanceof PlannedError) continue;
      if (!(error instanceof ArenaError)) return undefined;
      if (!expected.includes(error.code) && !this.isDisposed(error)) return undefined;
      refusal = error;
    }
    return refusal;
  }

  /** `call` must fail with `wanted`. */
  refuses(code: string, call: () => unknown, wanted: ArenaErrorCode): void {
    this.operations++;
    let thrown: unknown;
    try {
      call();
    } catch (error) {
      thrown = error;
    }
    const refusal = this.#refusalIn(thrown, [wanted]);
    this.say(`assert.throws(() => ${code}, { code: "${refusal?.code ?? wanted}" });`);
    if (refusal !== undefined) return;
    throw new Finding(
      `${code} ${thrown === undefined ? "did not throw" : `threw ${String(thrown)} instead of`} ${wanted}`,
    );
  }

  /** The codes that `acquire` may fail with when there is no room. */
  get refusals(): readonly ArenaErrorCode[] {
    return this.options.onExhausted === "throw" ? ["ERR_ARENA_EXHAUSTED"] : [];
  }

  /** The codes that the end of these leases may fail with: someone may have to be told of the damage. */
  refusalsOfEnd(...ending: (Live | undefined)[]): readonly ArenaErrorCode[] {
    const isDamaged = ending.some((live) => live !== undefined && this.isDamaged(live.buffer));
    return isDamaged ? ["ERR_ARENA_CORRUPT"] : [];
  }

  /** Whether an error is the one that a listener's dispose makes of any call. */
  protected isDisposed({ code }: ArenaError): boolean {
    return this.disposed && code === "ERR_ARENA_DISPOSED";
  }
}
