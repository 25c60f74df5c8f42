// The address holds the whole state of what is shown: a path and parameters behind the "#".
import { useEffect, useState } from "./html.js";

// What somebody typed may be no encoding at all.
function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

export function read(hash = window.location.hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), search: new URLSearchParams(search) };
}

export function href(path, parameters = {}) {
  const search = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== ""));
  const words = path.map(encodeURIComponent).join("/");
  return `#/${words}${search.size ? `?${search}` : ""}`;
}

export function go(path, parameters) {
  window.location.hash = href(path, parameters);
}

// Changes parameters of the address in place: zooming is no step of the history.
export function adjust(changes) {
  const { path, search } = read();
  const merged = { ...Object.fromEntries(search), ...changes };
  window.history.replaceState(null, "", href(path, merged));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useAddress() {
  const [address, set] = useState(read);
  useEffect(() => {
    const moved = () => set(read());
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);
  return address;
}
