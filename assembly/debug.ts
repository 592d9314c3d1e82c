/**
 * The module with its layout laid open, for tests: what src/abi.ts mirrors, they
 * can ask for here. Built with asserts.
 */

import { headerBytes as headerBytesOf } from "./layout";
import { blockBytes as blockBytesOf, classCount as classCountOf, spanSlabsOf } from "./size-class";

export * from "./index";

export function headerBytes(slabShift: i32): i32 {
  return headerBytesOf(slabShift);
}

export function classCount(slabShift: i32): i32 {
  return classCountOf(slabShift);
}

export function blockBytes(cls: i32, slabShift: i32): i32 {
  return blockBytesOf(cls, slabShift);
}

export function spanSlabs(cls: i32, slabShift: i32): i32 {
  return spanSlabsOf(cls, slabShift);
}
