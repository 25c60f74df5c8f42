// Beside a run's curves: who executed it, what is kept of it, what happened.
import { absoluteUrl, escapeInvisible, formatAge, formatBytes, formatCount, formatNumber, get, href, html, Prose, t, useRequest } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";

export function Attempts({ id, attempt, state }) {
  const { value } = useRequest((signal) => get(`/v1/runs/${id}/attempts`, { signal }), [id, attempt, state]);
  const items = value?.items || [];
  return html`<section><h2>${t("attempts")}</h2>${items.length ? html`<table class="list"><thead><tr>
    ${["attempt", "worker", "from", "ending"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead><tbody>
    ${items.map((each) => html`<tr key=${each.attempt} class=${each.cut_step === null ? "" : "superseded"}><td class="number">${each.attempt}</td>
      <td>${escapeInvisible(each.worker)}${each.environment?.pack ? html`<br/><small>${t("packed.with", { n: each.environment.pack.runs })}</small>` : null}<${Environment} of=${each.environment}/></td><td class="number">${formatCount(each.start_step)}${each.cut_step === null ? "" : html` <small>${t("cut.at", { step: formatCount(each.cut_step) })}</small>`}</td>
      <td>${escapeInvisible(each.ending || t("state.running"))}${each.detail ? html`<br/><small><${Prose} text=${each.detail}/></small>` : null}</td></tr>`)}</tbody></table>`
    : html`<p class="hint">${t(TERMINAL_STATES.has(state) ? "attempts.never" : "attempts.none")}</p>`}</section>`;
}

// What the attempt ran on: a package, a plug-in's too, with its version.
function Environment({ of }) {
  if (!of) return null;
  const rows = Object.entries(of).flatMap(([name, value]) => (value && typeof value === "object" ? Object.entries(value) : [[name, value]]));
  return html`<details><summary>${t("environment")}</summary><dl>${rows.filter(([, value]) => value !== null)
    .map(([name, value]) => html`<div key=${name}><dt>${escapeInvisible(name)}</dt><dd>${escapeInvisible(String(value))}</dd></div>`)}</dl></details>`;
}

export function Checkpoints({ run }) {
  const { value } = useRequest((signal) => get(`/v1/runs/${run.id}/checkpoints`, { signal }), [run.id, run.checkpoint_step, run.state]);
  const items = (value?.items || []).filter((each) => !each.removed_at);
  return html`<section><h2>${t("checkpoints")}</h2>${items.length ? html`<table class="list"><thead><tr>
    ${["step", "reason", "size", "actions"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead><tbody>
    ${items.map((each) => html`<tr key=${`${each.attempt}-${each.step}`} class=${each.damaged ? "superseded" : ""}><td class="number">${formatCount(each.step)}</td>
      <td>${escapeInvisible(each.reason)}${each.value === null || each.value === undefined ? "" : ` ${formatNumber(each.value)}`}</td><td class="number">${formatBytes(each.size_bytes)}</td>
      <td><a href=${absoluteUrl(`/v1/runs/${run.id}/checkpoints/${each.step}/tensors.safetensors`)} download>${t("download")}</a>${" "}
        <a href=${absoluteUrl(`/v1/runs/${run.id}/model?step=${each.step}`)} download>${t("model")}</a>
        ${each.damaged ? null : html` <a href=${href(["new"], { fork: run.id, step: each.step })}>${t("fork")}</a>`}</td></tr>`)}</tbody></table><p><a href=${absoluteUrl(`/v1/runs/${run.id}/card.md`)}>${t("card")}</a></p>`
    : html`<p class="hint">${t(TERMINAL_STATES.has(run.state) ? "checkpoints.never" : "checkpoints.none")}</p>`}</section>`;
}

export function History({ items }) {
  return html`<section><h2>${t("history")}</h2><ol class="history">${items.filter(({ kind }) => kind !== "checkpoint" && kind !== "reading").map((event) => html`<li key=${event.id}>
    <time datetime=${event.at} title=${event.at}>${t("ago", { age: formatAge(event.at) })}</time> <strong>${escapeInvisible(event.data.state || event.kind)}</strong>
    ${Object.entries(event.data).filter(([name, value]) => name !== "state" && typeof value !== "object").map(([name, value]) => html` <small>${escapeInvisible(name)} ${escapeInvisible(value)}</small>`)}</li>`)}</ol></section>`;
}
