/**
 * Built-ins as they were when the library was loaded. Code that replaces one
 * later, by accident or on purpose, does not run inside the arena.
 */

// biome-ignore lint/complexity/noBannedTypes: any function will do
type AnyFunction = Function;

/** `method` as a function of its receiver. V8 calls the built-in directly. */
// biome-ignore lint/suspicious/noExplicitAny: the type is given where it is used
export function uncurry<F>(method: AnyFunction | undefined): F & ((...args: any[]) => any) {
  return Function.prototype.call.bind(method as AnyFunction) as never;
}

export function getterOf(prototype: object, name: PropertyKey): AnyFunction {
  const getter = Object.getOwnPropertyDescriptor(prototype, name)?.get;
  if (getter === undefined) throw new TypeError(`cleanslab: this engine has no getter ${String(name)}`);
  return getter;
}

export const Bytes = Uint8Array;

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;

export const fillBytes: (bytes: Uint8Array, value: number, start?: number, end?: number) => void = uncurry(
  typedArray.fill,
);
export const setBytes: (bytes: Uint8Array, source: Uint8Array, offset?: number) => void = uncurry(typedArray.set);
/** 0 for a detached view. A subclass cannot make it lie. */
export const lengthOf: (bytes: Uint8Array) => number = uncurry(getterOf(typedArray, "length"));
const typedByteLength: (view: ArrayBufferView) => number = uncurry(getterOf(typedArray, "byteLength"));
const typedByteOffset: (view: ArrayBufferView) => number = uncurry(getterOf(typedArray, "byteOffset"));
const typedBuffer: (view: ArrayBufferView) => ArrayBufferLike = uncurry(getterOf(typedArray, "buffer"));
const typeTag: (value: unknown) => string | undefined = uncurry(getterOf(typedArray, Symbol.toStringTag));
const dataViewByteLength: (view: ArrayBufferView) => number = uncurry(getterOf(DataView.prototype, "byteLength"));
const dataViewByteOffset: (view: ArrayBufferView) => number = uncurry(getterOf(DataView.prototype, "byteOffset"));
const dataViewBuffer: (view: ArrayBufferView) => ArrayBufferLike = uncurry(getterOf(DataView.prototype, "buffer"));

/** 0 for a detached buffer. */
export const bufferByteLength: (buffer: ArrayBuffer) => number = uncurry(getterOf(ArrayBuffer.prototype, "byteLength"));

export const isView: (value: unknown) => value is ArrayBufferView = ArrayBuffer.isView;

/** What `subarray` gives, without asking the caller's code for a species. */
export function subarrayOf<B extends ArrayBufferLike>(
  bytes: Uint8Array<B>,
  start: number,
  end = lengthOf(bytes),
): Uint8Array<B> {
  return new Bytes(typedBuffer(bytes) as B, typedByteOffset(bytes) + start, end - start);
}

/** Whether `value` is a `Uint8Array`, of this realm or another, subclasses such as `Buffer` included. */
export function isBytes(value: unknown): value is Uint8Array {
  return typeTag(value) === "Uint8Array";
}

/** The bytes under any view, as a plain `Uint8Array`, without a copy. Throws a `RangeError` or `TypeError` for a detached one. */
export function plainBytes(view: ArrayBufferView): Uint8Array {
  if (typeTag(view) === undefined) {
    return new Bytes(dataViewBuffer(view), dataViewByteOffset(view), dataViewByteLength(view));
  }
  return new Bytes(typedBuffer(view), typedByteOffset(view), typedByteLength(view));
}

const resolved = Promise.resolve();
const then: (promise: Promise<void>, fn: () => void) => void = uncurry(Promise.prototype.then);

/** Runs `fn` once the caller's code has returned to the event loop. */
export function inMicrotask(fn: () => void): void {
  then(resolved, fn);
}
