// A run and its curves: asked for whole in the binary form, then longer by what is streamed.
import { useEffect, useRef, useState } from "./html.js";
import { get, query } from "./api.js";
import { curvesOf, getColumns } from "./columns.js";
import { cut, extended, nothing } from "./curves.js";
import { follow } from "./live.js";

export const POINTS = 1200;
const LONG = 6 * POINTS; // streamed points beyond this are asked for again, in buckets
export const OVER = new Set(["succeeded", "failed", "cancelled"]);

// {run, error, live, curves, tick, refresh}: `tick` grows with every change of the curves.
export function useRun(id, from, to) {
  const [run, setRun] = useState(null);
  const [error, setError] = useState(null);
  const [live, setLive] = useState(false);
  const [tick, setTick] = useState(0);
  const [again, setAgain] = useState(0);
  const curves = useRef({});
  const latest = useRef(null);
  const keep = (found) => {
    latest.current = found;
    setRun(found);
  };
  const refresh = () => get(`/v1/runs/${id}`).then(keep, setError);
  useEffect(() => {
    const control = new AbortController();
    const load = async () => {
      try {
        const found = await get(`/v1/runs/${id}`, { signal: control.signal });
        if (Object.keys(found.series).length) {
          const message = await getColumns(`/v1/runs/${id}/series${query({ points: POINTS, from, to })}`, { signal: control.signal });
          curves.current = Object.fromEntries(curvesOf(message).map(({ name, curve }) => [name, curve]));
          setTick((n) => n + 1);
        }
        keep(found);
      } catch (refusal) {
        if (refusal.name !== "AbortError") setError(refusal);
      }
    };
    load();
    return () => control.abort();
  }, [id, from, to, again]);
  const known = run !== null;
  const over = known && OVER.has(run.state);
  useEffect(() => {
    if (!known || over) return undefined;
    let waiting = false;
    const redraw = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; setTick((n) => n + 1); });
    };
    const reach = (step) => {
      if (step > latest.current.step) keep({ ...latest.current, step, progress: Math.min(step / latest.current.total_steps, 1) });
    };
    return follow(`/v1/runs/${id}/events?from=latest`, {
      points: (data) => {
        reach(data.upto);
        if (to) return; // a closed window does not grow
        for (const [name, columns] of Object.entries(data.series)) {
          const longer = extended(curves.current[name] || nothing(), columns);
          curves.current[name] = longer;
          if (longer.x.length > LONG) setAgain(latest.current.step);
        }
        redraw();
      },
      cut: (data) => {
        for (const name of Object.keys(curves.current)) curves.current[name] = cut(curves.current[name], data.from_step);
        keep({ ...latest.current, step: Math.min(latest.current.step, data.from_step) });
        refresh();
        redraw();
      },
      other: refresh,
      state: refresh,
      end: refresh,
      lost: () => setLive(false),
      back: () => setLive(true),
    });
  }, [id, known, over, to]);
  return { run, error, live: live && !over, tick, curves: curves.current, refresh };
}
