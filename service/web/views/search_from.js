// A study of one experiment's spec: a usual question, and how many trials may answer it.
import { DialogButton, escapeInvisible, get, html, navigate, post, Problems, t, useRequest, useState } from "../lib/page.js";

const PARTS = { sampler: "samplers", pruner: "pruners" }; // field of a study -> family of the catalogue
const FAMILIES = [...Object.values(PARTS), "dimensions"];
const BOUNDS = ["low", "high"];

export function SearchFrom({ experiment, disabled }) {
  const search = async (form) => {
    const trials = Number(form.get("trials"));
    const chosen = Object.fromEntries(Object.keys(PARTS).map((part) => [part, form.get(part)]).filter(([, kind]) => kind));
    const space = {};
    for (const [name, value] of form) {
      const [pointer, part] = name.split(" ");
      if (part && value) space[pointer] = { ...space[pointer], [part]: part === "kind" ? value : Number(value) };
    }
    const made = await post("/v1/studies", { preset: form.get("preset"), base: experiment.spec, name: `${experiment.name}, ${form.get("preset")}`.slice(0, 128), ...(trials ? { budget: { trials } } : {}), ...chosen, ...(Object.keys(space).length ? { space } : {}) });
    navigate(["study", made.id]);
  };
  return html`<${DialogButton} button=${t("search.from")} disabled=${disabled} title=${t("search.from.title")} label=${t("search.from.yes")} act=${search}><${Questions}/></${DialogButton}>`;
}

function Questions() {
  const { value, error } = useRequest((signal) => get("/v1/studies/presets", { signal }), []);
  const { value: families } = useRequest((signal) => Promise.all(FAMILIES.map((family) => get(`/v1/catalog/${family}`, { signal }))), []);
  const [chosen, choose] = useState(0);
  if (error) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  return html`${value.items.map((each, at) => html`<p key=${each.name}><label class="check"><input type="radio" name="preset" value=${each.name} checked=${at === chosen} onChange=${() => choose(at)}/> ${escapeInvisible(each.question)}</label></p>`)}
    <p><label>${t("budget.trials")} <input type="number" name="trials" min="1" max="10000" placeholder=${String(value.items[chosen].document.budget.trials)}/></label></p>
    ${Object.keys(PARTS).map((part, at) => html`<p key=${part}><${Part} name=${part} kinds=${families?.[at].items ?? []} usual=${value.items[chosen].document[part] ?? "none"}/></p>`)}
    ${Object.entries(value.items[chosen].document.space).filter(([, { low }]) => low !== undefined).map(([pointer, given]) => html`<p key=${chosen + pointer} class="range"><${Range} pointer=${pointer} given=${given} kinds=${families?.[2].items ?? []}/></p>`)}`;
}

// Where a number is searched, and on which scale.
function Range({ pointer, given, kinds }) {
  const [kind, choose] = useState(given.kind);
  return html`${escapeInvisible(pointer.slice(1).replaceAll("/", " "))} ${BOUNDS.map((end) => html`<input key=${end} type="number" step="any" name=${`${pointer} ${end}`} aria-label=${`${pointer} ${end}`} defaultValue=${given[end]}/> `)}
    <select name=${`${pointer} kind`} aria-label=${`${pointer} kind`} value=${kind} onChange=${(event) => choose(event.target.value)}>${kinds.filter((each) => each.kind.endsWith("uniform")).map((each) => html`<option key=${each.kind} value=${each.kind} title=${each.summary}>${each.kind}</option>`)}</select>`;
}

// One of the catalogue's kinds, or what the question itself has.
function Part({ name, kinds, usual }) {
  const [kind, choose] = useState("");
  const found = kinds.find((each) => each.kind === (kind || usual));
  return html`<label>${t(`study.${name}`)} <select name=${name} value=${kind} onChange=${(event) => choose(event.target.value)}>
    <option value="">${t("study.usual", { kind: usual })}</option>${kinds.map((each) => html`<option key=${each.kind} value=${each.kind}>${each.kind}</option>`)}</select></label>
    ${found ? html` <small>${found.summary.split("\n")[0]}</small>` : null}`;
}
