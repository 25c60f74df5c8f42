// Requests to the server: JSON in and out; every failure is an ApiError with all its problems.

import { checkServer, persist, recordResponse } from "./connection.js";

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
