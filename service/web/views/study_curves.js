// The objective's whole curves: of each trial the run of the study's first seed. Those that were stopped are pale and end there.
import { Chart, look } from "../lib/chart.js";
import { getColumns, toCurves } from "../lib/columns.js";
import { alignCurves } from "../lib/curves.js";
import { escapeInvisible, get, html, queryString, t, useMemo, useRequest } from "../lib/page.js";
import { spansMagnitudes } from "../lib/scatter.js";

const MOST = 100; // curves: the newest trials, whose lines can still be told apart
const POINTS = 200;

async function curvesOf(study, signal) {
  const filter = `study = ${study.id} AND seed = ${study.document.seeds[0]}`;
  const runs = await get(`/v1/runs${queryString({ filter, fields: "id,experiment_id", limit: MOST })}`, { signal });
  if (!runs.items.length) return [];
  const owners = new Map(runs.items.map((run) => [run.id, run.experiment_id]));
  const message = await getColumns(`/v1/series${queryString({ runs: [...owners.keys()].join(), names: study.series, points: POINTS })}`, { signal });
  return toCurves(message).map(({ run_id: id, curve }) => ({ experiment: owners.get(id), curve }));
}

export function TrialCurves({ trials, study }) {
  const { value: found } = useRequest((signal) => curvesOf(study, signal), [study.id, trials]);
  const drawn = useMemo(() => {
    const known = new Map(trials.map((trial) => [trial.experiment_id, trial]));
    const own = (found || []).filter(({ experiment }) => known.has(experiment)).map(({ experiment, curve }) => ({ trial: known.get(experiment), curve }));
    own.sort((one, other) => (one.trial.state === "pruned" ? 0 : 1) - (other.trial.state === "pruned" ? 0 : 1)); // what counts lies above
    const [x, ...ys] = alignCurves(own.map(({ curve }) => curve));
    return { x, lines: own.map(({ trial, curve }, at) => ({ label: t("trial", { n: trial.number }), ...look(trial.number), y: ys[at], faint: trial.state === "pruned", points: curve.x.length < 3 })) };
  }, [found]);
  if (!drawn.lines.length) return null;
  return html`<section class="panel wide"><h2>${escapeInvisible(study.series)}</h2><${Chart} x=${drawn.x} lines=${drawn.lines} logY=${spansMagnitudes(drawn.lines.flatMap(({ y }) => Array.from(y).filter(Number.isFinite)))} xLabel=${t("axis.step")} height=${260} label=${t("study.curves")}/>
    <p class="hint">${t("study.curves.how", { n: drawn.lines.length })}</p></section>`;
}
