// Small components and hooks that every view uses: states, problems, buttons, requests.
import { html, useEffect, useRef, useState } from "./html.js";
import { ApiError, get, useReconnect } from "./api.js";
import { escapeInvisible, escapeProse, formatAge } from "./format.js";
import { t, translate } from "./words.js";

const STATE_SYMBOLS = {
  queued: "◌", running: "▶", paused: "❚❚", succeeded: "✓", failed: "✕", cancelled: "–", pausing: "▷", cancelling: "▷",
};

export function StateLabel({ state }) {
  return html`<span class=${`state ${state}`}><span aria-hidden="true">${STATE_SYMBOLS[state] || "•"}</span> ${t(`state.${state}`)}</span>`;
}

// How long ago a moment was.
export function Ago({ at }) {
  return html`<time datetime=${at} title=${at}>${t("ago", { age: formatAge(at) })}</time>`;
}

// A choice among `options`, each a value that `told` writes out; `set` gets the one that is chosen.
export function Select({ label, value, options, told = escapeInvisible, set, ...rest }) {
  return html`<label>${label} <select value=${value} onChange=${(event) => set(event.target.value)} ...${rest}>${options.map((each) => html`<option key=${each} value=${each}>${told(each)}</option>`)}</select></label>`;
}

// User text with its line breaks.
export function Prose({ text }) {
  return html`<span class="prose">${escapeProse(text)}</span>`;
}

// What the server says: in the language of the page where that has words for its code, else marked as English.
export function Said({ text, code, limit }) {
  const { text: told, lang, rest } = translate(text || "", code, Array.isArray(limit) ? { limit: limit.join(", ") } : Object(limit));
  return html`<span class="prose" lang=${lang}>${escapeProse(told)}${rest ? html`<span lang="en">${escapeProse(rest)}</span>` : null}</span>`;
}

// An error with all its problems: the field of each, the allowed range, and a suggestion.
export function Problems({ error }) {
  if (!error) return null;
  const problems = error.problems || [];
  const title = translate("", error.code).text;
  return html`<div class="refusal" role="alert">
    <p><strong>${title}${title && (problems.length || !error.status) ? null : html` <${Said} text=${error.message}/>`}</strong>${error.instance ? html` <small>${error.instance}</small>` : null}</p>
    ${problems.length ? html`<ul>${problems.map((each) => html`<li>
      <code>${escapeInvisible(each.pointer || "/")}</code> <${Said} text=${each.detail} code=${each.code} limit=${each.limit}/>
      ${each.limit !== undefined && each.limit !== null ? html` <small>${t("problem.limit", { limit: escapeInvisible(JSON.stringify(each.limit)) })}</small>` : null}
      ${each.did_you_mean ? html` <em>${t("problem.meant", { word: escapeInvisible(each.did_you_mean) })}</em>` : null}
    </li>`)}</ul>` : null}
  </div>`;
}

export function EmptyState({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

// Sends once, and again whenever a dependency changes, `again` is called or the server is back; drops outdated responses.
export function useRequest(send, dependencies) {
  const [result, set] = useState({ loading: true });
  const [round, setRound] = useState(0);
  const again = () => setRound((n) => n + 1);
  useReconnect(() => result.loading || again()); // one that is under way is sent again by itself
  useEffect(() => {
    const control = new AbortController();
    set((before) => ({ ...before, loading: true }));
    send(control.signal).then(
      (value) => control.signal.aborted || set({ value, loading: false }),
      (error) => control.signal.aborted || set((before) => ({ value: before.value, error, loading: false })),
    );
    return () => control.abort();
  }, [...dependencies, round]);
  return { ...result, again };
}

// What a path of the API answers, asked for again when one of `news` changes; null asks nothing.
export const useGet = (path, news = [], read = get) => useRequest((signal) => (path ? read(path, { signal }) : Promise.resolve(null)), [path, ...news]);

// In place of an answer: why there is none, or that it is on its way.
export function Pending({ error }) {
  return error ? html`<${Problems} error=${error}/>` : html`<p class="empty">${t("loading")}</p>`;
}

// Calls `callback` at an interval while the page is visible.
export function useInterval(milliseconds, callback, dependencies = []) {
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && callback(), milliseconds);
    return () => clearInterval(timer);
  }, dependencies);
}

