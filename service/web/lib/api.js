// Talking to the server: JSON in and out, every refusal as a Refusal with all its problems.

import { answered, suspect } from "./connection.js";

const AWAY = new Set([0, 502, 503, 504]); // no answer, or a proxy's or the server's own that somebody behind it is away

export class Refusal extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The server answered ${status}.`);
    this.status = status;
    this.code = document.code || "";
    this.instance = document.instance || "";
    this.problems = document.errors || [];
    this.column = document.column;
    this.gone = AWAY.has(status);
  }
}

// Where the server is: this module's own address tells it, also below a path of a proxy's host.
const ROOT = new URL("../../", import.meta.url).href;

// The whole address of a path of the server ("/v1/me").
export const located = (path) => ROOT + path.slice(1);

let signedOut = () => {};

// Called whenever the server does not know us any more.
export function onSignedOut(callback) {
  signedOut = callback;
}

// The answer itself, or a Refusal.
export async function fetched(method, path, body, { signal, headers = {} } = {}) {
  const options = { method, signal, headers: { ...headers }, credentials: "same-origin" };
  if (body instanceof Blob) {
    options.body = body;
  } else if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(located(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    suspect();
    throw new Refusal(0, { code: "unreachable", detail: "The server does not answer. Is it running?" });
  }
  answered();
  if (answer.ok) return answer;
  if (AWAY.has(answer.status)) suspect();
  const document = await answer.json().catch(() => ({}));
  if (answer.status === 401 && path !== "/v1/session") signedOut();
  throw new Refusal(answer.status, document);
}

export async function ask(method, path, body, options) {
  const answer = await fetched(method, path, body, options);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, options) => ask("GET", path, undefined, options);
export const post = (path, body = {}, options) => ask("POST", path, body, options);
export const remove = (path, options) => ask("DELETE", path, undefined, options);
export const patch = (path, body, options) => ask("PATCH", path, body, options);

export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

// JSON has no NaN: the server sends it and the infinities as words.
const WORDS = { NaN, Infinity, "-Infinity": -Infinity };
export const number = (value) => (typeof value === "string" ? WORDS[value] : value);
