// The log of a run: what its worker said, and what the training itself wrote, followed while it goes on.
import { absoluteUrl, escapeInvisible, formatCount, get, html, t, useEffect, useRef, useState } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";

const SHOWN = 500; // lines; the file has all of them
const EVERY_MS = 1500;
const place = (line) => `${line.attempt}.${line.number}`;

export function RunLog({ run }) {
  const { lines, more, error } = useLog(run.id, TERMINAL_STATES.has(run.state));
  const box = useRef(null);
  const isAtEnd = useRef(true);
  useEffect(() => { if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight; }, [lines]);
  const follow = ({ target }) => { isAtEnd.current = target.scrollTop + target.clientHeight > target.scrollHeight - 8; };
  return html`<section class="log">
    ${error ? html`<p class="warnings">${escapeInvisible(error.message)}</p>` : null}
    ${more ? html`<p class="hint">${t("log.newest", { n: formatCount(SHOWN) })}</p>` : null}
    ${lines === null ? html`<p class="empty">${t("loading")}</p>` : lines.length === 0 ? html`<p class="hint">${t("log.none")}</p>`
    : html`<pre class="quoted" tabindex="0" aria-label=${t("tab.log")} ref=${box} onScroll=${follow}>${lines.map((line) => html`<span key=${place(line)} class=${`line ${line.source} ${line.level}`}><time datetime=${line.at} title=${line.at}>${clock(line.at)}</time> ${line.attempt > 1 ? `[${line.attempt}] ` : ""}${line.source === "output" ? "> " : ""}${escapeInvisible(line.text)}</span>`)}</pre>`}
    <p><a href=${absoluteUrl(`/v1/runs/${run.id}/log.txt`)} download>${t("log.file")}</a> <span class="hint">${t("log.marks")}</span></p></section>`;
}

const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

// The newest lines, and those that come while the run goes on.
function useLog(id, over) {
  const [state, setState] = useState({ lines: null, more: false, error: null });
  useEffect(() => setState({ lines: null, more: false, error: null }), [id]);
  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    let last = null;
    const read = async () => {
      try {
        const query = last ? `cursor=${last}` : "newest=true";
        const { items, next_cursor: next } = await get(`/v1/runs/${id}/log?limit=${SHOWN}&${query}`, { signal: stop.signal });
        const isFirst = last === null;
        if (items.length) last = place(items.at(-1));
        setState(({ lines, more }) => {
          const all = isFirst ? items : [...lines, ...items];
          return { lines: all.slice(-SHOWN), more: more || all.length > SHOWN || (isFirst && items.length === SHOWN), error: null };
        });
        if (next) return read();
      } catch (error) {
        if (stop.signal.aborted) return undefined;
        setState((before) => ({ ...before, error }));
      }
      if (!over) timer = setTimeout(read, EVERY_MS);
      return undefined;
    };
    read();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [id, over]);
  return state;
}
