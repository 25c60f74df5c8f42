// A link that works once: into a project, as somebody new or with the account that is signed in; or to a new password.
import { forgetInvitation, invitationToken, signIn, tellOtherTabs } from "../lib/entering.js";
import { ActionButton, ask, escapeInvisible, html, navigate, post, Problems, t, useRequest } from "../lib/page.js";
import { Field, PasswordFields, ProviderButton, SignInForm } from "./signin.js";

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
