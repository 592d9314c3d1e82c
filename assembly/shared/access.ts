/**
 * Every access to the words that threads share. Owns nothing else. All are sequentially
 * consistent.
 *
 * The hooked build (`--use IS_HOOKED=1`) calls an imported function before each of them,
 * with the word's address. A test then lets another thread run there, or die.
 */

// @ts-ignore: decorator
@external("env", "step")
declare function step(ptr: usize): void;

function before(ptr: usize): void {
  // @ts-ignore: a constant of the command line
  if (isDefined(IS_HOOKED)) step(ptr);
}

export function read(ptr: usize): i32 {
  before(ptr);
  return atomic.load<i32>(ptr);
}

export function write(ptr: usize, value: i32): void {
  before(ptr);
  atomic.store<i32>(ptr, value);
}

export function add(ptr: usize, value: i32): i32 {
  before(ptr);
  return atomic.add<i32>(ptr, value);
}

/** Changes the word if it is `from`. */
export function swap(ptr: usize, from: i32, to: i32): bool {
  before(ptr);
  return atomic.cmpxchg<i32>(ptr, from, to) == from;
}

export function readPair(ptr: usize): i64 {
  before(ptr);
  return atomic.load<i64>(ptr);
}

export function writePair(ptr: usize, value: i64): void {
  before(ptr);
  atomic.store<i64>(ptr, value);
}

/** Changes two neighbouring words if they are `from`. */
export function swapPair(ptr: usize, from: i64, to: i64): bool {
  before(ptr);
  return atomic.cmpxchg<i64>(ptr, from, to) == from;
}
