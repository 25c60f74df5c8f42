// Small pieces that every view uses: states, refusals, empty places, buttons that wait.
import { html, useEffect, useState } from "./html.js";
import { Refusal } from "./api.js";
import { useReturn } from "./connection.js";
import { prose, visible } from "./format.js";
import { t } from "./words.js";

const SHAPES = {
  queued: "◌", running: "▶", paused: "❚❚", succeeded: "✓", failed: "✕", cancelled: "–", pausing: "▷", cancelling: "▷",
};

export function State({ state }) {
  return html`<span class=${`state ${state}`}><span aria-hidden="true">${SHAPES[state] || "•"}</span> ${t(`state.${state}`)}</span>`;
}

// What somebody wrote in several lines, as it was written.
export function Prose({ text }) {
  return html`<span class="prose">${prose(text)}</span>`;
}

// Everything that is wrong, each with its place, the allowed range and what was probably meant.
export function Problems({ error }) {
  if (!error) return null;
  const problems = error.problems || [];
  return html`<div class="refusal" role="alert">
    <p><strong><${Prose} text=${error.message}/></strong>${error.instance ? html` <small>${error.instance}</small>` : null}</p>
    ${problems.length ? html`<ul>${problems.map((each) => html`<li>
      <code>${visible(each.pointer || "/")}</code> <${Prose} text=${each.detail}/>
      ${each.limit !== undefined && each.limit !== null ? html` <small>${t("problem.limit", { limit: visible(JSON.stringify(each.limit)) })}</small>` : null}
      ${each.did_you_mean ? html` <em>${t("problem.meant", { word: visible(each.did_you_mean) })}</em>` : null}
    </li>`)}</ul>` : null}
  </div>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

// Asks once, and again whenever what it depends on changes or the server is back; an answer that comes too late is dropped.
export function useAsked(ask, needs) {
  const [found, set] = useState({ loading: true });
  const [returns, again] = useState(0);
  useReturn(() => again((n) => n + 1));
  useEffect(() => {
    const control = new AbortController();
    set((before) => ({ ...before, loading: true }));
    ask(control.signal).then(
      (value) => control.signal.aborted || set({ value, loading: false }),
      (error) => control.signal.aborted || set((before) => ({ value: before.value, error, loading: false })),
    );
    return () => control.abort();
  }, [...needs, returns]);
  return found;
}

// Runs `look` now and then while the page is seen.
export function useEvery(milliseconds, look, needs = []) {
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && look(), milliseconds);
    return () => clearInterval(timer);
  }, needs);
}

export function Action({ label, act, kind = "", disabled = false }) {
  const [state, set] = useState({});
  const press = async () => {
    set({ busy: true });
    try {
      await act();
      set({});
    } catch (error) {
      set({ error: error instanceof Refusal ? error : new Refusal(0, { detail: String(error) }) });
    }
  };
  return html`<span class="action"><button type="button" class=${kind} disabled=${disabled || state.busy} onClick=${press}>
    ${label}</button>${state.error ? html`<${Problems} error=${state.error}/>` : null}</span>`;
}

// A page that came over plain HTTP has no clipboard: there the old command copies a selection.
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "hidden" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error(t("copy.failed"));
  return undefined;
}

export function Copy({ text, label }) {
  const [done, set] = useState(false);
  const copy = async () => {
    await copied(text);
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" onClick=${copy}>${done ? t("copied") : label}</button>`;
}
