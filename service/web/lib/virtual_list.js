// A virtual list: only the visible rows, and a few beyond, are in the document; the rest is empty height.
import { useEffect, useState } from "./html.js";

const OVERSCAN = 12; // rows above and below, so that the keyboard always finds the next one

// {first, end} of `count` rows of one height, from the scroll position of the container.
export function visibleRange(top, height, rowHeight, count) {
  const first = Math.max(0, Math.floor(top / rowHeight) - OVERSCAN);
  const end = Math.min(count, Math.ceil((top + height) / rowHeight) + OVERSCAN);
  return { first: Math.min(first, count), end: Math.max(end, 0) };
}

export function useVisibleRange(container, rowHeight, count) {
  const [shown, set] = useState(() => visibleRange(0, window.innerHeight, rowHeight, count));
  useEffect(() => {
    const node = container.current;
    if (!node) return undefined;
    let isScheduled = false;
    const update = () => {
      isScheduled = false;
      const found = visibleRange(node.scrollTop, node.clientHeight, rowHeight, count);
      set((before) => (before.first === found.first && before.end === found.end ? before : found));
    };
    const schedule = () => {
      if (!isScheduled) requestAnimationFrame(update);
      isScheduled = true;
    };
    update();
    node.addEventListener("scroll", schedule, { passive: true });
    const sizes = new ResizeObserver(schedule);
    sizes.observe(node);
    return () => {
      node.removeEventListener("scroll", schedule);
      sizes.disconnect();
    };
  }, [container.current, rowHeight, count]);
  return shown;
}
