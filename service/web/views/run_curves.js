// A run's curves by family, each with what belongs beside it: the raw line behind a smoothed one, ghosts of lost attempts, the plan.
import { Chart, colour, Legend, look } from "../lib/chart.js";
import { alignCurves, arePositive, placeOnAxis, smooth } from "../lib/curves.js";
import { escapeInvisible, html, parseNumber, queryString, t, updateParameters, useGet, useMemo } from "../lib/page.js";
import { fanOf, isFan } from "./evidence.js";

const LOSSES = (name) => name === "loss" || name.endsWith("/loss");
const INSTRUMENTS = new Set(["lr", "grad_norm", "update_ratio", "rate", "cosine", "dead_share", "saturated_share", "sharpness", "critical_point", "spectrum", "noise_scale"]);
const WIDE = new Set(["loss", "accuracy", "lr"]); // of their own line; the others stand two abreast
const ORDER = ["loss", "accuracy", "lr", "grad_norm"];
const MARGIN = 4; // a curve with fewer than a fourth of the points is drawn with dots
const DRAWN = 8; // of one family, until more are switched on

function familyOf(name) {
  if (LOSSES(name)) return "loss";
  const [head, next] = name.split("/");
  if (head === "system") return name; // each has a unit of its own
  if (head === "activation") return `${head}/${next}`;
  return INSTRUMENTS.has(head) ? head : name.split("/").pop();
}

// What is drawn together: losses, rates, the instruments by theirs, and each other family of names on its own.
export function panels(names) {
  const groups = new Map();
  for (const name of names) groups.set(familyOf(name), [...(groups.get(familyOf(name)) || []), name]);
  const place = (family) => (ORDER.indexOf(family) + 1 || ORDER.length + 1 + family.startsWith("system/"));
  return [...groups].sort(([one], [other]) => place(one) - place(other) || one.localeCompare(other));
}

// What lies beside the curves: {loss: [{x, y, label}], lr: [...]}, and a sentence where the applied rate is not the planned one.
export function useBeside(run, cuts) {
  const { value: ghosts } = useGet(cuts && `/v1/runs/${run.id}/superseded${queryString({ names: "loss,val/loss,grad_norm" })}`, [cuts]);
  const { value: planned, error } = useGet(run && `/v1/runs/${run.id}/planned${queryString({ points: 1000 })}`, [run?.state]);
  const parent = run?.relation === "fork" && run.origin_step ? run.parent_run_id : null;
  const { value: before } = useGet(parent && `/v1/runs/${parent}/series${queryString({ names: "loss,val/loss", to: run.origin_step, points: 1000 })}`);
  return useMemo(() => {
    const beside = {};
    for (const [name, columns] of Object.entries(before?.series || {})) {
      const line = { x: columns.step ?? columns.last_step, y: (columns.value ?? columns.mean).map(parseNumber), label: t("curve.parent", { name }), ghost: true };
      beside[familyOf(name)] = [...(beside[familyOf(name)] || []), line];
    }
    for (const { name, attempt, step, value } of ghosts?.items || []) {
      const line = { x: step, y: value.map(parseNumber), label: t("ghost", { name, attempt }), ghost: true };
      beside[familyOf(name)] = [...(beside[familyOf(name)] || []), line];
    }
    if (planned && !planned.watches) beside.lr = [{ x: planned.steps, y: planned.rates, label: t("planned"), plan: true }];
    return { beside, planned, settled: Boolean(planned || error) };
  }, [ghosts, planned, before, error]);
}

// `axis` leads from steps to x and back; the address keeps steps, whatever the axis.
export function Panel({ family, names, curves, beside = [], options, tick, marks, axis, extent, view: { range, onZoom, onReset } }) {
  const hidden = (name, index) => (options.hidden.has(name) ? true : index >= DRAWN && !options.shown.has(name));
  const shown = names.filter((name, index) => !hidden(name, index) && curves[name]);
  const [steps, lines] = useMemo(() => (family === "rate" && names.some(isFan) ? fanOf(curves) : linesOf(shown, names, curves, beside, options)), [shown.join(), options.smooth, options.from, options.to, tick, curves, beside]);
  const x = useMemo(() => (options.axis === "step" ? steps : Float64Array.from(steps, axis.of)), [steps, axis, options.axis]);
  const log = options.log && arePositive(lines) && ["loss", "grad_norm", "update_ratio", "rate"].includes(family);
  const logX = options.logX && x.length > 0 && x[0] > 0;
  const toggle = (name) => {
    const index = names.indexOf(name);
    const [off, on] = [new Set(options.hidden), new Set(options.shown)];
    if (index >= DRAWN) {
      if (!on.delete(name)) on.add(name);
    } else if (!off.delete(name)) off.add(name);
    updateParameters({ hide: [...off].join(","), show: [...on].join(",") });
  };
  const legend = names.map((name, index) => ({ label: name, ...look(index) }));
  const also = lines.filter((line) => line.aside);
  return html`<section class=${WIDE.has(family) ? "panel wide" : "panel"}><h2>${escapeInvisible(family)}</h2>
    <${Chart} x=${x} lines=${lines} logX=${logX} logY=${log} xLabel=${t(`choice.${options.axis}`)} sync=${`run ${options.axis}`} extent=${extent} range=${range} height=${family === "loss" ? 320 : 180} marks=${options.axis === "step" ? marks : marks.map((mark) => ({ ...mark, x: axis.of(mark.x) }))}
      onZoom=${onZoom} onReset=${onReset} label=${t("chart.of", { name: escapeInvisible(family) })}/>
    ${names.length > 1 || family !== names[0] ? html`<${Legend} lines=${legend} hidden=${new Set(names.filter((name, index) => hidden(name, index)))} onToggle=${toggle}/>` : null}
    ${also.length ? html`<${Legend} lines=${also.map((line) => ({ ...line, faint: false }))}/>` : null}
</section>`;
}

const inside = ({ x, y, ...line }, { from, to }) => {
  const keep = x.map((step) => (!from || step >= Number(from)) && (!to || step <= Number(to)));
  return { ...line, x: Float64Array.from(x.filter((_, index) => keep[index])), y: y.filter((_, index) => keep[index]) };
};

function linesOf(shown, names, curves, beside, options) {
  const own = shown.map((name) => curves[name]);
  const others = beside.map((line) => inside(line, options)).filter((line) => line.x.length);
  const [x, ...ys] = alignCurves([...own, ...others]);
  const wide = (curve, column) => curve[column] && placeOnAxis(curve.x, x, curve[column]);
  const lines = shown.flatMap((name, at) => {
    const curve = curves[name];
    const index = names.indexOf(name);
    const dense = curve.x.length * MARGIN > x.length;
    const base = { label: name, ...look(index), points: curve.x.length < 40 };
    const raw = { ...base, y: ys[at], bad: wide(curve, "bad"), lo: wide(curve, "lo"), hi: wide(curve, "hi") };
    if (!options.smooth || !dense) return [raw];
    return [{ ...raw, faint: true, lo: null, hi: null, label: `${name} raw` }, { ...base, y: smooth(ys[at], options.smooth) }];
  });
  const asides = others.map((line, at) => ({ ...line, y: ys[own.length + at], aside: true, faint: line.ghost, colour: line.plan ? colour(1) : colour(7), dash: line.plan ? [3, 3] : [] }));
  return [x, [...asides, ...lines]];
}
