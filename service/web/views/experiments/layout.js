// The columns of the table: which there are, their widths and order in the address, their headings, and how they are chosen.
import { escapeInvisible, html, t, updateParameters, useRef } from "../../lib/page.js";

const BEFORE = ["name", "trial", "state", "progress", "last", "best", "curve"];
const AFTER = ["owner", "age"];
const LEAST = ["owner", "age"]; // what leaves first where there is no room, unless it is asked for
const USUAL_WIDTHS = { trial: 56, state: 108, progress: 80, last: 114, best: 114, curve: 120, owner: 76, age: 62 }; // px; the first six and the name fit beside the curves at 1,280
const FIELD_WIDTH = 120;
const NAME_WIDTH = 150; // at least; it takes what is left
const PINNED_NAME_WIDTH = 220;
export const [LEAST_WIDTH, MOST_WIDTH] = [48, 900];
export const LEADING = [36, 56]; // px: the mark; the eye and the row's menu
const MIDDLE = "middle"; // of what is left

const list = (search, name) => (search.get(name) || "").split(",").map((word) => word.trim()).filter(Boolean);
const isUsual = (name) => BEFORE.includes(name) || AFTER.includes(name);

function widthsOf(search) {
  const pairs = list(search, "widths").map((pair) => [pair.slice(0, pair.lastIndexOf(":")), Number(pair.slice(pair.lastIndexOf(":") + 1))]);
  return Object.fromEntries(pairs.filter(([, width]) => width >= LEAST_WIDTH && width <= MOST_WIDTH));
}

// {columns: [{name, width, left, isUsual}], fields, hidden, width}: `left` where a pinned column stays, `width` of the table.
// `room`: px that there are for it.
export function layoutOf(search, { withCurve, withTrial, room = Infinity }) {
  const asked = list(search, "columns");
  const fields = asked.filter((name) => !isUsual(name));
  const [order, pins, hidden, widths] = [list(search, "order"), new Set(list(search, "pins")), new Set(list(search, "without")), widthsOf(search)];
  const widthOf = (name) => widths[name] || (name === "name" ? (pins.has(name) ? PINNED_NAME_WIDTH : null) : USUAL_WIDTHS[name] || FIELD_WIDTH);
  const leading = LEADING[0] + LEADING[1];
  const whole = (names) => names.reduce((sum, name) => sum + (widthOf(name) ?? NAME_WIDTH), leading);
  let natural = [...BEFORE.filter((name) => (name !== "curve" || withCurve) && (name !== "trial" || withTrial)), ...fields, ...AFTER].filter((name) => !hidden.has(name) || name === "name");
  for (const name of LEAST.filter((each) => natural.includes(each) && !asked.includes(each))) {
    if (whole(natural) <= room) break;
    natural = natural.filter((each) => each !== name);
    hidden.add(name);
  }
  const place = (name) => (order.includes(name) ? order.indexOf(name) : MIDDLE);
  const placed = natural.filter((name) => place(name) !== MIDDLE).sort((one, other) => place(one) - place(other));
  const ordered = natural.map((name) => (place(name) === MIDDLE ? name : placed.shift())); // what has no place keeps its own
  let left = leading;
  const columns = [...ordered.filter((name) => pins.has(name)), ...ordered.filter((name) => !pins.has(name))].map((name) => {
    const column = { name, width: widthOf(name), left: pins.has(name) ? left : null, isUsual: isUsual(name) };
    if (pins.has(name)) left += column.width;
    return column;
  });
  return { columns, fields, hidden: [...hidden], width: whole(ordered), fills: columns.some((column) => column.width === null), isPinned: pins.size > 0 };
}

export const pinnedStyle = (left) => (left === null ? undefined : { left: `${left}px` });

export function setWidth(search, name, width) {
  const widths = { ...widthsOf(search), [name]: Math.round(Math.min(Math.max(width, LEAST_WIDTH), MOST_WIDTH)) };
  updateParameters({ widths: Object.entries(widths).map(([each, value]) => `${each}:${value}`).join(",") });
}

export function resetWidth(search, name) {
  const { [name]: _, ...widths } = widthsOf(search);
  updateParameters({ widths: Object.entries(widths).map(([each, value]) => `${each}:${value}`).join(",") });
}

