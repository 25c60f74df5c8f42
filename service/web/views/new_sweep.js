// A sweep from the form: lines of fields with values, what the whole grid costs, and its submission.
import { ActionButton, ask, escapeInvisible, formatBytes, formatCount, formatSeconds, html, navigate, post, Problems, t, useEffect, useState } from "../lib/page.js";
import { gridOf, MOST_SPECS, parseSweep, sizeOf } from "../lib/sweep.js";

const CHECK_MS = 500;
const AT_ONCE = 4;
const newTag = () => `sweep-${Date.now().toString(36)}`;

// Each of the items once, a few at a time; the results in order. The first failure stops the rest.
async function eachOf(items, act) {
  const results = new Array(items.length);
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await act(items[at], at);
    }
  };
  await Promise.all([...Array(Math.min(AT_ONCE, items.length)).keys()].map(work));
  return results;
}

// The server checks every combination and says what it costs.
function useCost(grid) {
  const [cost, set] = useState({});
  const key = JSON.stringify(grid);
  useEffect(() => {
    set({});
    if (!grid.length || grid.length > MOST_SPECS) return undefined;
    const control = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const answers = await eachOf(grid, async ({ name, spec }) => {
          try {
            return await ask("/v1/experiments?dry_run=true", spec, { signal: control.signal });
          } catch (error) {
            throw Object.assign(error, { of: name });
          }
        });
        set({ answers });
      } catch (error) {
        control.abort();
        if (error.name !== "AbortError") set({ error });
      }
    }, CHECK_MS);
    return () => { clearTimeout(timer); control.abort(); };
  }, [key]);
  return cost;
}

const sum = (values) => values.reduce((one, other) => one + other, 0);

function Total({ answers, grid }) {
  const runs = grid.map(({ spec }) => spec.restarts?.count || spec.seeds?.length || 1);
  const seconds = answers.map((answer, at) => (answer.duration ? answer.duration.seconds * runs[at] : null));
  const memory = Math.max(...answers.map(({ derived }) => derived.memory_bytes || 0));
  const facts = {
    "sweep.runs": formatCount(sum(runs)), steps: formatCount(sum(answers.map(({ derived }, at) => derived.total_steps * runs[at]))),
    "sweep.time": seconds.includes(null) ? t("duration.unknown") : formatSeconds(sum(seconds)), memory: formatBytes(memory),
  };
  return html`<dl class="estimate">${Object.entries(facts).map(([word, value]) => html`<div key=${word}><dt>${t(word)}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function SweepLines({ text, set }) {
  return html`<label class="sweep">${t("sweep")}<textarea rows=${Math.max(2, text.split("\n").length)} spellcheck="false" value=${text} placeholder="lr: 1e-4, 1e-3, 1e-2" onInput=${(event) => set(event.target.value)}></textarea>
    <small class="hint">${t("sweep.how")}</small></label>`;
}

// The cost and the button of a sweep, in place of those of a single experiment.
export function Sweep({ text, spec, done }) {
  const [tag] = useState(newTag);
  const { axes, wrong } = parseSweep(text, spec);
  const size = sizeOf(axes);
  const many = size > MOST_SPECS;
  const grid = wrong.length || many ? [] : gridOf(spec, axes, tag);
  const { answers, error } = useCost(grid);
  const submit = async () => {
    // the key makes a second try after a broken connection find what the first one made
    const made = await eachOf(grid, (each, at) => post("/v1/experiments", each.spec, { headers: { "Idempotency-Key": `${tag}-${at}` } }));
    done();
    navigate(["compare"], { experiments: made.map(({ id }) => id).join(",") });
  };
  return html`${wrong.map(({ line, why, among = [] }) => html`<p class="wrong" key=${line} role="alert"><code>${escapeInvisible(line)}</code> ${t(`sweep.wrong.${why}`, { among: among.join(", ") })}</p>`)}
    ${many ? html`<p class="wrong" role="alert">${t("sweep.many", { n: size, most: MOST_SPECS })}</p>` : null}
    ${error ? html`<p><strong>${escapeInvisible(error.of || "")}</strong></p><${Problems} error=${error}/>` : null}
    ${answers ? html`<${Total} answers=${answers} grid=${grid}/><p class="hint">${t("sweep.tag", { tag })}</p>` : null}
    <${ActionButton} kind="primary" label=${t("sweep.submit", { n: size })} disabled=${!answers} act=${submit}/>`;
}
