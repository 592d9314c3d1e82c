/**
 * The load, in a process of its own so that it does not take the server's time.
 * Bodies are made from a seed, so that every strategy gets the same.
 */

import autocannon from "autocannon";

export interface LoadPlan {
  url: string;
  connections: number;
  seconds: number;
  /** Body lengths in bytes, sent in turn. */
  lengths: readonly number[];
}

export interface LoadReport {
  requestsPerSecond: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  p999: number;
  worst: number;
  failed: number;
}

/** Repeatable bytes that do not compress to nothing. */
export function bodyOf(byteLength: number): Buffer<ArrayBuffer> {
  const body = Buffer.alloc(byteLength);
  let state = byteLength | 1;
  for (let at = 0; at < byteLength; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    body[at] = state >>> 26;
  }
  return body;
}

export async function load({ url, connections, seconds, lengths }: LoadPlan): Promise<LoadReport> {
  const requests = lengths.map((byteLength) => ({ method: "POST" as const, path: "/", body: bodyOf(byteLength) }));
  const {
    requests: rate,
    latency,
    errors,
    non2xx,
    timeouts,
  } = await autocannon({ url, connections, duration: seconds, requests });
  return {
    requestsPerSecond: rate.average,
    p50: latency.p50,
    p99: latency.p99,
    p999: latency.p99_9,
    worst: latency.max,
    failed: errors + non2xx + timeouts,
  };
}

if (process.send !== undefined && process.argv[2] === "--load") {
  const plan = await new Promise<LoadPlan>((resolve) =>
    process.once("message", (message) => resolve(message as LoadPlan)),
  );
  process.send(await load(plan), () => process.disconnect());
}
