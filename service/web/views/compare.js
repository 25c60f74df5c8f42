// Experiments over one another: curves with their spread, who is better and how surely, and in what they differ.
import { MOST_COMPARED } from "../lib/comparison.js";
import { TextInput } from "../lib/form.js";
import { useStepDone } from "../lib/guide.js";
import { EmptyState, findText, formatCount, href, html, Pending, Problems, Said, Select, t, updateParameters, useState, useTitle } from "../lib/page.js";
import { Parallel, Scatter, Target } from "./compare_charts.js";
import { Choice, Curves, Drawing, looksOf, parseReference, questionOf, useCompared, useNames } from "./compare_curves.js";
import { Comparability, Difference, Ranking } from "./compare_tables.js";
import { Confirmation } from "./confirmation.js";
import { Reports } from "./saved_views.js";

const MOST_TITLED = 4; // groups in the title
const FOUND_AT_A_GLANCE = 20; // groups
const GROUPS = ["experiment", "run", "optimizer.kind", "optimizer.lr", "model.kind", "batch_size", "schedule.kind"];

export function Compare({ search, me }) {
  const question = questionOf(search);
  const asked = (question.runs || question.filter || question.experiments).length;
  const many = question.experiments ? asked : 0;
  const given = asked > 0 && many <= MOST_COMPARED;
  const also = listOf(search, "also");
  const { value, curves, error, loading, isPart } = useCompared(given ? question : null, also);
  const there = useNames(value?.groups[0]?.experiment_id);
  useStepDone("compare", value?.groups.length > 1);
  useTitle(t("place.compare"), value?.groups.slice(0, MOST_TITLED).map((group) => group.label).join(", "));
  if (many > MOST_COMPARED) return html`<${EmptyState} title=${t("compare.most", { most: MOST_COMPARED, n: formatCount(many) })}><a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a></${EmptyState}>`;
  if (!given) return html`<${EmptyState} title=${t("compare.none")}><p>${t("compare.how")}</p><a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a> <${Reports} search=${search} me=${me}/></${EmptyState}>`;
  if (!value) return html`<${Pending} error=${error}/>`;
  const names = [...new Set(value.groups.flatMap((group) => Object.keys(group.series)))];
  const looks = looksOf(value, curves);
  const all = [...new Set([...names, ...there])];
  const { ranking, groups, difference } = value;
  const about = { difference, groups, series: ranking.series, figure: ranking.figure, best: ranking.items[0]?.label };
  const eyes = isPart ? eyesOf(search, also, curves) : null;
  const find = groups.length > FOUND_AT_A_GLANCE ? search.get("find") || "" : null;
  return html`<div class="heading"><h1>${t("place.compare")}</h1><${Reports} search=${search} me=${me} canSave=${true}/></div>
    <${RankedBy} search=${search} figure=${ranking.figure} there=${all} shown=${names}/><${Problems} error=${error}/>
    <div class=${loading ? "stale" : ""}>
    <${Ranking} ranking=${ranking} groups=${groups} looks=${looks} eyes=${eyes} find=${find}/>
    <${Confirmation} question=${question} ranking=${ranking} search=${search}/>
    ${value.warnings.length ? html`<ul class="warnings">${value.warnings.map((warning) => html`<li><${Said} text=${warning}/></li>`)}</ul>` : null}
    <${Drawing} search=${search} there=${all} shown=${names}/>
    ${isPart ? html`<p class="hint">${t("compare.part", { n: curves.length, all: formatCount(groups.length) })}</p>` : null}
    <${Curves} value=${value} groups=${curves} looks=${looks} names=${names} search=${search}/>
    <${Target} target=${value.target} groups=${groups} axis=${question.x}/>
    <${Scatter} ...${about} across=${search.get("across") || ""}/>
    <${Parallel} ...${about} looks=${looks}/>
    <${Comparability} found=${value.comparability}/>
    <${Difference} difference=${difference} groups=${groups} looks=${looks} find=${find}/></div>`;
}

const listOf = (search, name) => new Set((search.get(name) || "").split("|").filter(Boolean));

// Which groups have a curve, where not all have: the best ones but those that are hidden, and those that are asked for.
function eyesOf(search, also, curves) {
  const hidden = listOf(search, "hide");
  const drawn = new Set(curves.map((group) => group.label));
  const put = (name, labels, label) => {
    if (!labels.delete(label)) labels.add(label);
    updateParameters({ [name]: [...labels].join("|") });
  };
  return {
    isOpen: (label) => drawn.has(label) && !hidden.has(label),
    toggle: (label) => (drawn.has(label) && !also.has(label) ? put("hide", hidden, label) : put("also", also, label)),
  };
}

// Any field of the spec groups: the usual ones are in the list, any other is typed.
function Grouping({ chosen }) {
  const [typing, type] = useState(!GROUPS.includes(chosen));
  if (typing) return html`<label>${t("group")} <${TextInput} value=${chosen} aria-label=${t("group.by")} onCommit=${(text) => (text.trim() ? updateParameters({ group: text.trim() }) : type(false))}/></label>`;
  return html`<${Select} label=${t("group")} value=${chosen} options=${[...GROUPS, ""]} told=${(each) => (each ? findText(`choice.${each}`) ?? each : t("field.any"))} set=${(group) => (group ? updateParameters({ group }) : type(true))}/>`;
}

// What is ranked, and by what: the first control is the series.
function RankedBy({ search, figure, there, shown }) {
  const rank = (name) => updateParameters({ series: [name, ...shown.filter((each) => each !== name)].join(",") }, true);
  return html`<div class="bar controls">
    <${Select} label=${t("ranked.series")} value=${shown[0]} options=${there} set=${rank}/>
    <${Choice} name="figure" label=${t("ranked.by")} values=${["best", "last"]} chosen=${figure}/>
    <${Grouping} chosen=${search.get("group") || "experiment"}/>
    <label title=${t("reference.hint")}>${t("reference")} <${TextInput} class="short" inputmode="decimal" value=${search.get("reference") || ""}
      onCommit=${(text) => updateParameters({ reference: Number.isFinite(parseReference(text.trim())) ? text.trim() : "" })}/></label></div>`;
}

