// The table of experiments and the curves of its rows, live: searched, grouped, sorted, marked, compared and put in order.
import { useExperimentList } from "../lib/experiment_list.js";
import { FirstSteps } from "../lib/guide.js";
import { keep, kept } from "../lib/kept.js";
import { ask, EmptyState, href, html, Problems, t, TableExport, updateParameters, useEffect, useInterval, useMemo, useRef, useState, useTitle } from "../lib/page.js";
import { Bulk, RowMenu } from "./experiments/actions.js";
import { Curves, Field, looksOf, openEyes, toggleEye } from "./experiments/curves.js";
import { Columns, layoutOf } from "./experiments/layout.js";
import { Chips, chosenOf, filterOf, SearchBox, valuesSeen } from "./experiments/search_box.js";
import { Table, tableOf } from "./experiments/table.js";
import { SavedViews, useViews } from "./saved_views.js";

const MOST_KEPT = 100; // marks in the address
const FACTS = new Set(["owner", "state", "tag"]); // what a row says of itself, whatever its columns
const list = (search, name, by = ",") => (search.get(name) || "").split(by).map((word) => word.trim()).filter(Boolean);

export function Experiments({ search, me }) {
  const typed = search.get("filter") || "";
  const chosen = chosenOf(search);
  const [group, color] = ["group", "color"].map((name) => search.get(name) || "");
  const isAside = search.get("curves") !== "0";
  const read = [...new Set([...layoutOf(search, {}).fields, "optimizer.kind", ...[group, color].filter((name) => name && !FACTS.has(name))])]; // of the rows
  const asked = { filter: filterOf(typed, chosen), sort: search.get("sort") || "", columns: read.join(","), archived: search.get("archived") || "", shared: search.get("shared") || "" };
  const found = useExperimentList(asked);
  const [, grow] = useState(0);
  useInterval(30_000, () => grow((n) => n + 1)); // ages
  const { items, error } = found;
  const [room, measure] = useState((isAside ? 0.55 : 0.95) * window.innerWidth); // a guess until there is a table
  const layout = layoutOf(search, { withCurve: !isAside, withTrial: items?.some((item) => item.study_id), room });
  const marking = useMarks(items || [], list(search, "marks"));
  const values = useMemo(() => valuesSeen(items || [], me?.project_id), [items]);
  const eyes = useMemo(() => openEyes(search, items || []), [items, search.get("eyes")]);
  const shown = useMemo(() => (items || []).filter((item) => eyes.has(item.id)), [items, eyes]);
  const looks = useMemo(() => looksOf(shown, color), [shown, color]);
  const views = useViews(search);
  const [question, ask] = useState(null);
  const [menu, setMenu] = useState(null);
  useTitle(t("place.experiments"), views.current?.name ?? asked.filter);
  if (!items) return html`<p class="empty">${t("loading")}</p>`;
  if (!items.length && !asked.filter && !asked.archived && !asked.shared && !error && !found.stale) return html`<${FirstSteps} items=${items} me=${me}/><${First}/>`;
  const marked = items.filter((item) => marking.marked.has(item.id));
  const table = html`<${Table} list=${found} layout=${layout} measure=${measure} search=${search} sort=${asked.sort} marking=${marking} eyes=${eyes} looks=${looks} toggle=${(id) => toggleEye(eyes, id)} group=${group} closed=${new Set(list(search, "closed", "|"))} menu=${(item, at) => setMenu({ item, at })}/>
    ${items.length ? null : html`<p class="empty">${t("filter.nothing")}</p>`}`;
  return html`<h1 class="quiet">${t("place.experiments")}</h1><${FirstSteps} items=${items} me=${me}/>
    <div class="bar"><${SearchBox} value=${typed} error=${error} values=${values}/><${Chips} chosen=${chosen} values=${values}/></div>
    <div class="bar controls"><${Field} name="group" label=${t("table.grouped")} chosen=${group}/>
      <label><input type="checkbox" checked=${Boolean(asked.archived)} onChange=${(event) => updateParameters({ archived: event.target.checked ? "true" : "" }, true)}/> ${t("archived.too")}</label>
      <label><input type="checkbox" checked=${Boolean(asked.shared)} onChange=${(event) => updateParameters({ shared: event.target.checked ? "true" : "" }, true)}/> ${t("shared.too")}</label>
      <label><input type="checkbox" checked=${isAside} onChange=${(event) => updateParameters({ curves: event.target.checked ? "" : "0" })}/> ${t("table.curves")}</label>
      <${SavedViews} search=${search} me=${me} views=${views}/><${Columns} search=${search} layout=${layout}/></div>
    <div class="bar"><${Bulk} chosen=${marked} list=${found} clear=${marking.clear} asked=${question} ask=${ask}/>
      <${TableExport} name=${t("place.experiments")} read=${() => tableOf(items, layout.fields)}/><span class="count" role="status">${t("listed", { n: items.length.toLocaleString("en") + (found.next ? "+" : "") })}</span></div>
    <${Problems} error=${error}/>
    <div class="workbench">${isAside ? html`<${Split} first=${table} second=${html`<${Curves} shown=${shown} looks=${looks} field=${color} search=${search}/>`}/>` : table}</div>
    <${RowMenu} menu=${menu} items=${items} marked=${marked} me=${me} bin=${(chosen) => ask({ kind: "delete", items: chosen })} close=${() => setMenu(null)}/>`;
}

// What is marked; with the shift key everything from the last mark to this one.
function useMarks(items, kept) {
  const [marked, set] = useState(new Set(kept.map((id) => `exp_${id}`)));
  const last = useRef(null);
  const first = useRef(true);
  useEffect(() => { // a link and Back find them again, unless there are too many for an address
    if (!first.current) updateParameters({ marks: marked.size <= MOST_KEPT ? [...marked].map((id) => id.replace(/^exp_/, "")).join(",") : "" }, "quietly");
    first.current = false;
  }, [marked]);
  const mark = (id, ranged) => {
    const places = [last.current, id].map((each) => items.findIndex((item) => item.id === each)).sort((a, b) => a - b);
    const ids = ranged && places[0] >= 0 ? items.slice(places[0], places[1] + 1).map((item) => item.id) : [id];
    last.current = id;
    set((before) => {
      const after = new Set(before);
      if (ids.length > 1) ids.forEach((each) => after.add(each));
      else if (!after.delete(id)) after.add(id);
      return after;
    });
  };
  const all = () => set((before) => (before.size >= items.length ? new Set() : new Set(items.map((item) => item.id))));
  return { marked, mark, all, clear: () => set(new Set()) };
}

function First() {
  return html`<${EmptyState} title=${t("first.title")}>
    <p>${t("first.text")}</p>
    <p><a class="button" href=${href(["new"], { preset: "digits-adam" })}>${t("first.try")}</a> <a href=${href(["new"])}>${t("place.new")}</a></p>
  </${EmptyState}>`;
}

// Two panes with a handle between them; where it stands is remembered in this browser.
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
