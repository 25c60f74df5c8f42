// A menu at a place of the window: arrows move, Enter and a click choose, Escape and a click elsewhere close it.
import { html, useEffect, useRef } from "./html.js";

// `at`: {x, y} of its upper right corner; items: [{label, act, disabled, kind}], null where there is a line between.
export function Menu({ at, label, items, close }) {
  const node = useRef(null);
  useEffect(() => {
    const opener = document.activeElement;
    const box = node.current;
    box.style.left = `${Math.max(8, Math.min(at.x - box.offsetWidth, window.innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${Math.max(8, Math.min(at.y, window.innerHeight - box.offsetHeight - 8))}px`;
    box.querySelector("button:not(:disabled)")?.focus();
    const outside = (event) => box.contains(event.target) || close();
    document.addEventListener("pointerdown", outside);
    window.addEventListener("hashchange", close);
    return () => {
      document.removeEventListener("pointerdown", outside);
      window.removeEventListener("hashchange", close);
      if (box.contains(document.activeElement) || document.activeElement === document.body) opener?.focus?.();
    };
  }, []);
  const keys = (event) => {
    event.stopPropagation(); // the page's own keys rest
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    if (!by) return;
    event.preventDefault();
    const buttons = [...node.current.querySelectorAll("button:not(:disabled)")];
    buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length]?.focus();
  };
  return html`<div class="menu" role="menu" aria-label=${label} ref=${node} onKeyDown=${keys}>${items.map((item, index) => (item === null ? html`<hr key=${index}/>`
    : html`<button key=${index} type="button" role="menuitem" class=${item.kind || ""} disabled=${item.disabled} onClick=${() => { close(); item.act(); }}>${item.label}</button>`))}</div>`;
}
