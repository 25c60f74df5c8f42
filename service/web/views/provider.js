// Back from an OpenID provider: hand its answer to the server, with the invitation that was opened before, if any.
import { html, useEffect, useState } from "../lib/html.js";
import { href, navigate } from "../lib/address.js";
import { post } from "../lib/api.js";
import { Problems } from "../lib/components.js";
import { forgetInvitation, invitationToken, tellOtherTabs } from "../lib/entering.js";
import { t } from "../lib/words.js";

export function ProviderReturn({ me, search, done }) {
  const [error, setError] = useState(null);
  useEffect(() => {
    const [code, state] = [search.get("code"), search.get("state")];
    window.history.replaceState(null, "", "#/provider");
    if (!code || !state) return setError({ message: t("provider.refused") });
    const invitation = me ? "none" : invitationToken();
    post("/v1/provider/finish", { code, state, ...(invitation === "none" ? {} : { invitation }) }).then((found) => {
      if (invitation !== "none") forgetInvitation();
      tellOtherTabs();
      navigate(me ? ["account"] : ["experiments"]);
      done(found);
    }, setError);
    return undefined;
  }, []);
  return html`<main class="signin"><h1>Saddle</h1>${error ? html`<${Problems} error=${error}/><p><a href=${href(["experiments"])}>${t("place.experiments")}</a></p>` : html`<p class="empty">${t("loading")}</p>`}</main>`;
}
