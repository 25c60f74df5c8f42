// What arrives once a view is laid out waits until somebody asks for it, so that nothing they look at moves.
import { useEffect, useState } from "./html.js";

const PATIENCE_MS = 1500; // until a view is laid out without what has not come

// `live`: more may come, so that what takes its time is not waited for. {laid, shown, late, reveal}: whether all of it can be drawn, the ids that stand there in their order, and those that wait.
export function useHeld(ready, ids, live) {
  const [shown, show] = useState(null);
  const [waited, wait] = useState(false);
  useEffect(() => {
    if (!live) return undefined;
    const timer = setTimeout(() => wait(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [live]);
  const laid = shown !== null;
  useEffect(() => {
    if (!laid && (ready || waited)) show(ids);
  }, [laid, ready, waited]);
  const late = laid ? ids.filter((id) => !shown.includes(id)) : [];
  return { laid, shown: shown ?? [], late, reveal: () => show([...ids, ...shown.filter((id) => !ids.includes(id))]) };
}
