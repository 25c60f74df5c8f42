// Of a long list only the rows that can be seen, and a few beyond, are in the document; the rest is empty height.
import { useEffect, useState } from "./html.js";

const BEYOND = 12; // rows above and below, so that the keyboard always finds the next one

// {first, end} of `count` rows of one height, by the scrolled `holder`.
export function windowOf(top, height, rowHeight, count) {
  const first = Math.max(0, Math.floor(top / rowHeight) - BEYOND);
  const end = Math.min(count, Math.ceil((top + height) / rowHeight) + BEYOND);
  return { first: Math.min(first, count), end: Math.max(end, 0) };
}

export function useWindow(holder, rowHeight, count) {
  const [shown, set] = useState(() => windowOf(0, window.innerHeight, rowHeight, count));
  useEffect(() => {
    const node = holder.current;
    if (!node) return undefined;
    let waiting = false;
    const look = () => {
      waiting = false;
      const found = windowOf(node.scrollTop, node.clientHeight, rowHeight, count);
      set((before) => (before.first === found.first && before.end === found.end ? before : found));
    };
    const soon = () => {
      if (!waiting) requestAnimationFrame(look);
      waiting = true;
    };
    look();
    node.addEventListener("scroll", soon, { passive: true });
    const sizes = new ResizeObserver(soon);
    sizes.observe(node);
    return () => {
      node.removeEventListener("scroll", soon);
      sizes.disconnect();
    };
  }, [holder.current, rowHeight, count]);
  return shown;
}
