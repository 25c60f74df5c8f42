// A virtual list: only the visible rows, and a few beyond, are in the document; the rest is empty height. While the list
// flies past, a window and more at a time, the few beyond wait until it rests: no key is pressed before that. Its rows may
// be filled anew instead of made anew then, for all of them are others than before, and none of them keeps the focus.
import { useEffect, useRef, useState } from "./html.js";

const OVERSCAN = 12; // rows above and below, so that the keyboard always finds the next one
const RESTED_MS = 100;

// {first, end} of `count` rows of one height, from the scroll position of the container.
export function visibleRange(top, height, rowHeight, count, overscan = OVERSCAN) {
  const first = Math.max(0, Math.floor(top / rowHeight) - overscan);
  const end = Math.min(count, Math.ceil((top + height) / rowHeight) + overscan);
  return { first: Math.min(first, count), end: Math.max(end, 0) };
}

// The range that is seen, and whether the list is flying.
export function useVisibleRange(container, rowHeight, count) {
  const [shown, set] = useState(() => ({ ...visibleRange(0, window.innerHeight, rowHeight, count), isFlying: false }));
  useEffect(() => {
    const node = container.current;
    if (!node) return undefined;
    let isScheduled = false;
    let timer = 0;
    let last = node.scrollTop;
    const show = (isFlying) => {
      const found = visibleRange(node.scrollTop, node.clientHeight, rowHeight, count, isFlying ? 0 : OVERSCAN);
      set((before) => (before.first === found.first && before.end === found.end ? before : { ...found, isFlying }));
    };
    const update = () => {
      isScheduled = false;
      clearTimeout(timer);
      const isFlying = Math.abs(node.scrollTop - last) > node.clientHeight;
      last = node.scrollTop;
      if (isFlying) {
        timer = setTimeout(show, RESTED_MS, false);
        if (node.contains(document.activeElement?.closest("[data-row]"))) document.activeElement.blur();
      }
      show(isFlying);
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
      clearTimeout(timer);
      node.removeEventListener("scroll", schedule);
      sizes.disconnect();
    };
  }, [container.current, rowHeight, count]);
  return shown;
}

// A key for each row that is seen, by its id: while the list flies, new rows take over the keys of those that are gone.
export function useKeys(ids, isFlying) {
  const known = useRef(new Map());
  const made = useRef(0);
  const kept = new Map(ids.filter((id) => known.current.has(id)).map((id) => [id, known.current.get(id)]));
  const free = isFlying ? [...known.current].filter(([id]) => !kept.has(id)).map(([, key]) => key) : [];
  known.current = new Map(ids.map((id) => [id, kept.get(id) ?? free.shift() ?? (made.current += 1)]));
  return known.current;
}

// The value, but while something is pressed in the container the one of before: a row that moved, or whose node became
// another's, between the press and the release would lose the click.
export function useHeld(container, value) {
  const [isPressed, press] = useState(false);
  const last = useRef(value);
  useEffect(() => {
    const node = container.current;
    const down = ({ target }) => target !== node && press(true); // its own is the scroll bar
    const up = () => setTimeout(press, 0, false); // after the click, which follows the release
    node.addEventListener("pointerdown", down);
    const ends = ["pointerup", "pointercancel"];
    ends.forEach((name) => window.addEventListener(name, up));
    return () => {
      node.removeEventListener("pointerdown", down);
      ends.forEach((name) => window.removeEventListener(name, up));
    };
  }, []);
  if (!isPressed) last.current = value;
  return last.current;
}
