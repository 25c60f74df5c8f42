// Light or dark: what somebody chose for this browser, else what the system says. An attribute of the root picks the colours.
import { useEffect, useState } from "./html.js";

const KEY = "saddle.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const CHANGED = "saddle-theme";
export const THEMES = ["system", "light", "dark"];

export function currentTheme() {
  try {
    const kept = window.localStorage.getItem(KEY);
    return THEMES.includes(kept) ? kept : "system";
  } catch {
    return "system"; // a browser that keeps nothing
  }
}

const isDark = () => (currentTheme() === "system" ? system.matches : currentTheme() === "dark");

function apply() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  window.dispatchEvent(new Event(CHANGED));
}

export function setTheme(chosen) {
  try {
    window.localStorage.setItem(KEY, chosen);
  } catch {
    // it holds until the page is left
  }
  apply();
}

const DRAWN_MS = 400; // until charts are drawn in other colours

// Prints on white paper, whatever the screen shows.
export async function printPage() {
  if (isDark()) {
    document.documentElement.dataset.theme = "light";
    window.dispatchEvent(new Event(CHANGED));
    await new Promise((done) => setTimeout(done, DRAWN_MS));
  }
  window.print();
  apply();
}

system.addEventListener("change", apply);
window.addEventListener("storage", (event) => event.key === KEY && apply());
apply();

// Whether the page is dark now; what draws on a canvas draws again when that changes.
export function useDark() {
  const [is, set] = useState(isDark);
  useEffect(() => {
    const changed = () => set(document.documentElement.dataset.theme === "dark");
    window.addEventListener(CHANGED, changed);
    return () => window.removeEventListener(CHANGED, changed);
  }, []);
  return is;
}
