/** A lease of shared memory: what it can do beyond a lease, which is to go to another thread. */

import { Lease, movableBlock, surrender } from "../lease/lease.js";
import type { BlockOwner } from "../lease/owner.js";

/** What a lease and a port need of the block. */
export interface SharedBlock extends BlockOwner<SharedArrayBuffer> {
  readonly id: number;
  /** The store that the block is of, one in each thread. */
  readonly store: {
    /** Ends this thread's right to the block: the generation with which it can be adopted. */
    send(block: SharedBlock, byteLength: number): number;
    tokenOf(id: number, generation: number): number;
  };
}

/** The block of a lease that could be handed over. */
export function blockToSend(lease: SharedLease, action: string): SharedBlock {
  return movableBlock(lease, action) as SharedBlock;
}

/** Ends the lease and sends its block: the generation with which it can be adopted. */
export function sendBlock(lease: SharedLease, block: SharedBlock): number {
  const { byteLength } = lease;
  // L1: ended first.
  surrender(lease);
  return block.store.send(block, byteLength);
}

/**
 * The right to a block of shared memory, until it is released or handed over. All that
 * a `Lease` does, except that nothing is ever revoked: a view that is kept past the end
 * reads and writes the next owner's bytes, in any thread.
 */
export class SharedLease extends Lease<SharedArrayBuffer> {
  /** What the sender sent with it through a channel; 0 for other leases. */
  readonly tag: number;

  /** @internal */
  constructor(bytes: Uint8Array<SharedArrayBuffer>, owner: SharedBlock, ptr: number, byteLength: number, tag = 0) {
    super(bytes, owner, ptr, byteLength);
    this.tag = tag;
  }

  /**
   * Ends the lease here, and answers a token: a number that any `postMessage` carries.
   * Whoever calls `arena.adopt(token)` first, in any thread, has the bytes as they are.
   * If nobody will, adopt it back: a token that nobody adopts keeps its block out.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED`, `ERR_LEASE_PINNED`, `ERR_ARENA_DISPOSED`: the
   *   lease is as it was; `ERR_THREAD_ENDED` if this thread was declared dead.
   */
  handOver(): number {
    const block = blockToSend(this, "hand over");
    return block.store.tokenOf(block.id, sendBlock(this, block));
  }
}
