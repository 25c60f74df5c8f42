// A run and its curves: loads them in the binary form, then follows the stream from the position they were read at.
import { useEffect, useRef, useState } from "./html.js";
import { followRun, get, queryString, useReconnect } from "./api.js";
import { getColumns, toCurves } from "./columns.js";
import { emptyCurve, extendCurve } from "./curves.js";

export const MAX_POINTS = 1200;
const RELOAD_AT_POINTS = 6 * MAX_POINTS; // a longer curve is reloaded in buckets
export const TERMINAL_STATES = new Set(["succeeded", "failed", "cancelled"]);

// {run, error, live, curves, tick, refresh}: `tick` grows with every change of the curves; `live` is undefined before it is known.
export function useRun(id, from, to) {
  const [run, setRun] = useState(null);
  const [error, setError] = useState(null);
  const [live, setLive] = useState(undefined);
  const [tick, setTick] = useState(0);
  const [round, setRound] = useState(0);
  const curves = useRef({});
  const latest = useRef(null);
  const storeRun = (loaded) => {
    latest.current = loaded;
    setRun(loaded);
    setError(null);
  };
  const reload = () => setRound((n) => n + 1);
  const refresh = () => get(`/v1/runs/${id}`).then(storeRun, setError);
  useReconnect(reload);
  useEffect(() => {
    const control = new AbortController();
    let end = () => {};
    let isDrawScheduled = false;
    const redraw = () => {
      if (isDrawScheduled) return;
      isDrawScheduled = true;
      requestAnimationFrame(() => { isDrawScheduled = false; setTick((n) => n + 1); });
    };
    const points = (data) => {
      if (data.upto > latest.current.step) storeRun({ ...latest.current, step: data.upto, progress: Math.min(data.upto / latest.current.total_steps, 1) });
      if (to) return; // a closed window does not grow
      for (const [name, columns] of Object.entries(data.series)) curves.current[name] = extendCurve(curves.current[name] || emptyCurve(), columns);
      if (Object.values(curves.current).some((curve) => curve.x.length > RELOAD_AT_POINTS)) reload();
      redraw();
    };
    const load = async () => {
      const { signal } = control;
      const loaded = await get(`/v1/runs/${id}`, { signal });
      const message = await getColumns(`/v1/runs/${id}/series${queryString({ points: MAX_POINTS, from, to })}`, { signal });
      curves.current = Object.fromEntries(toCurves(message).map(({ name, curve }) => [name, curve]));
      storeRun(loaded);
      redraw();
      if (TERMINAL_STATES.has(loaded.state)) return;
      // a cut reloads the curves: a bucket may hold both superseded and remaining steps
      const handlers = { points, cut: reload, state: refresh, end: refresh, other: refresh };
      end = followRun(`/v1/runs/${id}/events`, message.position, { ...handlers, onDisconnect: () => setLive(false), onConnect: () => setLive(true) });
    };
    load().catch((failure) => failure.name === "AbortError" || setError(failure));
    return () => {
      control.abort();
      end();
    };
  }, [id, from, to, round]);
  return { run, error, live: run && TERMINAL_STATES.has(run.state) ? undefined : live, tick, curves: curves.current, refresh };
}
