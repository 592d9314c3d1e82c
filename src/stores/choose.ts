/** Which stores serve an arena. The only place that asks for the revocation mode. */

import { memoriesAreFew } from "../memory/abi.js";
import type { AccountTable } from "../memory/account.js";
import type { Settings } from "../options.js";
import { BeforeReuseStore } from "./before-reuse.js";
import { HeapStore } from "./heap.js";
import { NeverStore } from "./never.js";
import { OneLeaseStore } from "./one-lease.js";
import type { Store, StoreHost } from "./store.js";

/** Memories of one lease beyond which none is made for a guard. */
const MOST_GUARDS = 32;
/** Long leases with a memory of their own, where memories are few: the rest lie in segments. */
const MOST_LONG_WHERE_FEW = 16;

export interface Stores {
  /** Serves leases up to its `longest`. */
  readonly short: Store;
  /** Serves longer leases. */
  readonly long: Store;
  /** Serves long leases where `long` may have no more memories; `null` if there is no such limit. */
  readonly spans: BeforeReuseStore | null;
  /** Serves one lease in N, revoked at release; `null` where every lease is. */
  readonly guards: Store | null;
  /** Serves what finds no room under the cap. */
  readonly heap: HeapStore;
  /** Every one of them, once. */
  readonly all: readonly Store[];
}

export function chooseStores(settings: Settings, table: AccountTable, host: StoreHost, module: object): Stores {
  const { revoke, segmentBytes } = settings;
  const heap = new HeapStore(table, host, revoke !== "never");
  const common = {
    origin: "arena",
    revokes: true,
    isolates: false,
    most: Number.POSITIVE_INFINITY,
    mayDrop: true,
  } as const;
  if (revoke === "on-release") {
    const only = new OneLeaseStore(table, host, { ...common, isolates: true });
    return { short: only, long: only, spans: null, guards: null, heap, all: [only, heap] };
  }
  const few = memoriesAreFew();
  const beforeReuse = revoke === "before-reuse" ? new BeforeReuseStore(table, host, module, segmentBytes) : null;
  const short = beforeReuse ?? new NeverStore(table, host, module, segmentBytes);
  const most = few ? MOST_LONG_WHERE_FEW : common.most;
  const long = new OneLeaseStore(table, host, { ...common, revokes: revoke !== "never", most });
  const guards = new OneLeaseStore(table, host, { ...common, origin: "guard", most: MOST_GUARDS, mayDrop: false });
  return { short, long, spans: few ? beforeReuse : null, guards, heap, all: [short, long, guards, heap] };
}
