// Event streams of one run or of all runs of the project: each message once, over reconnections too.
import { absoluteUrl, queryString } from "./api.js";
import { checkServer, recordResponse } from "./connection.js";

const RUN_EVENTS = ["state", "wish", "cut", "checkpoint", "checkpoint_failed", "checkpoint_damaged", "preempted", "run"];
const FIRST_RETRY_MS = 1000; // doubles with each refusal
const MAX_RETRY_MS = 30_000;

// A stream that starts after `position` (undefined: now). The browser reconnects by itself when a connection breaks, but
// not when one is refused, as a proxy does while the server is unreachable: then this reconnects, after the last message.
function openStream(path, position, kinds, { onMessage, onDisconnect, onConnect }) {
  let source;
  let timer = 0;
  let retryMs = FIRST_RETRY_MS;
  let lastEventId = position;
  const open = () => {
    source = new EventSource(absoluteUrl(`${path}${queryString(lastEventId ? { last_event_id: lastEventId } : { from: "latest" })}`));
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => {
        recordResponse();
        lastEventId = event.lastEventId || lastEventId;
        onMessage(JSON.parse(event.data), kind, close);
      });
    }
    source.onopen = () => {
      recordResponse();
      retryMs = FIRST_RETRY_MS;
      onConnect?.();
    };
    source.onerror = () => {
      onDisconnect?.();
      checkServer();
      if (source.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, retryMs);
      retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
    };
  };
  const close = () => {
    clearTimeout(timer);
    source.close();
  };
  open();
  return close;
}

// Follows a run from the position that its curves were read at. handlers: {points(data), state(data), cut(data), end(data),
// other(data, kind), onDisconnect(), onConnect()}; returns the function that stops it.
export function followRun(path, position, handlers) {
  const onMessage = (data, kind, close) => {
    if (kind === "end") close();
    (handlers[kind] || handlers.other)?.(data, kind);
  };
  return openStream(path, position, ["points", "reading", ...RUN_EVENTS, "end"], { ...handlers, onMessage });
}

// handlers: {run(event) for each event of any run, runs({runs}) for those that have changed, reset(): everything known may be outdated}.
export function followProject({ run, runs, reset }) {
  const onMessage = (data, kind) => (kind === "runs" ? runs(data) : kind === "reset" ? reset() : run(data));
  return openStream("/v1/events", undefined, [...RUN_EVENTS, "runs", "reset"], { onMessage, onConnect: reset });
}
