// Coming in: a key, once; the browser gets a session for it, where no script can read it.
import { html, useState } from "../lib/html.js";
import { Problems } from "../lib/components.js";
import { Dialog } from "../lib/dialog.js";
import { forgetHandedKey, signIn } from "../lib/entering.js";
import { escapeInvisible } from "../lib/format.js";
import { t } from "../lib/words.js";

export function SignIn({ done }) {
  const [error, setError] = useState(null);
  const enter = async (event) => {
    event.preventDefault();
    try {
      done(await signIn({ key: new FormData(event.target).get("key").trim() }));
    } catch (refusal) {
      setError(refusal);
    }
  };
  return html`<main class="signin"><h1>Saddle</h1><p>${t("sign.why")}</p>
    <form onSubmit=${enter}><label>${t("sign.key")}
      <input name="key" type="password" autocomplete="current-password" required autofocus spellcheck="false"/></label>
      <button>${t("sign.in")}</button></form>
    <${Problems} error=${error}/>
    <p class="hint">${t("sign.where")}<br/><code>python3 run.py status</code> · <code>docker compose run --rm migrate python -m service.db key</code></p></main>`;
}


// Asks before a link signs this browser over to another account. The link itself says nothing that is shown here.
export function SwitchAccount({ me, asked, done }) {
  const leave = () => { forgetHandedKey(); done(); };
  return html`<${Dialog} title=${t("switch.title")} label=${t("switch.do")} close=${leave} act=${async () => done(await signIn({ key: asked }))}>
    <p>${t("switch.text", { who: `${escapeInvisible(me.member)} · ${escapeInvisible(me.project)}` })}</p></${Dialog}>`;
}
