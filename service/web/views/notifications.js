// Channels: where messages go, on which events; a test of each, and what became of the last messages.
import { ActionButton, Ago, CopyButton, DialogButton, EmptyState, escapeInvisible, formatAge, formatCount, formatSeconds, html, isAdmin, List, NameField, patch, Pending, post, Problems, Prose, remove, t, useGet, useState } from "../lib/page.js";

const EVENTS = ["run_succeeded", "run_failed", "run_diverged", "finding_fault", "queue_stuck", "quota_near", "mention"];
const USUAL = ["run_failed", "run_diverged", "queue_stuck", "quota_near", "mention"];
const KINDS = ["webhook", "slack", "email"];
const BUNDLES = [0, 60, 300, 900, 3600, 86400]; // seconds

export function Notifications({ me }) {
  const [made, setMade] = useState(null); // its secret is shown once
  const { value, error, again: reload } = useGet("/v1/channels");
  if (!value) return html`<${Pending} error=${error}/>`;
  const admin = isAdmin(me);
  const list = (shared) => value.items.filter((channel) => channel.shared === shared);
  return html`<h1>${t("place.notifications")}</h1><p class="hint">${t("channel.about")}</p>
    ${made?.secret ? html`<${Secret} made=${made} close=${() => setMade(null)}/>` : null}
    <${Channels} title=${t("channel.mine")} items=${list(false)} shared=${false} reload=${reload} show=${setMade}/>
    ${admin ? html`<${Channels} title=${t("channel.shared")} items=${list(true)} shared=${true} reload=${reload} show=${setMade}/>` : null}`;
}

function Secret({ made, close }) {
  return html`<div class="warnings" role="status"><p>${t("channel.secret", { name: escapeInvisible(made.name) })}</p>
    <p><code>${made.secret}</code> <${CopyButton} text=${made.secret} label=${t("copy")}/> <button type="button" onClick=${close}>${t("close")}</button></p></div>`;
}

function Channels({ title, items, shared, reload, show }) {
  const make = async (form) => {
    show(await post("/v1/channels", { ...read(form), kind: form.get("kind"), address: form.get("address"), shared }));
    reload();
  };
  return html`<h2>${title}</h2>${items.length ? null : html`<${EmptyState} title=${t("channel.none")}/>`}
    ${items.map((channel) => html`<${Channel} key=${channel.id} channel=${channel} reload=${reload} show=${show}/>`)}
    <p><${DialogButton} button=${t("channel.new")} title=${t("channel.new")} label=${t("channel.make")} kind="primary" act=${make}><${Fields} shared=${shared}/></${DialogButton}></p>`;
}

const read = (form) => ({
  name: form.get("name"), events: EVENTS.filter((each) => form.get(each)), bundle_s: Number(form.get("bundle_s")), own_only: Boolean(form.get("own_only")),
});

function Fields({ shared, channel }) {
  const chosen = channel ? channel.events : USUAL;
  return html`${channel ? null : html`<label>${t("channel.kind")} <select name="kind">${KINDS.map((kind) => html`<option value=${kind}>${t(`channel.kind.${kind}`)}</option>`)}</select></label>
    <label>${t("channel.address")} <input type="text" name="address" spellcheck="false" placeholder="https://"/><small class="hint">${t(shared ? "channel.address.shared" : "channel.address.mine")}</small></label>`}
    <${NameField} value=${channel ? channel.name : t("channel.name")}/>
    <fieldset><legend>${t("channel.events")}</legend>${EVENTS.map((each) => html`<label key=${each} class="check"><input type="checkbox" name=${each} checked=${chosen.includes(each)}/> ${t(`event.${each}`)}</label>`)}</fieldset>
    ${shared ? null : html`<label class="check"><input type="checkbox" name="own_only" checked=${channel ? channel.own_only : true}/> ${t("channel.own")}</label>`}
    <label>${t("channel.bundle")} <select name="bundle_s">${[...new Set([...BUNDLES, channel ? channel.bundle_s : 300])].sort((a, b) => a - b).map((seconds) => html`
      <option value=${seconds} selected=${seconds === (channel ? channel.bundle_s : 300)}>${seconds ? t("channel.every", { time: formatSeconds(seconds) }) : t("channel.each")}</option>`)}</select></label>`;
}

