// Following a run as it trains, or all runs of the project: each message once, over broken connections too.
import { located, query } from "./api.js";
import { answered, suspect } from "./connection.js";

const OF_RUNS = ["state", "wish", "cut", "checkpoint", "checkpoint_failed", "checkpoint_damaged", "run"];
const AGAIN_MS = 1000; // until a refused stream is asked for again, twice as long each time
const LONGEST_MS = 30_000;

// A stream behind `position` (undefined: from now on). The browser connects again by itself where a connection breaks,
// and never where one is refused, as a proxy does while the server is away: then this does, behind the last message.
function listen(path, position, kinds, { hear, lost, back }) {
  let source;
  let timer = 0;
  let wait = AGAIN_MS;
  let last = position;
  const open = () => {
    source = new EventSource(located(`${path}${query(last ? { last_event_id: last } : { from: "latest" })}`));
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => {
        answered();
        last = event.lastEventId || last;
        hear(JSON.parse(event.data), kind, close);
      });
    }
    source.onopen = () => {
      answered();
      wait = AGAIN_MS;
      back?.();
    };
    source.onerror = () => {
      lost?.();
      suspect();
      if (source.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, wait);
      wait = Math.min(2 * wait, LONGEST_MS);
    };
  };
  const close = () => {
    clearTimeout(timer);
    source.close();
  };
  open();
  return close;
}

// Of a run, from the position that its curves were read at. handlers: {points(data), state(data), cut(data), end(data),
// other(data, kind), lost(), back()}; returns the end of following.
export function follow(path, position, handlers) {
  const hear = (data, kind, close) => {
    if (kind === "end") close();
    (handlers[kind] || handlers.other)?.(data, kind);
  };
  return listen(path, position, ["points", "reading", ...OF_RUNS, "end"], { ...handlers, hear });
}

// handlers: {run(event) for each event of any run, runs({runs}) for those that have moved, reset(): what is known may be old}.
export function followProject({ run, runs, reset }) {
  const hear = (data, kind) => (kind === "runs" ? runs(data) : kind === "reset" ? reset() : run(data));
  return listen("/v1/events", undefined, [...OF_RUNS, "runs", "reset"], { hear, back: reset });
}
