// The address holds the state of the page: a path and parameters behind the "#".
import { useEffect, useState } from "./html.js";

// A typed address may hold an invalid escape.
export function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function parseAddress(hash = window.location.hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decode), search: new URLSearchParams(search) };
}

export function href(path, parameters = {}) {
  const search = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== ""));
  const words = path.map(encodeURIComponent).join("/");
  return `#/${words}${search.size ? `?${search}` : ""}`;
}

export function navigate(path, parameters) {
  window.location.hash = href(path, parameters);
}

// Changes parameters of the address. With `step` the back button undoes it: a zoom, a filter; without it is a setting;
// "quietly": what is shown already, so nothing is drawn again.
export function updateParameters(changes, step = false) {
  const { path, search } = parseAddress();
  const merged = { ...Object.fromEntries(search), ...changes };
  window.history[step === true ? "pushState" : "replaceState"](null, "", href(path, merged));
  if (step !== "quietly") window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useAddress() {
  const [address, set] = useState(parseAddress);
  useEffect(() => {
    const onHashChange = () => set(parseAddress());
    window.addEventListener("hashchange", onHashChange);
    return () => window.removeEventListener("hashchange", onHashChange);
  }, []);
  return address;
}
