/**
 * All interleavings of a ring's two ends, of the text of src/shared/ring.ts itself. In the place
 * of access.ts stands a file that answers from a list of earlier answers and throws once it is
 * used up: so an end is run again from where its turn began for each further access, and what
 * it would access next is known. Owns the memory, who sleeps, and the search. Slots count too.
 */

import { readFileSync } from "node:fs";
import { build } from "esbuild";

/** A change of exact text in ring.ts. */
export type Change = readonly [from: string, to: string];

type Access = readonly [what: string, at: number, value: number, to: number];
type RingModule = typeof import("../../src/shared/ring.ts") & { bind(ask: (...access: Access) => unknown): void };

export interface Plan {
  readonly capacity: number;
  readonly messages: number;
  /** The receiver closes its end after so many. */
  readonly quitsAfter?: number;
}

const ACCESS = `
  let ask;
  export const bind = (answer) => { ask = answer; };
  const asking = (what) => (words, at, value, to) => ask(what, at, value, to);
  export const [read, write, setBits, swap, wake, woken, block] =
    ["read", "write", "setBits", "swap", "wake", "woken", "block"].map(asking);
`;
/** One look before an end waits instead of 400: each is the same access again. */
const ONE_LOOK: Change = ["const SPINS = 400;", "const SPINS = 1;"];
const SUSPENDED = { name: "the next access" };

