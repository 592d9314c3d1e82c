/**
 * The few globals the library uses beyond ECMAScript, typed here so that it
 * compiles with neither the DOM nor Node's types and cannot lean on either.
 */

declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array<ArrayBuffer>);
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared?: boolean });
    readonly buffer: ArrayBuffer;
    grow(deltaPages: number): number;
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: unknown;
  }
}

declare class Event {
  constructor(type: string);
  readonly type: string;
}

declare class EventTarget {
  addEventListener(type: string, listener: unknown, options?: unknown): void;
  removeEventListener(type: string, listener: unknown, options?: unknown): void;
  dispatchEvent(event: Event): boolean;
}

declare class AbortController {
  readonly signal: object;
  abort(): void;
}

declare class TextEncoder {
  encodeInto(source: string, destination: Uint8Array): { read: number; written: number };
}

declare class TextDecoder {
  constructor(encoding?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes: Uint8Array): string;
}

declare const performance: { now(): number };

/** A number in browsers, an object elsewhere. */
declare function setTimeout(callback: () => void, ms: number): unknown;
declare function setInterval(callback: () => void, ms: number): unknown;
declare function atob(base64: string): string;
declare function structuredClone<T>(value: T, options: { transfer: ArrayBuffer[] }): T;
declare function queueMicrotask(callback: () => void): void;
