// The page: who is here, where they are, and the view that belongs there.
import { html, render, useEffect, useMemo, useState } from "./lib/html.js";
import { href, parseAddress, useAddress } from "./lib/address.js";
import { ConnectionNotice, onSignedOut } from "./lib/api.js";
import { Boundary, UncaughtErrors } from "./lib/boundary.js";
import { setTitle } from "./lib/components.js";
import { enter, onChange, signOut, takeInvitation, tellOtherTabs } from "./lib/entering.js";
import { escapeInvisible } from "./lib/format.js";
import { lazy, loadTheRest } from "./lib/lazy.js";
import { CHOICES, LookButton } from "./lib/look.js";
import { Palette, useShortcuts } from "./lib/keyboard.js";
import { UndoNotice } from "./lib/undo.js";
import { currentLanguage, findText, LANGUAGES, setLanguage, t } from "./lib/words.js";
import { Account, ProjectSwitch } from "./views/account.js";
import { Invitation, ProviderReturn, SignIn, SwitchAccount } from "./views/signin.js";

const VIEWS = {
  account: Account,
  experiments: lazy(() => import("./views/experiments.js"), "Experiments"),
  experiment: lazy(() => import("./views/experiment.js"), "Experiment"),
  run: lazy(() => import("./views/run.js"), "Run"),
  studies: lazy(() => import("./views/study.js"), "Studies"),
  study: lazy(() => import("./views/study.js"), "StudyPage"),
  compare: lazy(() => import("./views/compare.js"), "Compare"),
  report: lazy(() => import("./views/report.js"), "Report"),
  new: lazy(() => import("./views/new.js"), "New"),
  workers: lazy(() => import("./views/workers.js"), "Workers"),
  bin: lazy(() => import("./views/bin.js"), "Bin"),
  keys: lazy(() => import("./views/keys.js"), "Keys"),
  notifications: lazy(() => import("./views/notifications.js"), "Notifications"),
  audit: lazy(() => import("./views/audit.js"), "Audit"),
  members: lazy(() => import("./views/project.js"), "Members"),
  project: lazy(() => import("./views/project.js"), "Project"),
  admin: lazy(() => import("./views/admin.js"), "Admin"),
};
const PLACES = ["experiments", "studies", "compare", "new", "workers", "project", "members", "bin", "keys", "notifications"];
const SELDOM = new Set(["bin", "keys", "notifications", "audit"]); // folded away in the head
const placesOf = (me) => [
  ...(me.project_id ? PLACES : []), ...(me.project_id && (me.level === "admin" || me.level === "server") ? ["audit"] : []), ...(me.level === "server" ? ["admin"] : []),
];

function App() {
  const [me, setMe] = useState(undefined); // undefined: not known yet; null: nobody
  const [asked, setAsked] = useState(null); // a key of another account that a link brought
  const [, redraw] = useState(0);
  takeInvitation();
  const { path, search } = useAddress();
  const come = () => enter().then((found) => { setMe(found.me); setAsked(found.asked); }, () => setMe(null));
  useEffect(() => {
    onSignedOut(() => setMe(null));
    onChange(come);
    come();
  }, []);
  useShortcuts(me);
  useMemo(() => setTitle(findText(`place.${path[0] || "experiments"}`)), [path.join("/"), currentLanguage()]); // before the view, which may say more
  if (me === undefined) return null;
  const entered = (found) => { setMe(found); tellOtherTabs(); };
  if (path[0] === "provider") return html`<${ProviderReturn} me=${me} search=${search} done=${setMe}/>`;
  if (path[0] === "invitation") return html`<${Invitation} me=${me} done=${setMe}/>`;
  if (me === null) return html`<${SignIn} done=${setMe}/>`;
  const place = me.project_id ? path[0] || "experiments" : "account"; // whoever is in no project sees no other place
  const View = VIEWS[place];
  return html`<header>
    <a class="brand" href=${href([])}>Saddle</a>
    <${Places} places=${placesOf(me)} place=${place}/>
    ${me.key_expires_soon ? html`<a class="wrong" href=${href(["keys"])}>${t("key.expires", { date: me.key_expires_at.slice(0, 10) })}</a>` : null}
    <span class="who"><a href=${href(["account"])} title=${t("place.account")}>${escapeInvisible(me.member)}</a> · <${ProjectSwitch} me=${me} entered=${entered}/></span>
    <${Palette} places=${placesOf(me)} redraw=${() => redraw((n) => n + 1)}/>
    ${CHOICES.map((name) => html`<${LookButton} key=${name} name=${name}/>`)}
    <select aria-label=${t("language")} value=${currentLanguage()} onChange=${async (event) => { await setLanguage(event.target.value); redraw((n) => n + 1); }}>
      ${Object.entries(LANGUAGES).map(([word, name]) => html`<option value=${word}>${name}</option>`)}</select>
    <button type="button" onClick=${async () => { await signOut(); setMe(null); }}>${t("sign.out")}</button>
  </header>
  <main id="main" tabindex="-1">${View ? html`<${Boundary}><${View} key=${[me.account_id, me.project_id, ...path.slice(0, 2)].join("/")} path=${path.slice(1)} search=${search} me=${me} entered=${entered}/></${Boundary}>`
    : html`<p class="empty">${t("nowhere")} <a href=${href([])}>${t("place.experiments")}</a></p>`}</main>
  ${asked ? html`<${SwitchAccount} me=${me} asked=${asked} done=${(found) => { setAsked(null); if (found) setMe(found); }}/>` : null}`;
}

// The pages; those that are seldom needed unfold.
function Places({ places, place }) {
  const [open, setOpen] = useState(false);
  const link = (each) => html`<a key=${each} href=${href([each])} aria-current=${place === each ? "page" : null} onClick=${() => setOpen(false)}>${t(`place.${each}`)}</a>`;
  const seldom = places.filter((each) => SELDOM.has(each));
  return html`<nav aria-label=${t("places")}>${places.filter((each) => !SELDOM.has(each)).map(link)}
    ${seldom.length ? html`<details class="more" open=${open} onToggle=${(event) => setOpen(event.target.open)}><summary aria-current=${SELDOM.has(place) ? "page" : null}>${t("places.more")}</summary><div class="panel">${seldom.map(link)}</div></details>` : null}</nav>`;
}

VIEWS[parseAddress().path[0] || "experiments"]?.ready?.().catch(() => {}); // while it is asked who is here
loadTheRest();
const root = document.getElementById("app");
root.replaceChildren(); // what was there while this loaded
render(html`<${Boundary}><${App}/></${Boundary}><div class="notices"><${UndoNotice}/><${ConnectionNotice}/><${UncaughtErrors}/></div>`, root);
