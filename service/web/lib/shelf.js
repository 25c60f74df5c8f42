// The project's experiments as the table needs them: the first page at once, the others behind it, and live from then on.
import { useEffect, useRef, useState } from "./html.js";
import { get, query } from "./api.js";
import { useReturn } from "./connection.js";
import { followProject } from "./live.js";

const FIRST = 100;
const PAGE = 200;
const ALL = 10_000; // loaded without being asked for; what lies beyond comes by scrolling
const AT_ONCE = 25; // ids that one filter has room for
const SOON_MS = 30;
const PATIENCE_MS = 700; // news of one experiment are put together for so long

// Newer items in the place of those with the same id; unknown ones in front, where the newest are.
export function merged(items, newer, atFront) {
  const fresh = new Map(newer.map((item) => [item.id, item]));
  const kept = items.map((item) => fresh.get(item.id) || item);
  if (!atFront) return kept;
  const known = new Set(items.map((item) => item.id));
  return [...newer.filter((item) => !known.has(item.id)), ...kept];
}

// Asks anew for what the stream names, a moment later and all together; what is not in the list asks for the first page.
function useNews(asked, state, put) {
  useEffect(() => {
    const dirty = new Set();
    const control = new AbortController();
    let timer = 0;
    const look = async () => {
      timer = 0;
      if (!state.current.items) return heard("", SOON_MS); // not loaded
      const known = new Set((state.current.items || []).map((item) => item.id));
      const ids = [...dirty].filter((id) => known.has(id));
      const strangers = [...dirty].some((id) => !known.has(id));
      dirty.clear();
      try {
        for (let at = 0; at < ids.length; at += AT_ONCE) {
          const some = `id IN (${ids.slice(at, at + AT_ONCE).join(", ")})`;
          const { columns } = asked;
          const answer = await get(`/v1/experiments${query({ filter: some, columns, archived: true, limit: AT_ONCE })}`, { signal: control.signal });
          put((before) => ({ ...before, items: merged(before.items, answer.items, false) }));
        }
        if (!strangers) return;
        const answer = await get(`/v1/experiments${query({ ...asked, limit: FIRST })}`, { signal: control.signal });
        put((before) => ({ ...before, items: merged(before.items || [], answer.items, !asked.sort) }));
      } catch {
        // the next news ask again
      }
    };
    const heard = (id, wait = PATIENCE_MS) => {
      if (id) dirty.add(id);
      timer ||= setTimeout(look, wait);
    };
    const end = followProject({
      run: (event) => heard(event.experiment_id),
      runs: ({ runs }) => runs.forEach((each) => heard(each.experiment_id)),
      reset: () => heard("what is new", SOON_MS), // no id of the list: the first page is read anew
    });
    return () => {
      end();
      control.abort();
      clearTimeout(timer);
    };
  }, [JSON.stringify(asked)]);
}

// {items, next, error, more, again, drop, replace}: `asked` holds filter, sort, columns and archived, as the route takes them.
export function useShelf(asked) {
  const [page, set] = useState({ items: null, next: null });
  const [round, turn] = useState(0);
  const state = useRef(page);
  state.current = page;
  const put = (change) => set((before) => change(before));
  const load = async (cursor, limit, signal) => {
    const answer = await get(`/v1/experiments${query({ ...asked, limit, cursor })}`, { signal });
    set((before) => ({ items: cursor ? [...before.items, ...answer.items] : answer.items, next: answer.next_cursor }));
    return answer;
  };
  useEffect(() => {
    const control = new AbortController();
    const all = async () => {
      try {
        let { next_cursor: cursor } = await load(undefined, FIRST, control.signal);
        for (let size = FIRST; cursor && size < ALL; size += PAGE) cursor = (await load(cursor, PAGE, control.signal)).next_cursor;
      } catch (error) {
        if (error.name !== "AbortError") set((before) => ({ ...before, items: before.items || [], error }));
      }
    };
    set((before) => ({ ...before, error: undefined, stale: true }));
    all();
    return () => control.abort();
  }, [JSON.stringify(asked), round]);
  useReturn(() => turn((n) => n + 1));
  useNews(asked, state, put);
  const drop = (ids) => set((before) => ({ ...before, items: before.items.filter((item) => !ids.has(item.id)) }));
  const replace = (items) => set((before) => ({ ...before, items: merged(before.items, items, false) }));
  return { ...page, more: () => load(page.next, PAGE), again: () => turn((n) => n + 1), drop, replace };
}
