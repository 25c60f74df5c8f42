// The notice after a deletion: what lies in the bin comes back by one press.
import { html, useEffect, useState } from "./html.js";
import { post } from "./api.js";
import { ActionButton } from "./components.js";
import { href } from "./address.js";
import { t } from "./words.js";

const SHOWN_MS = 20_000;
let tell = () => {};

// `ids` of experiments, or of another `place` of the API, were put into the bin; `restored` runs once they are back.
export function offerUndo(ids, restored, place = "experiments") {
  if (ids.length) tell({ ids, restored, place });
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
    for (const id of offer.ids) await post(`/v1/${offer.place}/${id}/restore`);
    set(null);
    offer.restored();
  };
  return html`<div class="notice undo" role="status"><span>${t(offer.place === "studies" ? "undo.study" : "undo.text", { n: offer.ids.length })}</span>
    <${ActionButton} label=${t("undo")} act=${undo}/> <a href=${href(["bin"])}>${t("place.bin")}</a>
    <button type="button" onClick=${() => set(null)}>${t("close")}</button></div>`;
}