function Channel({ channel, reload, show }) {
  const [tried, setTried] = useState(null);
  const [open, setOpen] = useState(false);
  const at = `/v1/channels/${channel.id}`;
  const after = (work) => async (...given) => {
    await work(...given);
    reload();
  };
  const change = after((form) => patch(at, channel.shared ? { ...read(form), own_only: undefined } : read(form)));
  return html`<section class="panel channel"><h3>${escapeInvisible(channel.name)} <small>${t(`channel.kind.${channel.kind}`)} · <span class="address">${escapeInvisible(channel.address)}</span></small></h3>
    <p class="facts">${channel.events.map((each) => t(`event.${each}`)).join(", ") || t("channel.nothing")}${channel.own_only ? ` · ${t("channel.own")}` : ""} · ${channel.bundle_s ? t("channel.every", { time: formatSeconds(channel.bundle_s) }) : t("channel.each")}</p>
    <${Trouble} channel=${channel}/>
    <div class="bar"><${ActionButton} label=${t("channel.test")} act=${async () => { setTried(null); setTried(await post(`${at}/test`)); }}/>
      <button type="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>${t("channel.deliveries")}</button>
      <${DialogButton} button=${t("change")} title=${escapeInvisible(channel.name)} label=${t("save")} act=${change}><${Fields} shared=${channel.shared} channel=${channel}/></${DialogButton}>
      <${ActionButton} label=${t(channel.disabled_at ? "channel.start" : "stop")} act=${after(() => patch(at, { enabled: Boolean(channel.disabled_at) }))}/>
      ${channel.kind === "webhook" ? html`<${DialogButton} button=${t("channel.rotate")} title=${t("channel.rotate")} label=${t("channel.rotate")} act=${async () => show(await post(`${at}/rotate`))}><p>${t("channel.rotate.text")}</p></${DialogButton}>` : null}
      <${DialogButton} button=${t("delete")} title=${t("channel.delete.title", { name: escapeInvisible(channel.name) })} label=${t("delete")} kind="danger" act=${after(() => remove(at))}><p>${t("channel.delete.text")}</p></${DialogButton}></div>
    ${tried ? html`<p role="status" class=${tried.delivered ? "live" : "lost"}>${t(tried.delivered ? "channel.arrived" : "channel.failed")} ${tried.status || ""} <${Prose} text=${tried.detail || ""}/></p>` : null}
    ${open ? html`<${Deliveries} at=${at} tried=${tried}/>` : null}</section>`;
}

function Trouble({ channel }) {
  if (channel.disabled_at) return html`<p class="lost">${t("channel.disabled", { age: formatAge(channel.disabled_at) })} <${Prose} text=${channel.disabled_why || ""}/></p>`;
  if (channel.failures) return html`<p class="wrong">${t("channel.failing", { n: formatCount(channel.failures), age: formatAge(channel.failing_since) })}</p>`;
  return null;
}

function Deliveries({ at, tried }) {
  const { value, error } = useGet(`${at}/deliveries`, [tried]);
  if (!value) return html`<${Problems} error=${error}/>`;
  if (!value.items.length) return html`<p class="hint">${t("channel.unused")}</p>`;
  const kindsOf = ({ events }) => `${[...new Set(events.map(({ kind }) => kind))].map((kind) => t(`event.${kind}`)).join(", ")} ${events.length > 1 ? `(${formatCount(events.length)})` : ""}`;
  return html`<${List} columns=${["#when", "state", "#tries", "events", "details"]} items=${value.items} cells=${(each) => [
    html`<${Ago} at=${each.created_at}/>`, html`<span class=${`delivery ${each.state}`}>${t(`delivery.${each.state}`)}</span>`, formatCount(each.attempts), kindsOf(each),
    html`<small>${each.status || ""} ${escapeInvisible(each.detail || "")}</small>`]}/>`;
}
