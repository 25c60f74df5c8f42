// Coming in: by a key, a password or a provider, through an invitation, or as another account.
import { forgetHandedKey, forgetInvitation, invitationToken, signIn, tellOtherTabs } from "../lib/entering.js";
import { absoluteUrl, ActionButton, ask, Dialog, escapeInvisible, href, html, navigate, post, Problems, t, useEffect, useGet, useRequest, useState } from "../lib/page.js";

// A form that hands its fields to `act` (async) and shows what was wrong.
export function SignInForm({ act, label, children }) {
  const [state, set] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    set({ busy: true });
    try {
      await act(Object.fromEntries(new FormData(event.target)));
    } catch (error) {
      set({ error });
    }
  };
  return html`<form onSubmit=${submit}>${children}<button class="primary" disabled=${state.busy}>${label}</button>
    <${Problems} error=${state.error}/></form>`;
}

export const Field = ({ label, ...input }) => html`<label>${label}<input type="text" spellcheck="false" ...${input}/></label>`;

export function PasswordFields({ fresh }) {
  return html`<${Field} label=${t("sign.password")} name="password" type="password" required minlength=${fresh ? 12 : null}
    autocomplete=${fresh ? "new-password" : "current-password"}/>${fresh ? html`<small>${t("sign.password.hint")}</small>` : null}`;
}

export function ProviderButton() {
  const { value } = useGet("/v1/sign_in");
  if (!value?.provider) return null;
  return html`<p><a class="button" href=${absoluteUrl("/v1/provider/start")}>${t("sign.provider", { name: escapeInvisible(value.provider) })}</a></p>`;
}

export function SignIn({ done }) {
  return html`<main class="signin"><h1>Saddle</h1><p>${t("sign.why")}</p>
    <${ProviderButton}/>
    <${SignInForm} label=${t("sign.in")} act=${async ({ name, password }) => done(await signIn({ name, password }))}>
      <${Field} label=${t("sign.name")} name="name" autocomplete="username" required autofocus/><${PasswordFields}/></${SignInForm}>
    <h2>${t("sign.or")}</h2>
    <${SignInForm} label=${t("sign.with")} act=${async ({ key }) => done(await signIn({ key: key.trim() }))}>
      <${Field} label=${t("sign.key")} name="key" type="password" autocomplete="off" required/></${SignInForm}>
    <p class="hint">${t("sign.where")}<br/><code>python3 run.py status</code> · <code>docker compose run --rm migrate python -m service.db key</code></p></main>`;
}

// Asks before a link signs this browser over to another account. The link itself says nothing that is shown here.
export function SwitchAccount({ me, asked, done }) {
  const leave = () => { forgetHandedKey(); done(); };
  return html`<${Dialog} title=${t("switch.title")} label=${t("switch.do")} close=${leave} act=${async () => done(await signIn({ key: asked }))}>
    <p>${t("switch.text", { who: `${escapeInvisible(me.member)} · ${escapeInvisible(me.project)}` })}</p></${Dialog}>`;
}

// Back from an OpenID provider: hand its answer to the server, with the invitation that was opened before, if any.
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

// A link that works once: into a project, as somebody new or with the account that is signed in; or to a new password.
export function Invitation({ me, done }) {
  const token = invitationToken();
  const { value, error } = useRequest((signal) => ask("/v1/invitations/open", { token }, { signal }), [token]);
  const entered = (found) => {
    forgetInvitation();
    tellOtherTabs();
    navigate(["experiments"]);
    done(found);
  };
  if (error) return html`<main class="signin"><h1>Saddle</h1><${Problems} error=${error}/><p><a href="#/experiments">${t("place.experiments")}</a></p></main>`;
  if (!value) return html`<main class="signin"><p class="empty">${t("loading")}</p></main>`;
  return html`<main class="signin">${value.project === null
    ? html`<${SetPassword} token=${token} account=${value.account} entered=${entered}/>`
    : html`<h1>${t("invited.title", { project: escapeInvisible(value.project) })}</h1>
      <p>${t("invited.text", { by: escapeInvisible(value.made_by), role: t(`role.${value.role}`) })}</p>
      ${me && !me.key_id ? html`<${Join} token=${token} me=${me} entered=${entered}/>` : html`<${JoinAsNew} token=${token} email=${value.email} done=${done} entered=${entered}/>`}`}</main>`;
}

function SetPassword({ token, account, entered }) {
  return html`<h1>${t("invited.password", { name: escapeInvisible(account) })}</h1>
    <${SignInForm} label=${t("invited.set")} act=${async ({ password }) => entered(await post("/v1/invitations/accept", { token, password }))}>
      <${PasswordFields} fresh/></${SignInForm}>`;
}

function Join({ token, me, entered }) {
  return html`<p>${t("invited.as", { name: escapeInvisible(me.member) })}</p>
    <${ActionButton} kind="primary" label=${t("invited.join")} act=${async () => entered(await post("/v1/projects/join", { token }))}/>`;
}

function JoinAsNew({ token, email, done, entered }) {
  const accept = async ({ name, email: address, password }) =>
    entered(await post("/v1/invitations/accept", { token, name, password, ...(address ? { email: address } : {}) }));
  return html`<${ProviderButton}/><h2>${t("invited.new")}</h2>
    <${SignInForm} label=${t("invited.join")} act=${accept}>
      <${Field} label=${t("invited.name")} name="name" autocomplete="username" required maxlength="60"/>
      <${Field} label=${t("invited.email")} name="email" type="email" autocomplete="email" defaultValue=${email || ""}/>
      <${PasswordFields} fresh/></${SignInForm}>
    <h2>${t("invited.known")}</h2>
    <${SignInForm} label=${t("sign.in")} act=${async ({ name, password }) => done(await signIn({ name, password }))}>
      <${Field} label=${t("sign.name")} name="name" autocomplete="username" required/><${PasswordFields}/></${SignInForm}>`;
}
