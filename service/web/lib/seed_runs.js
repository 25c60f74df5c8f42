// The runs of experiments that are shown: one for each seed, asked for once, and again where there are more.
import { useEffect, useRef, useState } from "./html.js";
import { get, queryString } from "./api.js";

const IDS_PER_REQUEST = 20; // the length of a filter is limited
const PAGE = 200; // runs

const countOf = (item) => Object.values(item.runs).reduce((sum, n) => sum + n, 0);
const stampOf = (item) => `${item.id}:${countOf(item)}`;

async function runsOf(items, signal) {
  const found = [];
  for (let at = 0; at < items.length; at += IDS_PER_REQUEST) {
    const ids = items.slice(at, at + IDS_PER_REQUEST).map((item) => item.id);
    let cursor;
    do {
      const page = await get(`/v1/runs${queryString({ filter: `experiment IN (${ids.join(", ")})`, fields: "id,experiment_id,relation,task,seed", limit: PAGE, cursor })}`, { signal });
      found.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor);
  }
  return found.filter((run) => !run.relation && !run.task);
}

// {experiment id: [run id]} of items with points, first seed first; until it is known, the first seed alone.
export function useSeedRuns(items) {
  const [known, set] = useState({}); // by experiment: {stamp, runs}
  const latest = useRef(known);
  latest.current = known;
  const withPoints = items.filter((item) => item.main);
  const missing = withPoints.filter((item) => countOf(item) > 1 && known[item.id]?.stamp !== stampOf(item));
  const key = missing.map(stampOf).join();
  useEffect(() => {
    if (!key) return undefined;
    const control = new AbortController();
    runsOf(missing, control.signal).then((runs) => set({
      ...latest.current,
      ...Object.fromEntries(missing.map((item) => [item.id, { stamp: stampOf(item), runs: runs.filter((run) => run.experiment_id === item.id).sort((one, other) => one.seed - other.seed).map((run) => run.id) }])),
    })).catch(() => {}); // the first seeds are drawn
    return () => control.abort();
  }, [key]);
  return Object.fromEntries(withPoints.map((item) => [item.id, known[item.id]?.runs.length ? known[item.id].runs : [item.main.run_id]]));
}
