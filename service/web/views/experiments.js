// The table of experiments, live: filtered, sorted, marked and compared.
import { html, useEffect, useState } from "../lib/html.js";
import { get, number, post, query } from "../lib/api.js";
import { adjust, go, href } from "../lib/address.js";
import { Spark } from "../lib/chart.js";
import { curveOf } from "../lib/curves.js";
import { age, figure, visible } from "../lib/format.js";
import { Action, Empty, Problems, State, useEvery } from "../lib/parts.js";
import { t } from "../lib/words.js";

const PAGE = 100;
const MOST_SPARKS = 100;
const COLUMNS = ["name", "state", "runs", "last", "best", "curve", "owner", "age"];
const SORTS = { name: "name", last: "last(val/loss)", best: "best(val/loss)", owner: "owner", age: "created" };
const OVER = new Set(["succeeded", "failed", "cancelled"]);

// The one word for an experiment's runs: what still moves comes first.
export function standing(counts) {
  for (const state of ["running", "queued", "paused", "failed", "cancelled", "succeeded"]) {
    if (counts[state]) return state;
  }
  return "queued";
}

// Small pictures of what is listed, all in one answer; asked for again only while something moves.
function useSparks(items) {
  const [sparks, set] = useState({});
  const shown = (items || []).filter((item) => item.main).slice(0, MOST_SPARKS);
  const key = shown.map((item) => `${item.main.run_id}:${item.runs.running ? item.main.last : ""}`).join();
  useEffect(() => {
    if (!key) return undefined;
    const control = new AbortController();
    const runs = shown.map((item) => item.main.run_id).join(",");
    get(`/v1/series${query({ runs, names: "loss", points: 40 })}`, { signal: control.signal })
      .then((answer) => set(Object.fromEntries(answer.runs.map((each) => [each.run_id, each.series.loss ? curveOf(each.series.loss).y : null]))), () => {});
    return () => control.abort();
  }, [key]);
  return sparks;
}

function useExperiments(filter, sort) {
  const [page, set] = useState({ items: null, next: null });
  const load = async (cursor) => {
    try {
      const answer = await get(`/v1/experiments${query({ filter, sort, limit: PAGE, cursor })}`);
      set((before) => ({ items: cursor ? [...before.items, ...answer.items] : answer.items, next: answer.next_cursor }));
    } catch (error) {
      if (error.name !== "AbortError") set((before) => ({ ...before, items: before.items || [], error }));
    }
  };
  useEffect(() => { load(); }, [filter, sort]);
  useEvery(3000, () => page.items && page.items.length <= PAGE && load(), [filter, sort, page.items?.length]);
  return { ...page, more: () => load(page.next) };
}

function Filter({ value, error }) {
  const [text, setText] = useState(value);
  const column = error?.problems?.find((each) => each.column)?.column; // from 1: where the grammar stopped
  useEffect(() => setText(value), [value]);
  const submit = (event) => {
    event.preventDefault();
    adjust({ filter: text });
  };
  return html`<form class="filter" onSubmit=${submit} role="search">
    <input data-search type="search" value=${text} onInput=${(event) => setText(event.target.value)} spellcheck="false"
      aria-label=${t("filter")} aria-invalid=${Boolean(error)} placeholder='optimizer.kind = adamw AND best(val/loss) < 0.3'/>
    <button>${t("filter.apply")}</button>
    ${column ? html`<pre class="place" aria-hidden="true">${" ".repeat(column - 1)}↑</pre>` : null}
  </form>`;
}