// Puts a column before another one, or at the end.
export function moveBefore(columns, name, target) {
  const names = columns.map((column) => column.name).filter((each) => each !== name);
  const at = target === null ? names.length : names.indexOf(target);
  updateParameters({ order: [...names.slice(0, at), name, ...names.slice(at)].join(",") });
}

export function togglePin(search, name) {
  const pins = list(search, "pins");
  updateParameters({ pins: (pins.includes(name) ? pins.filter((each) => each !== name) : [...pins, name]).join(",") });
}

export function showColumn(search, name) {
  const drop = (parameter) => list(search, parameter).filter((each) => each !== name);
  updateParameters({ without: drop("without").join(","), columns: [...drop("columns"), ...(isUsual(name) && !LEAST.includes(name) ? [] : [name])].join(",") });
}

export function hideColumn(search, name) {
  const drop = (parameter) => list(search, parameter).filter((each) => each !== name).join(",");
  updateParameters({ columns: drop("columns"), ...(isUsual(name) ? { without: [...list(search, "without"), name].join(",") } : { order: drop("order"), pins: drop("pins") }) });
}

// Which columns the table has: shown and hidden, moved, held in view, and fields of the spec or figures added.
const USUAL = ["optimizer.kind", "optimizer.lr", "optimizer.weight_decay", "model.kind", "dataset.kind", "batch_size", "schedule.kind", "epochs", "steps",
  "best(loss)", "last(loss)", "best(val/accuracy)", "last(val/accuracy)"];

export function Columns({ search, layout }) {
  const { columns, fields, hidden } = layout;
  const add = (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    if (name) showColumn(search, name);
    event.target.reset();
  };
  const labelOf = (column) => (column.isUsual ? t(`column.${column.name}`) : escapeInvisible(column.name));
  return html`<details class="chooser"><summary>${t("columns")}${fields.length ? ` (${fields.length})` : ""}</summary><div class="panel">
    <ul class="column-list">${columns.map((column, at) => html`<${Line} key=${column.name} column=${column} label=${labelOf(column)} search=${search}
      up=${at > 0 ? () => moveBefore(columns, column.name, columns[at - 1].name) : null} down=${at < columns.length - 1 ? () => moveBefore(columns, column.name, columns[at + 2]?.name ?? null) : null}/>`)}</ul>
    ${hidden.length ? html`<p>${hidden.map((name) => html`<button type="button" key=${name} aria-label=${t("columns.show", { name: t(`column.${name}`) })} onClick=${() => showColumn(search, name)}>+ ${t(`column.${name}`)}</button> `)}</p>` : null}
    <form onSubmit=${add} class="bar"><input name="name" type="text" list="fields" aria-label=${t("columns.more")} placeholder="optimizer.lr" spellcheck="false" autocomplete="off"/>
      <datalist id="fields">${USUAL.filter((name) => !fields.includes(name)).map((name) => html`<option value=${name}></option>`)}</datalist>
      <button>${t("add")}</button></form><p class="hint">${t("columns.hint")}</p></div></details>`;
}

function Line({ column: { name, left }, label, search, up, down }) {
  return html`<li><span>${label}</span>
    <button type="button" class="plain" disabled=${!up} aria-label=${t("columns.earlier", { name: label })} title=${t("columns.earlier", { name: label })} onClick=${up}>↑</button>
    <button type="button" class="plain" disabled=${!down} aria-label=${t("columns.later", { name: label })} title=${t("columns.later", { name: label })} onClick=${down}>↓</button>
    <button type="button" class="plain" aria-pressed=${String(left !== null)} aria-label=${t("columns.pin", { name: label })} title=${t("columns.pin", { name: label })} onClick=${() => togglePin(search, name)}>${left === null ? "○" : "●"}</button>
    <button type="button" class="plain" disabled=${name === "name"} aria-label=${t("columns.less", { name: label })} title=${t("columns.less", { name: label })} onClick=${() => hideColumn(search, name)}>×</button></li>`;
}

// The heading of a column: a click sorts, its edge resizes, dragged it moves.
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
