// The project's studies: what each searches for, how far it is, what it found.
import { EmptyState, escapeInvisible, formatAge, formatCount, get, href, html, Problems, Prose, queryString, StateLabel, t, useInterval, useRequest, useState } from "../lib/page.js";

const LOOK_MS = 3000;
const OUTCOMES = ["running", "waiting", "finished", "pruned", "failed"];

// How many trials are in each state, in words.
export const outcomesOf = (trials) => OUTCOMES.filter((state) => trials[state]).map((state) => `${formatCount(trials[state])} ${t(`trial.${state}`)}`).join(", ") || "–";

export function Studies({ search }) {
  const [tick, setTick] = useState(0);
  useInterval(LOOK_MS, () => setTick((n) => n + 1));
  const cursor = search.get("cursor") || undefined;
  const { value, error } = useRequest((signal) => get(`/v1/studies${queryString({ limit: 50, cursor })}`, { signal }), [tick, cursor]);
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  if (!value.items.length && !cursor) return html`<h1>${t("place.studies")}</h1><${EmptyState} title=${t("studies.none")}><p>${t("studies.none.text")}</p><pre class="code">saddle sweep tune-lr --help</pre></${EmptyState}>`;
  return html`<h1>${t("place.studies")}</h1><div class="scroll"><table class="list"><thead><tr>${["name", "state", "trials", "owner", "age"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${value.items.map((each) => html`<tr key=${each.id} data-row=${`study/${each.id}`} tabindex="0"><td class="name"><a href=${href(["study", each.id])}>${escapeInvisible(each.name)}</a></td>
      <td><${StateLabel} state=${each.state}/>${each.why ? html` <small><${Prose} text=${each.why}/></small>` : null}</td><td>${outcomesOf(each.trials)}</td>
      <td>${escapeInvisible(each.owner)}</td><td class="number">${formatAge(each.created_at)}</td></tr>`)}</tbody></table></div>
    ${value.next_cursor ? html`<p><a class="button" href=${href(["studies"], { cursor: value.next_cursor })}>${t("older")}</a></p>` : null}`;
}
