// A dialog that asks for confirmation or for more input before an action.
import { html, useEffect, useRef, useState } from "./html.js";
import { Problems } from "./components.js";
import { t } from "./words.js";

// `children` explain the action, `act` performs it (async), `close` runs afterwards or on dismissal.
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

// A button that opens a dialog.
export function DialogButton({ button, disabled, kind = "", ...dialog }) {
  const [open, setOpen] = useState(false);
  return html`<span class="action"><button type="button" class=${kind} disabled=${disabled} onClick=${() => setOpen(true)}>${button}</button>
    ${open ? html`<${Dialog} kind=${kind} ...${dialog} close=${() => setOpen(false)}/>` : null}</span>`;
}