/** ring.ts with the changes. */
export async function loadRing(changes: readonly Change[]): Promise<RingModule> {
  let contents = readFileSync("src/shared/ring.ts", "utf8");
  for (const [from, to] of [ONE_LOOK, ...changes]) {
    if (contents.split(from).length !== 2) throw new Error(`the text to change is not there once: ${from}`);
    contents = contents.replace(from, () => to);
  }
  // What an end knows between two turns must be seen and set.
  contents = `${contents.replaceAll("#", "_")}\nexport { bind } from "./access.js";`;
  const access = {
    name: "access",
    setup({ onResolve, onLoad }: import("esbuild").PluginBuild) {
      onResolve({ filter: /access\.js$/ }, () => ({ path: "access", namespace: "model" }));
      onLoad({ filter: /.*/, namespace: "model" }, () => ({ contents: ACCESS }));
    },
  };
  const stdin = { contents, loader: "ts" as const };
  const { outputFiles } = await build({ stdin, plugins: [access], bundle: true, format: "esm", write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0]?.contents ?? "").toString("base64")}`);
}

/** One end between two turns: the object of ring.ts, what it does next, and what it did with the messages. */
interface Side {
  end: object;
  next: "start" | "look" | "put" | "take" | "wait" | "quit" | "over";
  readonly sent: number[];
  readonly takenBack: number[];
  readonly received: number[];
}

type Turn = (side: Side, ring: RingModule, words: Int32Array, plan: Plan) => void;

/** As a port sends: src/shared/port.ts. */
const send: Turn = (side, ring, words, { capacity, messages }) => {
  const out = side.end as InstanceType<RingModule["Outbox"]>;
  if (side.next === "start") {
    side.end = new ring.Outbox(words, capacity);
    side.next = "look";
  } else if (side.next === "look") {
    if (out.isRefused) side.next = "over";
    else if (side.sent.length === messages) side.next = "quit";
    else side.next = out.hasRoom ? "put" : "wait";
  } else if (side.next === "wait") {
    side.next = "look";
    out.whenRoom();
  } else if (side.next === "put") {
    const id = side.sent.length;
    const isSeen = out.put(id, id + 1, id + 2);
    side.sent.push(id);
    side.next = isSeen ? "look" : "over";
    if (!isSeen) out.takeBack((each) => side.takenBack.push(each));
  } else {
    out.close();
    side.next = "over";
  }
};

/** As a port receives and closes. */
const receive: Turn = (side, ring, words, { capacity, quitsAfter }) => {
  const inbox = side.end as InstanceType<RingModule["Inbox"]>;
  const take = (): number | null =>
    inbox.take((id, generation, tag) => {
      if (generation !== id + 1 || tag !== id + 2) throw new Error(`message ${id} came with ${generation}, ${tag}`);
      return side.received.push(id);
    });
  if (side.next === "start") {
    side.end = new ring.Inbox(words, capacity);
    side.next = "take";
  } else if (side.next === "take") {
    if (take() === null) side.next = inbox.isDone ? "over" : "wait";
    else if (side.received.length === quitsAfter) side.next = "quit";
  } else if (side.next === "wait") {
    side.next = "take";
    inbox.whenMessage();
  } else {
    inbox.close();
    while (take() !== null);
    side.next = "over";
  }
};

const TURNS = [send, receive] as const;

/** An end stopped before an access, or because it is over. */
interface Stop {
  readonly begun: Side;
  /** In the turn that was begun. */
  readonly answers: readonly unknown[];
  readonly access: Access | undefined;
  /** The word whose wake-up it waits for, or -1. */
  readonly asleep: number;
}

interface State {
  readonly words: Int32Array;
  readonly stops: readonly Stop[];
}

/** How many states there are. Throws an error that says where an end sleeps forever, or which message is lost. */
export function explore(ring: RingModule, plan: Plan): number {
  const words = new Int32Array(ring.ringWords(plan.capacity));
  ring.clearRing(words);
  const start = (): Side => ({ end: {}, next: "start", sent: [], takenBack: [], received: [] });
  const stack: State[] = [{ words, stops: TURNS.map((_, each) => stopOf(ring, plan, each, start(), [], -1)) }];
  const seen = new Set<string>();
  for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
    const key = JSON.stringify([
      state.words.filter((word, at) => at >= 64 || word !== 0 || at % 16 === 0),
      state.stops,
    ]);
    if (seen.has(key)) continue;
    seen.add(key);
    const { stops } = state;
    const awake = [0, 1].filter((each) => stops[each]?.access !== undefined && stops[each]?.asleep === -1);
    if (awake.length === 0) checkEnd(state, plan);
    for (const each of awake) stack.push(step(ring, plan, state, each));
  }
  return seen.size;
}

/** One end makes its access, and runs on to the next. */
function step(ring: RingModule, plan: Plan, state: State, each: number): State {
  const words = state.words.slice();
  const { begun, answers, access } = state.stops[each] as Stop;
  const [what, at, value, to] = access as Access;
  const found = words[at] as number;
  const isEqual = found === value;
  let stops = [...state.stops];
  if (what === "write") words[at] = value;
  if (what === "setBits") words[at] = found | value;
  if (what === "swap" && isEqual) words[at] = to;
  if (what === "wake") stops = stops.map((stop) => (stop.asleep === at ? { ...stop, asleep: -1 } : stop));
  const answer = what === "read" ? found : what === "woken" ? (isEqual ? {} : undefined) : isEqual;
  const asleep = what === "woken" && isEqual ? at : -1;
  stops[each] = stopOf(ring, plan, each, begun, [...answers, answer], asleep);
  return { words, stops };
}

/** Runs an end from where its turn began, with these answers, to the next access that has none. */
function stopOf(
  ring: RingModule,
  plan: Plan,
  each: number,
  begun: Side,
  answers: readonly unknown[],
  asleep: number,
): Stop {
  let access: Access | undefined;
  let used = 0;
  const ask = (...next: Access): unknown => {
    if (used < answers.length) return answers[used++];
    access = next;
    throw SUSPENDED;
  };
  // A slot is read and written without access.ts.
  const words = new Proxy(new Int32Array(0), {
    get: (_, at) => ask("read", Number(at), 0, 0),
    set: (_, at, value) => {
      ask("write", Number(at), value, 0);
      return true;
    },
  });
  ring.bind(ask);
  try {
    while (begun.next !== "over") {
      const { end, next, sent, takenBack, received } = begun;
      const went: Side = { end, next, sent: [...sent], takenBack: [...takenBack], received: [...received] };
      went.end = Object.assign(Object.create(Object.getPrototypeOf(end)), end, { words });
      TURNS[each]?.(went, ring, words, plan);
      begun = { ...went, end: Object.assign(went.end, { words: 0 }) };
      answers = answers.slice(used);
      used = 0;
    }
  } catch (error) {
    if (error !== SUSPENDED) throw error;
  }
  return { begun, answers, access, asleep };
}

/** Nobody can go on. */
function checkEnd({ stops }: State, { messages, quitsAfter }: Plan): void {
  const [{ sent, takenBack }, { received }] = stops.map(({ begun }) => begun) as [Side, Side];
  const told = `sent ${sent}, received ${received}, taken back ${takenBack}`;
  for (const { asleep } of stops) if (asleep !== -1) throw new Error(`a lost wake-up at word ${asleep}: ${told}`);
  const isAll = quitsAfter !== undefined || sent.length === messages;
  const isInOrder = received.every((message, each) => message === each);
  const isKept = sent.every((message) => received.includes(message) || takenBack.includes(message));
  if (!isAll || !isInOrder || !isKept) throw new Error(`a message is lost: ${told}`);
}
