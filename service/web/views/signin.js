// Coming in: a key, once; the browser keeps it where no script can read it.
import { html, useState } from "../lib/html.js";
import { requestJson } from "../lib/api.js";
import { Problems } from "../lib/components.js";
import { t } from "../lib/words.js";

export function SignIn({ done }) {
  const [error, setError] = useState(null);
  const enter = async (event) => {
    event.preventDefault();
    try {
      done(await requestJson("POST", "/v1/session", { key: new FormData(event.target).get("key").trim() }));
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
