// The heading of a column: a click sorts, its edge resizes, dragged it moves.
import { escapeInvisible, html, t, updateParameters, useRef } from "../../lib/page.js";
import { LEAST_WIDTH, MOST_WIDTH, moveBefore, pinnedStyle, resetWidth, setWidth } from "./layout.js";

const DRAGGED = "application/x-saddle-column";
const STEP = 12; // px, of an arrow key

// A second click turns the order around, a third one goes back to the newest first.
export function Head({ column, columns, search, field, of, number, sort }) {
  const { name, left, isUsual } = column;
  const node = useRef(null);
  const label = isUsual ? t(`column.${name}`) : escapeInvisible(name);
  const [up, down] = [sort === field, sort === `-${field}`];
  const next = up ? `-${field}` : down ? "" : field;
  const text = html`${label}${of ? html` <small>${escapeInvisible(of)}</small>` : null}`;
  const drop = (event) => {
    const moved = event.dataTransfer.getData(DRAGGED);
    if (!moved || moved === name) return;
    event.preventDefault();
    moveBefore(columns, moved, name);
  };
  return html`<th scope="col" ref=${node} class=${`${number ? "number" : ""}${left === null ? "" : " pinned"}`} style=${pinnedStyle(left)} aria-sort=${field ? (up ? "ascending" : down ? "descending" : "none") : null} title=${of ? `${label} ${of}` : label}
    draggable="true" onDragStart=${(event) => event.dataTransfer.setData(DRAGGED, name)} onDragOver=${(event) => event.dataTransfer.types.includes(DRAGGED) && event.preventDefault()} onDrop=${drop}>
    ${field ? html`<button type="button" class="plain" onClick=${() => updateParameters({ sort: next, top: "" }, true)}>${text} ${up ? "▲" : down ? "▼" : ""}</button>` : text}<${Edge} node=${node} name=${name} label=${label} search=${search} now=${column.width ?? LEAST_WIDTH}/></th>`;
}

// The column follows the pointer; the address gets its width when the pointer lets go.
function Edge({ node, name, label, search, now }) {
  const begun = useRef(null);
  const width = () => node.current.getBoundingClientRect().width;
  const col = () => node.current.closest("table").querySelectorAll("col")[node.current.cellIndex];
  const down = (event) => {
    event.preventDefault();
    event.target.setPointerCapture(event.pointerId);
    begun.current = { x: event.clientX, width: width(), now: width() };
  };
  const move = (event) => {
    if (!begun.current) return;
    begun.current.now = Math.min(Math.max(begun.current.width + event.clientX - begun.current.x, LEAST_WIDTH), MOST_WIDTH);
    col().style.width = `${begun.current.now}px`;
  };
  const up = () => {
    if (begun.current && begun.current.now !== begun.current.width) setWidth(search, name, begun.current.now);
    begun.current = null;
  };
  const keys = (event) => {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (by) { event.preventDefault(); setWidth(search, name, width() + by); }
  };
  return html`<span class="edge" role="separator" tabindex="0" aria-orientation="vertical" aria-label=${t("columns.width", { name: label })} aria-valuenow=${now} aria-valuemin=${LEAST_WIDTH} aria-valuemax=${MOST_WIDTH}
    draggable="true" onDragStart=${(event) => { event.preventDefault(); event.stopPropagation(); }} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onKeyDown=${keys} onDblClick=${() => resetWidth(search, name)}></span>`;
}
