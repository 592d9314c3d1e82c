/** Zeroes bytes of the data memory, which only this module touches. From JavaScript that is slow on shared memory. */
export function wipe(ptr: usize, byteLength: usize): void {
  memory.fill(ptr, 0, byteLength);
}
