// Who is signed in: found out at the start, and again when a link, another tab or this page changes it.
import { decode } from "./address.js";
import { get, requestJson } from "./api.js";

let handed = null; // a key that a link brought, until somebody decides about it

// `up` prints an address with a key behind the "#", which no server sees: it is taken out again at once.
function takeHandedKey() {
  const given = /^#key=(.+)$/.exec(window.location.hash);
  if (!given) return;
  handed = decode(given[1]);
  window.history.replaceState(null, "", "#/");
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

// Who the server says is here; null: nobody.
const whoIsHere = (headers) => get("/v1/me", { headers, quiet: true }).catch((error) => {
  if (error.status !== 401) throw error;
  return null;
});

// Returns {me, asked}: a link signs somebody in, but never over from one account to another; `asked` is its key then.
export async function enter() {
  takeHandedKey();
  const me = await whoIsHere();
  if (!handed) return { me };
  if (!me) return { me: await signIn({ key: handed }) };
  const other = await whoIsHere({ Authorization: `Bearer ${handed}` });
  if (!other || (other.account_id === me.account_id && other.project_id === me.project_id)) forgetHandedKey();
  return { me, asked: handed };
}

// The link of an invitation is taken out of the address as well, and kept for as long as this tab lives: a provider leads away.
const INVITATION = "saddle.invitation";
let invitation = null;

export function takeInvitation() {
  const given = /^#\/invitation\/([^/?]+)$/.exec(window.location.hash);
  if (!given) return;
  invitation = decode(given[1]);
  try {
    window.sessionStorage.setItem(INVITATION, invitation);
  } catch {
    // it is known until the page is left
  }
  window.history.replaceState(null, "", "#/invitation");
}

export function invitationToken() {
  try {
    return invitation || window.sessionStorage.getItem(INVITATION) || "none";
  } catch {
    return invitation || "none";
  }
}

export function forgetInvitation() {
  invitation = null;
  try {
    window.sessionStorage.removeItem(INVITATION);
  } catch {
    // it was not stored
  }
}

export function forgetHandedKey() {
  handed = null;
}

export async function signIn(credentials) {
  forgetHandedKey();
  const me = await requestJson("POST", "/v1/session", credentials);
  tellOtherTabs();
  return me;
}

export async function signOut() {
  await requestJson("DELETE", "/v1/session").catch((error) => { if (error.status !== 401) throw error; }); // it had ended
  tellOtherTabs();
}

const tabs = "BroadcastChannel" in window ? new BroadcastChannel("saddle") : null;

export const tellOtherTabs = () => tabs?.postMessage("changed");

// Calls back when somebody else may be here: another tab says so, or a link with a key was opened in this one.
export function onChange(callback) {
  tabs?.addEventListener("message", callback);
  window.addEventListener("hashchange", () => window.location.hash.startsWith("#key=") && callback());
}
