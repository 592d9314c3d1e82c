/** What one process cost: processor time, memory and collections, from outside its own code. */

import { PerformanceObserver } from "node:perf_hooks";
import type { Figures } from "./program.ts";

const MAJOR = 4;

export class Meter {
  readonly #startCpu = process.cpuUsage();
  readonly #start = performance.now();
  readonly #observer: PerformanceObserver;
  readonly #sampler: NodeJS.Timeout;
  #collections = 0;
  #collectionMs = 0;
  #major = 0;
  #samples = 0;
  #rssSum = 0;

  constructor() {
    this.#observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        this.#collections++;
        this.#collectionMs += entry.duration;
        if ((entry as unknown as { detail: { kind: number } }).detail.kind === MAJOR) this.#major++;
      }
    });
    this.#observer.observe({ entryTypes: ["gc"] });
    this.#sampler = setInterval(() => this.#sample(), 20);
    this.#sampler.unref();
  }

  stop(): Figures {
    const cpu = process.cpuUsage(this.#startCpu);
    const wallMs = performance.now() - this.#start;
    this.#sample();
    clearInterval(this.#sampler);
    this.#observer.disconnect();
    return {
      cpuMs: (cpu.user + cpu.system) / 1000,
      wallMs,
      peakRssMiB: process.resourceUsage().maxRSS / 1024,
      averageRssMiB: this.#rssSum / this.#samples / 2 ** 20,
      collections: this.#collections,
      majorCollections: this.#major,
      collectionMs: this.#collectionMs,
    };
  }

  #sample(): void {
    this.#samples++;
    this.#rssSum += process.memoryUsage.rss();
  }
}
