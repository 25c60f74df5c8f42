// A question that must be answered before something is done that cannot be undone, or that needs a word more.
import { html, useEffect, useRef, useState } from "./html.js";
import { Problems } from "./parts.js";
import { t } from "./words.js";

// `children` say what will happen; `act` does it and is waited for; `close` is called either way.
export function Dialog({ title, label, act, close, kind = "primary", disabled = false, children }) {
  const node = useRef(null);
  const [state, set] = useState({});
  useEffect(() => {
    const opener = document.activeElement;
    node.current.showModal();
    return () => opener?.focus?.();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    set({ busy: true });
    try {
      await act(new FormData(event.target));
      close();
    } catch (error) {
      set({ error });
    }
  };
  return html`<dialog ref=${node} onClose=${close} aria-label=${title}><form onSubmit=${submit}><h2>${title}</h2>${children}
    ${state.error ? html`<${Problems} error=${state.error}/>` : null}
    <div class="bar"><button type="submit" class=${kind} disabled=${disabled || state.busy}>${label}</button>
      <button type="button" onClick=${close}>${t("leave")}</button></div></form></dialog>`;
}

// A button that asks first.
export function Asking({ button, disabled, kind = "", ...dialog }) {
  const [open, setOpen] = useState(false);
  return html`<span class="action"><button type="button" class=${kind} disabled=${disabled} onClick=${() => setOpen(true)}>${button}</button>
    ${open ? html`<${Dialog} kind=${kind} ...${dialog} close=${() => setOpen(false)}/>` : null}</span>`;
}
