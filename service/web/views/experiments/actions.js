// What can be done with rows of the table: with one by its menu, with those that are marked by the buttons above.
import { MOST_COMPARED } from "../../lib/comparison.js";
import { copyText, Dialog, escapeInvisible, formatAge, formatCount, get, href, html, navigate, patch, post, Prose, refusal, remove, t, useEffect, useProject, useRef, useState } from "../../lib/page.js";
import { offerUndo } from "../../lib/undo.js";

const MOST_OFFERED = 8; // experiments to compare with

// `menu`: {item, at} or null; `bin` asks whether to delete.
export function RowMenu({ menu, items, marked, me, bin, close }) {
  const project = useProject();
  const [compared, compareWith] = useState(null);
  const { item } = menu || {};
  const readOnly = me.level === "read" || item?.shared;
  const trainAgain = async () => navigate(["experiment", (await post("/v1/experiments", (await get(`/v1/experiments/${item.id}`)).spec)).id]);
  const others = marked.filter((each) => each.id !== item?.id);
  const entries = item ? [
    { label: t("row.compare"), act: () => (others.length ? navigate(["compare"], { experiments: [item, ...others].map((each) => each.id).join(",") }) : compareWith(item)) },
    { label: t("row.fork"), disabled: readOnly || !item.main, act: () => navigate(["new"], { fork: item.main.run_id }) },
    { label: t("again"), act: () => navigate(["new"], { from: item.id }) },
    { label: t("row.resubmit"), disabled: readOnly, act: trainAgain },
    { label: t("export.link"), act: () => copyText(new URL(href(["experiment", item.id]), window.location.href).href) },
    null,
    { label: t("delete"), kind: "danger", disabled: Boolean(refusal(me, item.owner, project, item.shared)), act: () => bin([item]) },
  ] : [];
  return html`${menu ? html`<${Menu} key=${item.id} at=${menu.at} label=${t("row.menu", { name: escapeInvisible(item.name) })} items=${entries} close=${close}/>` : null}
    ${compared ? html`<${CompareWith} item=${compared} items=${items} close=${() => compareWith(null)}/>` : null}`;
}

function CompareWith({ item, items, close }) {
  const [typed, type] = useState("");
  const [chosen, choose] = useState([]);
  const fits = (each) => each.id !== item.id && (chosen.includes(each.id) || each.name.toLowerCase().includes(typed.trim().toLowerCase()));
  const flip = (id) => choose(chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]);
  const act = async () => navigate(["compare"], { experiments: [item.id, ...chosen].join(",") });
  return html`<${Dialog} title=${t("row.compare.title", { name: escapeInvisible(item.name) })} label=${t("place.compare")} disabled=${!chosen.length} act=${act} close=${close}>
    <input type="search" aria-label=${t("column.name")} placeholder=${t("column.name")} value=${typed} onInput=${(event) => type(event.target.value)} autofocus/>
    ${items.filter(fits).slice(0, MOST_OFFERED + chosen.length).map((each) => html`<label class="check" key=${each.id}><input type="checkbox" checked=${chosen.includes(each.id)} onChange=${() => flip(each.id)}/> ${escapeInvisible(each.name)} <small>${t("ago", { age: formatAge(each.created_at) })}</small></label>`)}</${Dialog}>`;
}

// Arrows move, Enter and a click choose, Escape and a click elsewhere close it.
// `at`: {x, y} of its upper right corner; items: [{label, act, disabled, kind}], null where there is a line between.
function Menu({ at, label, items, close }) {
  const node = useRef(null);
  useEffect(() => {
    const opener = document.activeElement;
    const box = node.current;
    box.style.left = `${Math.max(8, Math.min(at.x - box.offsetWidth, window.innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${Math.max(8, Math.min(at.y, window.innerHeight - box.offsetHeight - 8))}px`;
    box.querySelector("button:not(:disabled)")?.focus();
    const outside = (event) => box.contains(event.target) || close();
    document.addEventListener("pointerdown", outside);
    window.addEventListener("hashchange", close);
    return () => {
      document.removeEventListener("pointerdown", outside);
      window.removeEventListener("hashchange", close);
      if (box.contains(document.activeElement) || document.activeElement === document.body) opener?.focus?.();
    };
  }, []);
  const keys = (event) => {
    event.stopPropagation(); // the page's own keys rest
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    if (!by) return;
    event.preventDefault();
    const buttons = [...node.current.querySelectorAll("button:not(:disabled)")];
    buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length]?.focus();
  };
  return html`<div class="menu" role="menu" aria-label=${label} ref=${node} onKeyDown=${keys}>${items.map((item, index) => (item === null ? html`<hr key=${index}/>`
    : html`<button key=${index} type="button" role="menuitem" class=${item.kind || ""} disabled=${item.disabled} onClick=${() => { close(); item.act(); }}>${item.label}</button>`))}</div>`;
}

