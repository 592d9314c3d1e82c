/**
 * Which leases are guarded or traced. All others cost a decrement, a subtraction and
 * two comparisons.
 *
 * Samples are taken by bytes, as V8's sampling heap profiler and tcmalloc take them:
 * the gaps between them are geometric, so a lease of b bytes is sampled with the chance
 * 1 - exp(-b / interval), wherever it comes, and a weight of one through that chance
 * makes sums of samples unbiased. Where leases come so fast that samples would cost
 * time, the gaps widen, and the weights with them.
 */

/** Far enough off to cost nothing, and still a small integer. */
const FAR = 2 ** 30;

/** The most samples that there are in a second, for long. */
const SAMPLES_PER_SECOND = 1000;
/** Samples after which the interval is set anew, at the latest … */
const WINDOW_SAMPLES = 32;
/** … or milliseconds, at a sample. */
const WINDOW_MS = 100;

/** What a lease is to be. */
export interface Due {
  guard: boolean;
  /** How many leases like it the traced lease stands for; 0 if it is not traced. */
  weight: number;
}

export interface SampleRates {
  /** One lease in this many is traced; 0 for none. */
  readonly traceEvery: number;
  /** One lease is traced for this many bytes leased, on average; 0 for none. */
  readonly sampleBytes: number;
}

export class Sampler {
  /** Counted down by the arena for each lease. At 0, or below, something is due. */
  left = 0;
  /** Counted down by the bytes of each lease, likewise. The slow path does it for leases that did not get so far. */
  bytesLeft = FAR;
  readonly #guardEvery: number;
  readonly #random: () => number;
  readonly #now: () => number;
  #traceEvery = 0;
  #guardIn: number;
  #traceIn = 0;
  #step = 0;
  #sampleBytes = 0;
  /** Bytes between two samples now, on average. */
  #interval = 0;
  /** Bytes to the next sample beyond `bytesLeft`. */
  #bytesBeyond = 0;
  #windowSamples = 0;
  #windowStart = 0;

  constructor(guardEvery: number, rates: SampleRates, random = Math.random, now = () => performance.now()) {
    this.#guardEvery = guardEvery;
    this.#guardIn = guardEvery || FAR;
    this.#random = random;
    this.#now = now;
    this.set(rates);
  }

  /** From the lease at hand on, traces come at these rates. Guards come as they would have. */
  set({ traceEvery, sampleBytes }: SampleRates): void {
    this.#guardIn -= this.#step - this.left;
    this.#traceEvery = traceEvery;
    this.#traceIn = traceEvery || FAR;
    this.left = this.#step = Math.min(this.#guardIn, this.#traceIn);
    this.#sampleBytes = this.#interval = sampleBytes;
    this.#windowSamples = 0;
    this.#windowStart = this.#now();
    this.#nextGap();
  }

  /** Counts a lease on the fast path: whether its bytes bring no sample. */
  passes(byteLength: number): boolean {
    this.bytesLeft -= byteLength;
    return this.bytesLeft > 0;
  }

  /** What the lease of `byteLength` bytes at hand, on the slow path, is to be; `undefined` for nothing. */
  due(byteLength: number): Due | undefined {
    if (this.bytesLeft > 0) this.bytesLeft -= byteLength;
    if (this.left > 0 && this.bytesLeft > 0) return undefined;
    const due = { guard: false, weight: 0 };
    if (this.left <= 0) this.#count(due);
    if (this.bytesLeft <= 0 && this.#passBytes()) due.weight = this.#weightOf(byteLength);
    return due;
  }

  #count(due: Due): void {
    this.#guardIn -= this.#step;
    this.#traceIn -= this.#step;
    due.guard = this.#guardIn <= 0 && this.#guardEvery !== 0;
    if (this.#traceIn <= 0 && this.#traceEvery !== 0) due.weight = 1;
    if (this.#guardIn <= 0) this.#guardIn = this.#guardEvery || FAR;
    if (this.#traceIn <= 0) this.#traceIn = this.#traceEvery || FAR;
    this.left = this.#step = Math.min(this.#guardIn, this.#traceIn);
  }

  /** `bytesLeft` was used up: whether that ends the gap. */
  #passBytes(): boolean {
    this.#bytesBeyond += this.bytesLeft;
    if (this.#sampleBytes !== 0 && this.#bytesBeyond <= 0) return true;
    this.#share();
    return false;
  }

  /** Of a sample. Sets the next gap. */
  #weightOf(byteLength: number): number {
    const weight = -1 / Math.expm1(-byteLength / this.#interval);
    this.#windowSamples++;
    const elapsedMs = this.#now() - this.#windowStart;
    if (this.#windowSamples >= WINDOW_SAMPLES || elapsedMs > WINDOW_MS) {
      // The bytes leased in a thousandth of a second, of late. Chosen before the gap is drawn: no bias.
      const wanted = (this.#windowSamples * this.#interval * 1000) / (SAMPLES_PER_SECOND * elapsedMs);
      // A browser's clock may stand still for a millisecond.
      this.#interval = Math.max(this.#sampleBytes, Math.min(wanted, 8 * this.#interval));
      this.#windowSamples = 0;
      this.#windowStart += elapsedMs;
    }
    this.#nextGap();
    return weight;
  }

  #nextGap(): void {
    this.#bytesBeyond = Math.ceil(-Math.log1p(-this.#random()) * this.#interval) || 1;
    this.#share();
  }

  /** A small integer's worth of the gap at a time. */
  #share(): void {
    const isSampled = this.#sampleBytes !== 0;
    this.bytesLeft = isSampled ? Math.min(FAR, this.#bytesBeyond) : FAR;
    this.#bytesBeyond = isSampled ? this.#bytesBeyond - this.bytesLeft : 0;
  }
}
