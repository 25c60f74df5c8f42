// The button of the head that brings things closer together and apart again.
import { html } from "./html.js";
import { DENSITIES, setDensity, useDensity } from "./density.js";
import { t } from "./words.js";

const SIGNS = { comfortable: "☰", compact: "≣" };

export function DensityButton() {
  const { density } = useDensity();
  const label = `${t("density")}: ${t(`density.${density}`)}`;
  return html`<button type="button" class="sign" aria-label=${label} title=${label} onClick=${() => setDensity(DENSITIES[(DENSITIES.indexOf(density) + 1) % DENSITIES.length])}>${SIGNS[density]}</button>`;
}
