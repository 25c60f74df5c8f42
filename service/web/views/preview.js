// The planned rate, drawn as it is typed.
import { html } from "../lib/html.js";
import { post } from "../lib/api.js";
import { Chart, colour } from "../lib/chart.js";
import { useRequest } from "../lib/components.js";
import { t } from "../lib/words.js";

export function Preview({ spec }) {
  const lr = Array.isArray(spec.optimizer) ? spec.optimizer[0]?.lr : spec.optimizer?.lr;
  const steps = spec.steps || spec.epochs || 100;
  const asked = { schedule: spec.schedule || { kind: "constant" }, lr, steps, points: 300 };
  const { value } = useRequest((signal) => (lr ? post("/v1/schedules/preview", asked, { signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return null; // the check says what is wrong, at its field
  }) : Promise.resolve(null)), [JSON.stringify(asked)]);
  if (!value) return null;
  const lines = [{ label: "lr", y: value.rates, colour: colour(0), dash: [] }];
  return html`<section class="panel"><h3>${t("preview")}</h3><${Chart} x=${value.steps} lines=${lines} height=${150}
    xLabel=${spec.schedule_unit === "epoch" || !spec.steps ? t("axis.epoch") : t("axis.step")} label=${t("preview")}/></section>`;
}
