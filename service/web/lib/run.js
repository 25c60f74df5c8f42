// A run and its curves: asked for whole in the binary form, then followed from the position that they were read at.
import { useEffect, useRef, useState } from "./html.js";
import { get, query } from "./api.js";
import { curvesOf, getColumns } from "./columns.js";
import { useReturn } from "./connection.js";
import { extended, nothing } from "./curves.js";
import { follow } from "./live.js";

export const POINTS = 1200;
const LONG = 6 * POINTS; // streamed points beyond this are asked for again, in buckets
export const OVER = new Set(["succeeded", "failed", "cancelled"]);

// {run, error, live, curves, tick, refresh}: `tick` grows with every change of the curves; `live` is undefined before it is known.
export function useRun(id, from, to) {
  const [run, setRun] = useState(null);
  const [error, setError] = useState(null);
  const [live, setLive] = useState(undefined);
  const [tick, setTick] = useState(0);
  const [round, turn] = useState(0);
  const curves = useRef({});
  const latest = useRef(null);
  const keep = (found) => {
    latest.current = found;
    setRun(found);
    setError(null);
  };
  const again = () => turn((n) => n + 1);
  const refresh = () => get(`/v1/runs/${id}`).then(keep, setError);
  useReturn(again);
  useEffect(() => {
    const control = new AbortController();
    let end = () => {};
    let waiting = false;
    const redraw = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; setTick((n) => n + 1); });
    };
    const points = (data) => {
      if (data.upto > latest.current.step) keep({ ...latest.current, step: data.upto, progress: Math.min(data.upto / latest.current.total_steps, 1) });
      if (to) return; // a closed window does not grow
      for (const [name, columns] of Object.entries(data.series)) curves.current[name] = extended(curves.current[name] || nothing(), columns);
      if (Object.values(curves.current).some((curve) => curve.x.length > LONG)) again();
      redraw();
    };
    const load = async () => {
      const { signal } = control;
      const found = await get(`/v1/runs/${id}`, { signal });
      const message = await getColumns(`/v1/runs/${id}/series${query({ points: POINTS, from, to })}`, { signal });
      curves.current = Object.fromEntries(curvesOf(message).map(({ name, curve }) => [name, curve]));
      keep(found);
      redraw();
      if (OVER.has(found.state)) return;
      // after a cut curves are read anew: a bucket may hold both what it took back and what stays
      const moved = { points, cut: again, state: refresh, end: refresh, other: refresh };
      end = follow(`/v1/runs/${id}/events`, message.position, { ...moved, lost: () => setLive(false), back: () => setLive(true) });
    };
    load().catch((refusal) => refusal.name === "AbortError" || setError(refusal));
    return () => {
      control.abort();
      end();
    };
  }, [id, from, to, round]);
  return { run, error, live: run && OVER.has(run.state) ? undefined : live, tick, curves: curves.current, refresh };
}
