// Comments on an experiment and its runs, or on one run: read, written, changed, deleted.
import { Markdown } from "../lib/markdown.js";
import { ActionButton, Ago, DialogButton, escapeInvisible, href, html, isAdmin, patch, post, Problems, queryString, remove, t, useGet, useState } from "../lib/page.js";

const PAGE_SIZE = 50;

export function Comments({ experiment, run, me }) {
  const [shown, more] = useState(PAGE_SIZE);
  const path = `/v1/experiments/${experiment}/comments`;
  const { value, error, again } = useGet(`${path}${queryString({ run, limit: Math.min(shown, 200) })}`);
  if (!value) return error ? html`<${Problems} error=${error}/>` : null;
  return html`<section class="panel comments"><h2>${t("comments")}</h2>
    ${me.level === "read" ? null : html`<${Write} write=${(text) => post(path, { text, run_id: run || null }).then(again)}/>`}
    ${value.items.map((item) => html`<${Comment} key=${item.id} item=${item} me=${me} again=${again} within=${run}/>`)}
    ${value.items.length ? null : html`<p class="hint">${t("comments.none")}</p>`}
    ${value.next_cursor && shown < 200 ? html`<button type="button" onClick=${() => more(shown + PAGE_SIZE)}>${t("more")}</button>` : null}</section>`;
}

function Write({ write }) {
  const [text, setText] = useState("");
  const send = async () => { await write(text); setText(""); };
  return html`<label class="hidden" for="comment">${t("comments.write")}</label>
    <textarea id="comment" rows="2" maxlength="4096" placeholder=${t("comments.hint")} value=${text} onInput=${(event) => setText(event.target.value)}></textarea>
    <div class="bar"><${ActionButton} label=${t("comments.write")} act=${send} disabled=${!text.trim()}/></div>`;
}

function Comment({ item, me, again, within }) {
  const path = `/v1/comments/${item.id}`;
  return html`<article><p class="facts"><strong>${escapeInvisible(item.author)}</strong> · <${Ago} at=${item.created_at}/>${item.edited_at ? ` · ${t("comments.edited")}` : ""}
    ${item.run_id && !within ? html` · <a href=${href(["run", item.run_id])}>${t("column.run")} ${item.run_id.slice(-8)}</a>` : null}</p>
    <${Markdown} text=${item.text}/>
    <div class="bar">${item.own ? html`<${DialogButton} button=${t("edit")} title=${t("edit")} label=${t("save")}
        act=${(form) => patch(path, { text: form.get("text") }).then(again)}><textarea name="text" rows="6" maxlength="4096" required aria-label=${t("edit")}>${item.text}</textarea></${DialogButton}>` : null}
      ${item.own || isAdmin(me) ? html`<${ActionButton} label=${t("delete")} act=${() => remove(path).then(again)}/>` : null}</div></article>`;
}
