// How close things stand: what somebody chose for this browser; an attribute of the root picks heights and gaps.
import { useEffect, useState } from "./html.js";

const KEY = "saddle.density";
const CHANGED = "saddle-density";
const ROW_HEIGHTS = { comfortable: 36, compact: 26 }; // px, of the long table, as the sheet says too
const CARD_HEIGHT = 86; // px, of a row on a phone
const phone = window.matchMedia("(max-width: 700px)");
export const DENSITIES = Object.keys(ROW_HEIGHTS);

export function currentDensity() {
  try {
    const kept = window.localStorage.getItem(KEY);
    return DENSITIES.includes(kept) ? kept : DENSITIES[0];
  } catch {
    return DENSITIES[0]; // a browser that keeps nothing
  }
}

function apply() {
  document.documentElement.dataset.density = currentDensity();
  window.dispatchEvent(new Event(CHANGED));
}

export function setDensity(chosen) {
  try {
    window.localStorage.setItem(KEY, chosen);
  } catch {
    // then it stays as it is
  }
  apply();
}

apply();

// {density, rowHeight}, anew when it changes.
export function useDensity() {
  const [density, set] = useState(currentDensity);
  const [isPhone, setPhone] = useState(phone.matches);
  useEffect(() => {
    const changed = () => set(currentDensity());
    const turned = () => setPhone(phone.matches);
    window.addEventListener(CHANGED, changed);
    phone.addEventListener("change", turned);
    return () => {
      window.removeEventListener(CHANGED, changed);
      phone.removeEventListener("change", turned);
    };
  }, []);
  return { density, rowHeight: isPhone ? CARD_HEIGHT : ROW_HEIGHTS[density] };
}
