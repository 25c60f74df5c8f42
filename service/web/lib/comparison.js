// A comparison that follows its runs: asked once, then read again when they change, never more often than it costs.
import { useEffect, useRef, useState } from "./html.js";
import { ask, followProject, get } from "./api.js";
import { useRequest } from "./components.js";

export const MOST_COMPARED = 500; // experiments: the server takes no more
const LEAST_WAIT_MS = 2000;
const WAIT_PER_COST = 4; // times what the last answer took: at most a fifth of the time is spent on answers

// {value, error, loading} of a question; null asks nothing.
export function useComparison(question) {
  const key = JSON.stringify(question);
  const [fresh, set] = useState(null); // {key, value} of a later reading
  const asked = useRequest((signal) => (question ? ask("/v1/comparisons", question, { signal }) : Promise.resolve(null)), [key]);
  const current = fresh?.key === key && fresh.id === asked.value?.id ? fresh.value : asked.value;
  const shown = useRef(null);
  shown.current = current;
  const id = asked.value?.id;
  useEffect(() => {
    if (!id) return undefined;
    const control = new AbortController();
    let timer = 0;
    let wait = LEAST_WAIT_MS;
    const concerns = ({ experiment_id: experiment }) => !experiment || shown.current?.groups.some((group) => group.trials.includes(experiment));
    const read = async () => {
      const began = performance.now();
      try {
        const value = await get(`/v1/comparisons/${id}`, { signal: control.signal });
        set({ key, id, value });
      } catch {
        // the next event tries again
      }
      wait = Math.max(LEAST_WAIT_MS, WAIT_PER_COST * (performance.now() - began));
      timer = 0;
    };
    const hear = (event) => {
      if (!timer && document.visibilityState === "visible" && (question.filter || concerns(event))) timer = setTimeout(read, wait);
    };
    let isFirst = true; // what the stream says when it opens: nothing is outdated yet
    const reset = () => { if (!isFirst) hear({}); isFirst = false; };
    const end = followProject({ run: hear, runs: ({ runs }) => runs.forEach(hear), reset });
    return () => { end(); control.abort(); clearTimeout(timer); };
  }, [id]);
  return { ...asked, value: current };
}