export function ActionButton({ label, act, kind = "", disabled = false }) {
  const [state, set] = useState({});
  const press = async () => {
    set({ busy: true });
    try {
      await act();
      set({});
    } catch (error) {
      set({ error: error instanceof ApiError ? error : new ApiError(0, { detail: String(error) }) });
    }
  };
  return html`<span class="action"><button type="button" class=${kind} disabled=${disabled || state.busy} onClick=${press}>
    ${label}</button>${state.error ? html`<${Problems} error=${state.error}/>` : null}</span>`;
}

// A page served over plain HTTP has no clipboard API: execCommand copies a selection there.
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "hidden" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error(t("copy.failed"));
  return undefined;
}

export function CopyButton({ text, label }) {
  const [done, set] = useState(false);
  const copy = async () => {
    await copyText(text);
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" onClick=${copy}>${done ? t("copied") : label}</button>`;
}

// The tab's title says what its view shows.
const PRODUCT = "Saddle";

export function setTitle(...parts) {
  const told = parts.filter(Boolean).map(escapeInvisible).join(" · ");
  document.title = told ? `${told} · ${PRODUCT}` : PRODUCT;
}

// Called without parts while they are not known yet: the title stays what it was.
export function useTitle(...parts) {
  const known = parts.some(Boolean);
  useEffect(() => { if (known) setTitle(...parts); }, parts);
}

// A dialog that asks for confirmation or for more input before an action.
// `children` explain the action, `act` performs it (async), `close` runs afterwards or on dismissal.
export function Dialog({ title, label, act, close, kind = "primary", disabled = false, children }) {
  const node = useRef(null);
  const [state, set] = useState({});
  useEffect(() => {
    const opener = document.activeElement;
    node.current.showModal();
    return () => opener?.focus?.();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    set({ busy: true });
    try {
      await act(new FormData(event.target));
      close();
    } catch (error) {
      set({ error });
    }
  };
  return html`<dialog ref=${node} onClose=${close} aria-label=${title}><form onSubmit=${submit}><h2>${title}</h2>${children}
    ${state.error ? html`<${Problems} error=${state.error}/>` : null}
    <div class="bar"><button type="submit" class=${kind} disabled=${disabled || state.busy}>${label}</button>
      <button type="button" onClick=${close}>${t("leave")}</button></div></form></dialog>`;
}

// The name that somebody gives, in a form.
export const NameField = ({ label = t("column.name"), ...input }) => html`<label>${label} <input type="text" name="name" required maxlength="128" autofocus ...${input}/></label>`;

// A button that opens a dialog.
export function DialogButton({ button, disabled, kind = "", ...dialog }) {
  const [open, setOpen] = useState(false);
  return html`<span class="action"><button type="button" class=${kind} disabled=${disabled} onClick=${() => setOpen(true)}>${button}</button>
    ${open ? html`<${Dialog} kind=${kind} ...${dialog} close=${() => setOpen(false)}/>` : null}</span>`;
}

// What this page need not offer, because the server would refuse it: it decides, this only says so beforehand.
export const isAdmin = (me) => me.level === "admin" || me.level === "server";

export const useProject = () => useGet("/v1/project").value;

// Why somebody may not change what `owner` made; empty where they may.
export function refusal(me, owner, project, shared = false) {
  if (shared) return t("right.shared");
  if (isAdmin(me)) return "";
  if (me.level === "read") return t("right.read");
  return owner === me.member || project?.members_manage ? "" : t("right.owner", { owner: escapeInvisible(owner) });
}

// A PNG in base64, painted: the page's policy loads no image from text.
export function Picture({ png, label, side }) {
  const canvas = useRef(null);
  useEffect(() => {
    let gone = false;
    const blob = new Blob([Uint8Array.from(atob(png), (each) => each.charCodeAt(0))], { type: "image/png" });
    createImageBitmap(blob).then((bitmap) => {
      if (gone || !canvas.current) return;
      Object.assign(canvas.current, { width: bitmap.width, height: bitmap.height });
      canvas.current.getContext("2d").drawImage(bitmap, 0, 0);
    }, () => {});
    return () => { gone = true; };
  }, [png]);
  return html`<canvas ref=${canvas} role="img" aria-label=${label} title=${label} style=${{ width: side ? `${side}px` : "100%", imageRendering: "pixelated" }}></canvas>${side ? null : html`<p><small>${label}</small></p>`}`;
}
