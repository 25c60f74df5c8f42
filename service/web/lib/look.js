// How the page looks in this browser: its colors, as chosen or as the system says, and how close things stand. Attributes of
// the root pick both.
import { html, useEffect, useState } from "./html.js";
import { keep, kept } from "./kept.js";
import { t } from "./words.js";

const SIGNS = { theme: { system: "◐", light: "☀", dark: "☾" }, density: { comfortable: "☰", compact: "≣" } };
const ROW_HEIGHTS = { comfortable: 36, compact: 26 }; // px, of the long table, as the sheet says too
const CARD_HEIGHT = 86; // px, of a row on a phone
const CHANGED = "saddle-look";
const DRAWN_MS = 400; // until charts are drawn in other colors
const system = window.matchMedia("(prefers-color-scheme: dark)");
const phone = window.matchMedia("(max-width: 700px)");

export const CHOICES = ["theme", "density"];
export const optionsOf = (name) => Object.keys(SIGNS[name]);
export const labelOf = (name, option) => (name === "theme" ? t(`theme.${option}`) : t(`density.${option}`));
export const chosen = (name) => (SIGNS[name][kept(name)] ? kept(name) : optionsOf(name)[0]);

const isDark = () => (chosen("theme") === "system" ? system.matches : chosen("theme") === "dark");

function apply(theme = isDark() ? "dark" : "light") {
  Object.assign(document.documentElement.dataset, { theme, density: chosen("density") });
  window.dispatchEvent(new Event(CHANGED));
}

export function choose(name, option) {
  keep(name, option);
  apply();
}

// Prints on white paper, whatever the screen shows.
export async function printPage() {
  if (isDark()) {
    apply("light");
    await new Promise((done) => setTimeout(done, DRAWN_MS));
  }
  window.print();
  apply();
}

for (const query of [system, phone]) query.addEventListener("change", () => apply());
window.addEventListener("storage", () => apply());
apply();

const looks = () => ({
  dark: document.documentElement.dataset.theme === "dark",
  rowHeight: phone.matches ? CARD_HEIGHT : ROW_HEIGHTS[chosen("density")], // px, of the long table
});

// Anew when it changes: what draws on a canvas draws again.
export function useLook() {
  const [look, set] = useState(looks);
  useEffect(() => {
    const changed = () => set(looks());
    window.addEventListener(CHANGED, changed);
    return () => window.removeEventListener(CHANGED, changed);
  }, []);
  return look;
}

// A button of the head that goes from each option to the next.
export function LookButton({ name }) {
  useLook();
  const options = optionsOf(name);
  const option = chosen(name);
  const label = `${t(name)}: ${labelOf(name, option)}`;
  return html`<button type="button" class="sign" aria-label=${label} title=${label} onClick=${() => choose(name, options[(options.indexOf(option) + 1) % options.length])}>${SIGNS[name][option]}</button>`;
}
