// Two panes with a handle between them; where it stands is remembered in this browser.
import { keep, kept } from "../../lib/kept.js";
import { html, t, useRef, useState } from "../../lib/page.js";

const KEPT = "split";
const [LEAST, MOST, USUAL] = [25, 85, 58]; // percent of the width for the first pane
const within = (share) => Math.min(Math.max(share, LEAST), MOST);

const remembered = () => within(Number(kept(KEPT)) || USUAL);

export function Split({ first, second }) {
  const [share, set] = useState(remembered);
  const holder = useRef(null);
  const put = (next) => {
    set(within(next));
    keep(KEPT, String(Math.round(within(next))));
  };
  const drag = (event) => {
    if (!event.target.hasPointerCapture(event.pointerId)) return;
    const { left, width } = holder.current.getBoundingClientRect();
    put((100 * (event.clientX - left)) / width);
  };
  const keys = (event) => {
    const step = { ArrowLeft: -3, ArrowRight: 3 }[event.key];
    if (step) { event.preventDefault(); put(share + step); }
  };
  return html`<div class="split" ref=${holder} style=${{ gridTemplateColumns: `minmax(0, ${share}fr) 12px minmax(0, ${100 - share}fr)` }}>
    <div>${first}</div>
    <div class="handle" role="separator" tabindex="0" aria-orientation="vertical" aria-label=${t("table.split")} aria-valuenow=${Math.round(share)} aria-valuemin=${LEAST} aria-valuemax=${MOST}
      onPointerDown=${(event) => event.target.setPointerCapture(event.pointerId)} onPointerMove=${drag} onKeyDown=${keys} onDblClick=${() => put(USUAL)}></div>
    <div>${second}</div></div>`;
}
