// Items that arrive after a view is laid out stay hidden until the user reveals them, so that the layout never jumps.
import { useEffect, useState } from "./html.js";

const MAX_WAIT_MS = 1500; // a live view is laid out after this time, complete or not

// `live`: more items may come, so the view waits for at most MAX_WAIT_MS. Returns {isLaidOut, shown, pending, reveal}:
// whether the view can be drawn, the ids to show in their order, the ids that wait, and the function that shows them.
export function useDeferred(ready, ids, live) {
  const [shown, setShown] = useState(null);
  const [timedOut, setTimedOut] = useState(false);
  useEffect(() => {
    if (!live) return undefined;
    const timer = setTimeout(() => setTimedOut(true), MAX_WAIT_MS);
    return () => clearTimeout(timer);
  }, [live]);
  const isLaidOut = shown !== null;
  useEffect(() => {
    if (!isLaidOut && (ready || timedOut)) setShown(ids);
  }, [isLaidOut, ready, timedOut]);
  const pending = isLaidOut ? ids.filter((id) => !shown.includes(id)) : [];
  return { isLaidOut, shown: shown ?? [], pending, reveal: () => setShown([...ids, ...shown.filter((id) => !ids.includes(id))]) };
}
