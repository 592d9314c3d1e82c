/**
 * The life of an incremental parser, the same for every format: chunks go in,
 * whatever was put together comes out through a sink, and whoever stops early
 * gets everything partial released.
 *
 *   OPEN ──write──▶ WRITING ──▶ OPEN
 *    │ end               │ an error, or destroy()
 *    ▼                   ▼
 *   ENDED            DESTROYED
 *
 * IP1  A chunk is the caller's: it is read during `write` and never kept.
 * IP2  After any error the parser is DESTROYED and holds no lease.
 * IP3  What was handed to the sink is the sink's, even if the sink throws.
 */

import { ParseError } from "./errors.ts";

type State = "open" | "writing" | "ended" | "destroyed";

export abstract class IncrementalParser {
  #state: State = "open";
  #bytesBefore = 0;

  /**
   * Parses `chunk` and calls the sink with all that is complete.
   *
   * @throws ParseError for bad input, and `ERR_PARSER_STATE` from inside the
   *   sink or after `end` or `destroy`; whatever the sink or the arena throws.
   *   The parser is destroyed then.
   */
  write(chunk: Uint8Array): void {
    if (this.#state !== "open") throw this.#stateError("write");
    this.#state = "writing";
    try {
      for (let at = 0; at < chunk.length && this.writing; ) at = this.step(chunk, at);
    } catch (error) {
      this.destroy();
      throw error;
    }
    this.#bytesBefore += chunk.length;
    if (this.writing) this.#state = "open";
  }

  /**
   * Says that no more comes. Does nothing if called again.
   *
   * @throws ParseError `ERR_TRUNCATED` if something is still incomplete; the parser is destroyed then.
   */
  end(): void {
    if (this.#state === "ended") return;
    if (this.#state !== "open") throw this.#stateError("end");
    const missing = this.missing();
    if (missing !== null) {
      this.destroy();
      throw new ParseError("ERR_TRUNCATED", `the input ended after ${this.#bytesBefore} bytes, ${missing}`);
    }
    this.#state = "ended";
    this.releasePartial();
  }

  /** Releases everything partial. What the sink was given stays the sink's. May be called at any time. */
  destroy(): void {
    this.#state = "destroyed";
    this.releasePartial();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  /** False once the sink has destroyed the parser. */
  protected get writing(): boolean {
    return this.#state === "writing";
  }

  /** Bytes of all chunks before this one. */
  protected get bytesBefore(): number {
    return this.#bytesBefore;
  }

  /** Reads on in `chunk` from its byte `at`, and answers where it stopped. */
  protected abstract step(chunk: Uint8Array, at: number): number;
  /** What is incomplete, as the end of a sentence; `null` if nothing is. */
  protected abstract missing(): string | null;
  protected abstract releasePartial(): void;

  #stateError(action: string): ParseError {
    const why = {
      open: "",
      writing: "it is in the middle of a write; do so after the sink has returned",
      ended: "it has ended; make a new one",
      destroyed: "it was destroyed; make a new one",
    }[this.#state];
    return new ParseError("ERR_PARSER_STATE", `cannot ${action} with this parser: ${why}`);
  }
}
