// Talking to the server: requests (JSON in and out, every failure an ApiError with all its problems), whether the server is
// there, and event streams.
import { html, useEffect, useRef, useState } from "./html.js";
import { t } from "./words.js";

const UNAVAILABLE = new Set([0, 502, 503, 504]); // HTTP status; 0: no response

export class ApiError extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The server answered ${status}.`);
    this.status = status;
    this.code = document.code || "";
    this.instance = document.instance || "";
    this.problems = document.errors || [];
    this.column = document.column;
    this.unavailable = UNAVAILABLE.has(status);
  }
}

// Where the page was opened, so that it also holds behind a proxy's path prefix.
const SERVER_URL = new URL("./", document.baseURI).href;

// The URL of a path of the server ("/v1/me").
export const absoluteUrl = (path) => SERVER_URL + path.slice(1);

let signedOutCallback = () => {};

// The callback runs whenever the session has ended.
export function onSignedOut(callback) {
  signedOutCallback = callback;
}

// What `read` makes of the response if it is ok; throws an ApiError otherwise. `quiet`: nobody being signed in is no news;
// `asks`: it changes nothing, and is sent again if the server was gone.
export async function request(method, path, body, { asks = method === "GET", ...options } = {}) {
  const send = () => sendOnce(method, path, body, options);
  return asks ? persist(send, (error) => error.unavailable || error.status === 429, options.signal) : send();
}

async function sendOnce(method, path, body, { signal, headers = {}, quiet = false, read = (response) => response }) {
  const options = { method, signal, headers: { ...headers }, credentials: "same-origin" };
  if (body instanceof Blob) {
    options.body = body;
  } else if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const lost = (error) => {
    if (!(error instanceof TypeError)) throw error; // given up, or nothing that can be read
    checkServer();
    throw new ApiError(0, { code: "unreachable", detail: "The server does not answer. Is it running?" });
  };
  const response = await fetch(absoluteUrl(path), options).catch(lost);
  recordResponse();
  if (response.ok) return Promise.resolve(read(response)).catch(lost); // it may break off in the middle
  if (UNAVAILABLE.has(response.status)) checkServer();
  const document = await response.json().catch(() => ({}));
  if (response.status === 401 && !quiet && path !== "/v1/session") signedOutCallback();
  throw Object.assign(new ApiError(response.status, document), { retryAfter: Number(response.headers.get("Retry-After")) });
}

const readJson = (response) => (response.status === 204 ? null : response.json());
export const requestJson = (method, path, body, options) => request(method, path, body, { read: readJson, ...options });

export const get = (path, options) => requestJson("GET", path, undefined, options);
export const post = (path, body = {}, options) => requestJson("POST", path, body, options);
export const ask = (path, body, options) => post(path, body, { ...options, asks: true }); // a question too long for an address
export const remove = (path, options) => requestJson("DELETE", path, undefined, options);
export const put = (path, body, options) => requestJson("PUT", path, body, options);
export const patch = (path, body, options) => requestJson("PATCH", path, body, options);

export function queryString(parameters) {
  const entries = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return entries.length ? `?${new URLSearchParams(entries)}` : "";
}

// JSON has no NaN: the server sends it and the infinities as strings.
const NON_FINITE = { NaN, Infinity, "-Infinity": -Infinity };
export const parseNumber = (value) => (typeof value === "string" ? NON_FINITE[value] : value);

// Whether the server responds: checked in one place, shown on every view; requests are repeated when it is back.
const READY_URL = absoluteUrl("/v1/readyz");
const CHECK_AFTER_MS = 5000; // without a response
const RETRY_MS = 1000; // between two checks while the server is unreachable
const TIMEOUT_MS = 4000; // of a check
const MOST_REPEATS = 3; // of a request that fails although the server is ready

let unreachableSince = null; // ms since the epoch; null: reachable
let lastResponse = Date.now();
let check = null; // the one that is under way
let timer = 0;
const listeners = new Set();

function setUnreachableSince(since) {
  const changed = (since === null) !== (unreachableSince === null);
  unreachableSince = since;
  if (changed) for (const listener of [...listeners]) listener(unreachableSince);
}

// Call on any response, error responses and stream messages included.
export function recordResponse() {
  lastResponse = Date.now();
}

// Call when a request or a stream broke: asks the server itself whether it is reachable, and returns that.
export function checkServer() {
  check ||= isReady().finally(() => { check = null; });
  return check;
}

async function isReady() {
  const ready = await fetch(READY_URL, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) }).then((answer) => answer.ok, () => false);
  if (ready) {
    recordResponse();
    setUnreachableSince(null);
  } else {
    setUnreachableSince(unreachableSince ?? lastResponse);
    clearTimeout(timer);
    timer = setTimeout(checkServer, RETRY_MS);
  }
  return ready;
}

// Until `wake(done)` calls done, or the signal aborts.
const waitFor = (wake, signal) => new Promise((done) => { wake(done); signal?.addEventListener("abort", done, { once: true }); });

// Waits for the server; returns whether it was there at once.
export async function untilReady(signal) {
  const ready = await checkServer();
  if (!ready) {
    await waitFor((done) => {
      const changed = (since) => { if (since === null) { listeners.delete(changed); done(); } };
      listeners.add(changed);
    }, signal);
  }
  return ready;
}

// What `send` returns. What fails because the server is gone (`isLost(error)`) is sent again when it is back, so nobody
// has to ask for it twice; a server that is ready and fails all the same is asked a few times more.
export async function persist(send, isLost, signal) {
  for (let repeats = 0; ;) {
    try {
      return await send();
    } catch (error) {
      if (!isLost(error) || signal?.aborted) throw error;
      if (await untilReady(signal)) {
        if (repeats === MOST_REPEATS) throw error;
        const pause = (error.retryAfter || repeats) * RETRY_MS;
        repeats += 1;
        await waitFor((done) => setTimeout(done, pause), signal);
      }
      signal?.throwIfAborted();
    }
  }
}

// The time (ms) since when the server is unreachable; null while it responds.
export function useUnreachableSince() {
  const [since, set] = useState(unreachableSince);
  useEffect(() => {
    set(unreachableSince);
    listeners.add(set);
    return () => listeners.delete(set);
  }, []);
  return since;
}

// Calls `callback` whenever the server is back.
export function useReconnect(callback) {
  const latest = useRef(callback);
  latest.current = callback;
  useEffect(() => {
    const changed = (since) => since === null && latest.current();
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
}

// The notice, and the check where nothing else sends requests.
export function ConnectionNotice() {
  const since = useUnreachableSince();
  useEffect(() => {
    const timer = setInterval(() => {
      if (unreachableSince === null && document.visibilityState === "visible" && Date.now() - lastResponse > CHECK_AFTER_MS) checkServer();
    }, RETRY_MS);
    return () => clearInterval(timer);
  }, []);
  if (since === null) return null;
  return html`<div class="notice" role="alert"><strong>${t("gone")}</strong><span>${t("gone.since", { time: new Date(since).toLocaleTimeString() })}</span></div>`;
}

// Event streams of one run or of all runs of the project: each message once, over reconnections too.
const RUN_EVENTS = ["state", "wish", "cut", "checkpoint", "checkpoint_failed", "checkpoint_damaged", "preempted", "run"];
const FIRST_RETRY_MS = 1000; // doubles with each refusal
const MAX_RETRY_MS = 30_000;

// A stream that starts after `position` (undefined: now). The browser reconnects by itself when a connection breaks, but
// not when one is refused, as a proxy does while the server is unreachable: then this reconnects, after the last message.
function openStream(path, position, kinds, { onMessage, onDisconnect, onConnect }) {
  let source = null;
  let timer = 0;
  let retryMs = FIRST_RETRY_MS;
  let lastEventId = position;
  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
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
      stop();
      timer = setTimeout(follow, retryMs);
      retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
    };
  };
  // A browser has six connections to a server: a tab that nobody sees leaves them to the others, and catches up later.
  const follow = () => (document.visibilityState === "hidden" ? stop() : source || open());
  const close = () => {
    document.removeEventListener("visibilitychange", follow);
    stop();
  };
  document.addEventListener("visibilitychange", follow);
  follow();
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