// What can be done with everything that is marked: compared, tagged, cancelled, put away, deleted. What fails is told by name.
const NAMED = 8; // in a question

// One after the other, so that a refusal of one stops none of the others.
async function each(items, act) {
  const done = [];
  const failed = [];
  for (const item of items) {
    try {
      done.push({ item, answer: await act(item) });
    } catch (error) {
      failed.push({ item, error });
    }
  }
  return { done, failed };
}

function Names({ items }) {
  return html`<ul>${items.slice(0, NAMED).map((item) => html`<li key=${item.id}>${escapeInvisible(item.name)}</li>`)}
    ${items.length > NAMED ? html`<li>${t("and.more", { n: items.length - NAMED })}</li>` : null}</ul>`;
}

const tooMany = (chosen) => chosen.length > MOST_COMPARED;
const words = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);
const path = (item, what = "") => `/v1/experiments/${item.id}${what}`;

// `asked`: what somebody is asked now, {kind, items}; it stays what was asked, whatever the table learns meanwhile.
export function Bulk({ chosen, list, clear, asked: question, ask }) {
  const [failed, setFailed] = useState([]);
  const [busy, setBusy] = useState(false);
  const none = !chosen.length || busy;
  const over = async (items, act) => {
    setBusy(true);
    const { done, failed: refused } = await each(items, act);
    setBusy(false);
    setFailed(refused);
    return done;
  };
  const gone = async (items, act) => {
    const done = await over(items, act);
    const ids = done.map(({ item }) => item.id);
    list.drop(new Set(ids));
    clear();
    return ids;
  };
  const bin = async (items) => offerUndo(await gone(items, (item) => remove(path(item))), list.reload);
  const back = async () => {
    await over(chosen, (item) => post(path(item, "/unarchive")));
    list.reload(); // the stream tells what runs do, and says nothing of this
  };
  const tag = async (items, form) => {
    const [more, less] = [words(form.get("more")), words(form.get("less"))];
    const after = (item) => [...new Set([...item.tags, ...more])].filter((word) => !less.includes(word));
    const done = await over(items, (item) => patch(`/v1/experiments/${item.id}`, { tags: after(item) }));
    list.replace(done.map(({ item }) => ({ ...item, tags: after(item) })));
  };
  const questions = {
    tags: (items) => ({
      title: t("tags.title", { n: items.length }), label: t("tags"), act: (form) => tag(items, form),
      children: html`<label>${t("add")} <input type="text" name="more" autofocus/></label> <label>${t("remove")} <input type="text" name="less"/></label>
        <p class="hint">${t("tags.hint")}</p>`,
    }),
    cancel: (items) => ({
      title: t("cancel.title", { n: items.length }), label: t("cancel.yes"), kind: "danger", act: () => over(items, (item) => post(path(item, "/cancel"))),
      children: html`<p>${t("cancel.text")}</p><${Names} items=${items}/>`,
    }),
    delete: (items) => ({
      title: t("delete.title", { n: items.length }), label: t("delete.yes", { n: items.length }), kind: "danger", act: () => bin(items),
      children: html`<p>${t("delete.text")}</p><${Names} items=${items}/>`,
    }),
  };
  const button = (kind, act, look = "") => html`<button type="button" class=${look} disabled=${none} onClick=${act}>${t(kind)}</button>`;
  const asking = (kind) => button(kind, () => ask({ kind, items: chosen }), questions[kind](chosen).kind);
  return html`<span class="bulk"><span class="count" role="status">${t("chosen", { n: chosen.length })}</span>
    <button type="button" data-compare disabled=${none || tooMany(chosen)} onClick=${() => navigate(["compare"], { experiments: chosen.map((item) => item.id).join(",") })}>${t("place.compare")}</button>
    ${tooMany(chosen) ? html`<span class="wrong">${t("compare.most", { most: MOST_COMPARED, n: formatCount(chosen.length) })}</span>` : null}
    ${asking("tags")} ${asking("cancel")}
    ${button("archive", () => gone(chosen, (item) => post(path(item, "/archive"))))}
    ${button("restore", back)}
    ${asking("delete")}</span>
    ${question ? html`<${Dialog} key=${question.kind} ...${questions[question.kind](question.items)} close=${() => ask(null)}/>` : null}
    ${failed.length ? html`<div class="refusal" role="alert"><ul>${failed.map(({ item, error }) => html`<li key=${item.id}><strong>${escapeInvisible(item.name)}</strong> <${Prose} text=${error.message}/></li>`)}</ul></div>` : null}`;
}
