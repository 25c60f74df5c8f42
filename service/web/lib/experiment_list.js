// The project's experiments for the table: loads the first page, then the others, then follows live updates.
import { useEffect, useRef, useState } from "./html.js";
import { followProject, get, queryString, useReconnect } from "./api.js";

const FIRST_PAGE_SIZE = 100;
const PAGE_SIZE = 200;
const MAX_PRELOADED = 10_000; // experiments; the rest loads on scrolling
const IDS_PER_REQUEST = 25; // the length of a filter is limited
const SHORT_DELAY_MS = 30;
const BATCH_MS = 700; // updates within this time share one request

// Replaces items of the same id; unknown ones go to the front, where the newest are.
export function mergeItems(items, newer, atFront) {
  const fresh = new Map(newer.map((item) => [item.id, item]));
  const updated = items.map((item) => fresh.get(item.id) || item);
  if (!atFront) return updated;
  const known = new Set(items.map((item) => item.id));
  return [...newer.filter((item) => !known.has(item.id)), ...updated];
}

// Reloads, in batches, the experiments that the event stream names; an unknown one reloads the first page.
function useLiveUpdates(parameters, latest, update) {
  useEffect(() => {
    const changedIds = new Set();
    const control = new AbortController();
    let timer = 0;
    const refresh = async () => {
      timer = 0;
      if (!latest.current.items) return schedule("", SHORT_DELAY_MS); // not loaded
      const known = new Set((latest.current.items || []).map((item) => item.id));
      const ids = [...changedIds].filter((id) => known.has(id));
      const hasUnknown = [...changedIds].some((id) => !known.has(id));
      changedIds.clear();
      try {
        for (let at = 0; at < ids.length; at += IDS_PER_REQUEST) {
          const filter = `id IN (${ids.slice(at, at + IDS_PER_REQUEST).join(", ")})`;
          const { columns } = parameters;
          const response = await get(`/v1/experiments${queryString({ filter, columns, archived: true, limit: IDS_PER_REQUEST })}`, { signal: control.signal });
          update((before) => ({ ...before, items: mergeItems(before.items, response.items, false) }));
        }
        if (!hasUnknown) return;
        const response = await get(`/v1/experiments${queryString({ ...parameters, limit: FIRST_PAGE_SIZE })}`, { signal: control.signal });
        update((before) => ({ ...before, items: mergeItems(before.items || [], response.items, !parameters.sort) }));
      } catch {
        // the next event tries again
      }
    };
    const schedule = (id, wait = BATCH_MS) => {
      if (id) changedIds.add(id);
      timer ||= setTimeout(refresh, wait);
    };
    const end = followProject({
      run: (event) => schedule(event.experiment_id),
      runs: ({ runs }) => runs.forEach((each) => schedule(each.experiment_id)),
      reset: () => schedule("unknown", SHORT_DELAY_MS), // no id of the list, so the first page is reloaded
    });
    return () => {
      end();
      control.abort();
      clearTimeout(timer);
    };
  }, [JSON.stringify(parameters)]);
}

// {items, next, error, more, reload, drop, replace}; `parameters` holds filter, sort, columns and archived, as the route takes them.
export function useExperimentList(parameters) {
  const [page, set] = useState({ items: null, next: null });
  const [round, setRound] = useState(0);
  const latest = useRef(page);
  latest.current = page;
  const update = (change) => set((before) => change(before));
  const load = async (cursor, limit, signal) => {
    const response = await get(`/v1/experiments${queryString({ ...parameters, limit, cursor })}`, { signal });
    set((before) => ({ items: cursor ? [...before.items, ...response.items] : response.items, next: response.next_cursor }));
    return response;
  };
  useEffect(() => {
    const control = new AbortController();
    const loadAll = async () => {
      try {
        let { next_cursor: cursor } = await load(undefined, FIRST_PAGE_SIZE, control.signal);
        for (let size = FIRST_PAGE_SIZE; cursor && size < MAX_PRELOADED; size += PAGE_SIZE) cursor = (await load(cursor, PAGE_SIZE, control.signal)).next_cursor;
      } catch (error) {
        if (error.name !== "AbortError") set((before) => ({ ...before, items: before.items || [], error }));
      }
    };
    set((before) => ({ ...before, error: undefined, stale: true }));
    loadAll();
    return () => control.abort();
  }, [JSON.stringify(parameters), round]);
  useReconnect(() => setRound((n) => n + 1));
  useLiveUpdates(parameters, latest, update);
  const drop = (ids) => set((before) => ({ ...before, items: before.items.filter((item) => !ids.has(item.id)) }));
  const replace = (items) => set((before) => ({ ...before, items: mergeItems(before.items, items, false) }));
  return { ...page, more: () => load(page.next, PAGE_SIZE), reload: () => setRound((n) => n + 1), drop, replace };
}
