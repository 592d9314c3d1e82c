/**
 * What a lease needs of the memory that its block lies in, and of the arena. Leases
 * know nothing else of either.
 */

/**
 * Where a lease's block lies: in the arena's memory; in a memory of its own because
 * `guardEvery` chose it (`"guard"`); or on the JavaScript heap because the cap was reached.
 * In `"on-release"` every lease has a memory of its own, and its origin is `"arena"`.
 */
export type LeaseOrigin = "arena" | "guard" | "heap";

/**
 * A linear memory as callers see it: what another WebAssembly module imports.
 * Structurally a `WebAssembly.Memory`, without asking for the DOM's types.
 */
export interface LinearMemory<B extends ArrayBufferLike = ArrayBuffer> {
  /** Replaced, and the old one detached, whenever the memory is revoked. Shared memory is never. */
  readonly buffer: B;
}

/** What a memory counts of the leases in it. Leases keep it right once they are out. */
export interface LeaseCounts {
  /** Bytes in the leases that are out. */
  liveBytes: number;
  /** Leases that were released, and whose blocks pins keep. */
  pinned: number;
}

/** The segment, memory or buffer that a block lies in. */
export interface BlockOwner<B extends ArrayBufferLike = ArrayBuffer> {
  readonly origin: LeaseOrigin;
  readonly memory: LinearMemory<B> | undefined;
  /** The arena was disposed. */
  readonly closed: boolean;
  /** The arena: a lease that outgrows its block moves to that of another lease. */
  readonly source: {
    acquireUnzeroed(byteLength: number): object;
    zero(bytes: Uint8Array<B>, start: number, end: number): void;
  };
  /** One for each memory: its identity too, for traces. */
  readonly account: LeaseCounts;
  /** The lease of `byteLength` bytes at `ptr` has ended. Called once, after the lease itself was marked ended. */
  ended(ptr: number, byteLength: number): void;
  /** Bytes of the block at `ptr`: how far its lease may grow without moving. */
  blockBytes(ptr: number): number;
  /** A new view. Works after other code revoked the memory, too. */
  view(ptr: number, byteLength: number): Uint8Array<B>;
  /** The block's lease reaches to `end`, in bytes from the memory's start. Only where it matters. */
  reaches?(end: number): void;
  /** Of shared memory: what its sender sent with the lease through a channel. */
  tag?: number;
  /** Of shared memory: ends this thread's right to the block. Answers a token with which any thread can adopt it, once. */
  handOver?(byteLength: number): number;
  /** Looks for a write below the first block; reports it, and clears it. Only where there is a trap. */
  inspectTrap?(): void;
}

/** Follows one lease to its end: a trace, or a diagnostics channel. Runs none of the caller's code. */
export interface LeaseWatch {
  /** Where the lease was acquired and released: lines for the end of a message. */
  readonly history: string;
  /** The lease has another length, and perhaps another block. */
  resized(owner: BlockOwner<ArrayBufferLike>, ptr: number, byteLength: number): void;
  /** The lease was released, and a pin keeps its block. */
  pinned(): void;
  /** The library releases the lease next, since its bytes have moved to a longer one. */
  replaced?(): void;
  /** The lease has ended; its block is returned next. */
  ended(owner: BlockOwner<ArrayBufferLike>): void;
}
