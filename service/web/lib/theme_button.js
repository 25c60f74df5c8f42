// The button of the head that goes from the system's colours to light ones, to dark ones, and round again.
import { html, useState } from "./html.js";
import { currentTheme, setTheme, THEMES } from "./theme.js";
import { t } from "./words.js";

const SIGNS = { system: "◐", light: "☀", dark: "☾" };

export function ThemeButton() {
  const [theme, set] = useState(currentTheme());
  const next = () => {
    const chosen = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    setTheme(chosen);
    set(chosen);
  };
  const label = `${t("theme")}: ${t(`theme.${theme}`)}`;
  return html`<button type="button" class="sign" aria-label=${label} title=${label} onClick=${next}>${SIGNS[theme]}</button>`;
}
