/**
 * Other threads for contract cases: how a worker is started, spoken with and ended on each
 * engine. A worker plays a role, a function found by its name. Knows no Node but what
 * `process.getBuiltinModule` gives.
 */

/** One end of the talk between a thread and a worker that it started. */
export interface Talk {
  post(message: unknown): void;
  /** The next message of the other end. Rejects with what the worker failed with. */
  next(): Promise<unknown>;
}

export interface Thread extends Talk {
  terminate(): void;
  /** While it blocks. */
  readonly outlivesTerminate: boolean;
}

/** Starts a worker that plays `role`; its first message is `args`. */
export type Start = (role: string, args: unknown) => Thread;

export type Roles<L> = Readonly<Record<string, (library: L, talk: Talk, start: Start) => Promise<void>>>;

/** Bun and Deno have both, and they differ. */
export type Kind = "Worker" | "worker_threads";

interface WorkerThreads {
  readonly isMainThread: boolean;
  readonly parentPort: NodePort | null;
  readonly Worker: new (url: URL) => NodePort & { terminate(): unknown };
}

interface NodePort {
  on(event: "message" | "error", listener: (value: unknown) => void): unknown;
  postMessage(message: unknown): void;
}

const { process } = globalThis as {
  process?: { getBuiltinModule?(id: string): unknown; exit(code: number): never };
};
const workerThreads = process?.getBuiltinModule?.("node:worker_threads") as WorkerThreads | undefined;

export function kindsHere(): Kind[] {
  return [
    ...("Worker" in globalThis ? (["Worker"] as const) : []),
    ...(workerThreads === undefined ? [] : (["worker_threads"] as const)),
  ];
}

/** Messages that came and were not asked for yet, or that are asked for and have not come. */
class Mailbox {
  readonly #messages: unknown[] = [];
  readonly #waiting: ((message: unknown) => void)[] = [];

  readonly put = (message: unknown): void => {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#messages.push(message);
    else waiting(message);
  };

  async next(): Promise<unknown> {
    const message = this.#messages.shift() ?? (await new Promise((resolve) => this.#waiting.push(resolve)));
    if (message instanceof Error) throw message;
    return message;
  }
}

/** What a worker posts of an error that its role ended with. */
const FAILED = "the worker failed: ";

function open(post: (message: unknown) => void): Talk & { readonly put: (message: unknown) => void } {
  const mailbox = new Mailbox();
  const put = (message: unknown): void => {
    const isFailure = typeof message === "string" && message.startsWith(FAILED);
    mailbox.put(isFailure ? new Error(message) : message);
  };
  return { post, put, next: () => mailbox.next() };
}

/** How workers of a kind are started here. They run `url`, which calls `playRole`. */
export function starter(kind: Kind, url: URL): Start {
  return (role, args) => {
    const thread = kind === "Worker" ? startWebWorker(url) : startNodeWorker(url);
    thread.post({ role, kind, url: url.href });
    thread.post(args);
    return thread;
  };
}

function startWebWorker(url: URL): Thread {
  const worker = new Worker(url, { type: "module" });
  const talk = open((message) => worker.postMessage(message));
  worker.onmessage = ({ data }) => talk.put(data);
  worker.onerror = ({ message }) => talk.put(FAILED + message);
  return { ...talk, terminate: () => worker.terminate(), outlivesTerminate: "Deno" in globalThis };
}

function startNodeWorker(url: URL): Thread {
  const worker = new (workerThreads as WorkerThreads).Worker(url);
  const talk = open((message) => worker.postMessage(message));
  worker.on("message", talk.put);
  worker.on("error", (error) => talk.put(FAILED + describe(error)));
  return { ...talk, terminate: () => void worker.terminate(), outlivesTerminate: false };
}

/** In a worker: plays the role that it was started for. */
export async function playRole<L>(library: L, roles: Roles<L>): Promise<void> {
  const talk = openAbove();
  try {
    const { role, kind, url } = (await talk.next()) as { role: string; kind: Kind; url: string };
    await roles[role]?.(library, talk, starter(kind, new URL(url)));
  } catch (error) {
    talk.post(FAILED + describe(error));
  }
}

function openAbove(): Talk {
  const port = workerThreads?.parentPort;
  if (port) {
    const talk = open((message) => port.postMessage(message));
    port.on("message", talk.put);
    return talk;
  }
  const talk = open((message) => self.postMessage(message));
  self.onmessage = ({ data }: MessageEvent) => talk.put(data);
  return talk;
}

/** Ends the worker that calls it, as a worker ends that has no more to do. */
export function endThisThread(): void {
  if (workerThreads?.parentPort) process?.exit(0);
  else self.close();
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
}
