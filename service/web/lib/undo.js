// The notice after a deletion: what lies in the bin comes back by one press.
import { html, useEffect, useState } from "./html.js";
import { post } from "./api.js";
import { ActionButton } from "./components.js";
import { href } from "./address.js";
import { t } from "./words.js";

const SHOWN_MS = 20_000;
let tell = () => {};

// `ids` were put into the bin; `restored` runs once they are back.
export function offerUndo(ids, restored) {
  if (ids.length) tell({ ids, restored });
}

export function UndoNotice() {
  const [offer, set] = useState(null);
  useEffect(() => { tell = set; }, []);
  useEffect(() => {
    const timer = offer && setTimeout(() => set(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [offer]);
  if (!offer) return null;
  const undo = async () => {
    for (const id of offer.ids) await post(`/v1/experiments/${id}/restore`);
    set(null);
    offer.restored();
  };
  return html`<div class="notice undo" role="status"><span>${t("undo.text", { n: offer.ids.length })}</span>
    <${ActionButton} label=${t("undo")} act=${undo}/> <a href=${href(["bin"])}>${t("place.bin")}</a>
    <button type="button" onClick=${() => set(null)}>${t("close")}</button></div>`;
}