function Row({ item, spark, marked, mark }) {
  const total = Object.values(item.runs).reduce((sum, n) => sum + n, 0);
  const over = Object.entries(item.runs).reduce((sum, [state, n]) => sum + (OVER.has(state) ? n : 0), 0);
  const summary = item.main || {};
  return html`<tr tabindex="0" data-row=${`experiment/${item.id}`} class=${marked ? "marked" : ""}>
    <td><input type="checkbox" data-mark checked=${marked} onClick=${(event) => mark(item.id, event.shiftKey)}
      aria-label=${t("mark", { name: visible(item.name) })}/></td>
    <td class="name"><a href=${href(["experiment", item.id])}>${visible(item.name)}</a></td>
    <td><${State} state=${standing(item.runs)}/></td>
    <td class="number">${over}/${total}</td>
    <td class="number" title=${summary.series}>${figure(number(summary.last))}</td>
    <td class="number" title=${summary.series}>${figure(number(summary.best))}</td>
    <td>${spark ? html`<${Spark} values=${spark} label=${t("spark", { name: visible(item.name) })}/>` : null}</td>
    <td>${visible(item.owner)}</td>
    <td class="number"><time datetime=${item.created_at} title=${item.created_at}>${age(item.created_at)}</time></td>
  </tr>`;
}

export function Experiments({ search }) {
  const filter = search.get("filter") || "";
  const { items, next, error, more } = useExperiments(filter, search.get("sort") || "");
  const sparks = useSparks(items);
  const [marked, setMarked] = useState(new Set());
  const mark = (id) => setMarked((before) => {
    const after = new Set(before);
    if (!after.delete(id)) after.add(id);
    return after;
  });
  if (!items) return html`<p class="empty">${t("loading")}</p>`;
  if (!items.length && !filter && !error) return html`<${First}/>`;
  const chosen = [...marked];
  return html`<h1 class="quiet">${t("place.experiments")}</h1>
    <div class="bar"><${Filter} value=${filter} error=${error}/>
      <span class="count">${t("chosen", { n: chosen.length })}</span>
      <button type="button" data-compare disabled=${!chosen.length} onClick=${() => go(["compare"], { experiments: chosen.join(",") })}>${t("compare")}</button>
      <${Action} label=${t("cancel")} disabled=${!chosen.length} confirm=${t("cancel.sure", { n: chosen.length })}
        act=${async () => { for (const id of chosen) await post(`/v1/experiments/${id}/cancel`); }}/>
      <${Action} label=${t("archive")} disabled=${!chosen.length} act=${async () => {
    for (const id of chosen) await post(`/v1/experiments/${id}/archive`);
    setMarked(new Set());
  }}/>
    </div>
    <${Problems} error=${error}/>
    <div class="scroll"><table class="list"><thead><tr><td></td>${COLUMNS.map((word) => html`<${Head} key=${word} word=${word} sort=${search.get("sort") || ""}/>`)}</tr></thead>
      <tbody>${items.map((item) => html`<${Row} key=${item.id} item=${item} spark=${sparks[item.main?.run_id]} marked=${marked.has(item.id)} mark=${mark}/>`)}</tbody>
    </table></div>
    ${items.length ? null : html`<p class="empty">${t("filter.nothing")}</p>`}
    ${next ? html`<p><button type="button" onClick=${more}>${t("more")}</button></p>` : null}`;
}

// A second click turns the order around, a third one goes back to the newest first.
function Head({ word, sort }) {
  const field = SORTS[word];
  if (!field) return html`<th scope="col">${t(`column.${word}`)}</th>`;
  const up = sort === field;
  const down = sort === `-${field}`;
  const next = up ? `-${field}` : down ? "" : field;
  return html`<th scope="col" aria-sort=${up ? "ascending" : down ? "descending" : "none"}>
    <button type="button" class="plain" onClick=${() => adjust({ sort: next })}>${t(`column.${word}`)} ${up ? "▲" : down ? "▼" : ""}</button></th>`;
}

function First() {
  return html`<${Empty} title=${t("first.title")}>
    <p>${t("first.text")}</p>
    <p><a class="button" href=${href(["new"], { preset: "digits-adam" })}>${t("first.try")}</a> <a href=${href(["new"])}>${t("place.new")}</a></p>
  </${Empty}>`;
}
