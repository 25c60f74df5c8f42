// The tab's title says what its view shows.
import { useEffect } from "./html.js";
import { escapeInvisible } from "./format.js";

const PRODUCT = "Saddle";

export function setTitle(...parts) {
  const told = parts.filter(Boolean).map(escapeInvisible).join(" · ");
  document.title = told ? `${told} · ${PRODUCT}` : PRODUCT;
}

// Called without parts while they are not known yet: the title stays what it was.
export function useTitle(...parts) {
  const known = parts.some(Boolean);
  useEffect(() => { if (known) setTitle(...parts); }, parts);
}
