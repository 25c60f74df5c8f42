// What can be done with everything that is marked: compared, tagged, cancelled, put away, deleted. What fails is told by name.
import { MOST_COMPARED } from "../lib/comparison.js";
import { Dialog, escapeInvisible, formatCount, html, navigate, patch, post, Prose, remove, t, useState } from "../lib/page.js";
import { offerUndo } from "../lib/undo.js";

const NAMED = 8; // in a question

// One after the other, so that a refusal of one stops none of the others.
async function each(items, act) {
  const done = [];
  const failed = [];
  for (const item of items) {
    try {
      done.push({ item, answer: await act(item) });
    } catch (error) {
      failed.push({ item, error });
    }
  }
  return { done, failed };
}

function Names({ items }) {
  return html`<ul>${items.slice(0, NAMED).map((item) => html`<li key=${item.id}>${escapeInvisible(item.name)}</li>`)}
    ${items.length > NAMED ? html`<li>${t("and.more", { n: items.length - NAMED })}</li>` : null}</ul>`;
}

const tooMany = (chosen) => chosen.length > MOST_COMPARED;
const words = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);
const path = (item, what = "") => `/v1/experiments/${item.id}${what}`;

// `asked`: what somebody is asked now, {kind, items}; it stays what was asked, whatever the table learns meanwhile.
export function Bulk({ chosen, list, clear, asked: question, ask }) {
  const [failed, setFailed] = useState([]);
  const [busy, setBusy] = useState(false);
  const none = !chosen.length || busy;
  const over = async (items, act) => {
    setBusy(true);
    const { done, failed: refused } = await each(items, act);
    setBusy(false);
    setFailed(refused);
    return done;
  };
  const gone = async (items, act) => {
    const done = await over(items, act);
    const ids = done.map(({ item }) => item.id);
    list.drop(new Set(ids));
    clear();
    return ids;
  };
  const bin = async (items) => offerUndo(await gone(items, (item) => remove(path(item))), list.reload);
  const back = async () => {
    await over(chosen, (item) => post(path(item, "/unarchive")));
    list.reload(); // the stream tells what runs do, and says nothing of this
  };
  const tag = async (items, form) => {
    const [more, less] = [words(form.get("more")), words(form.get("less"))];
    const after = (item) => [...new Set([...item.tags, ...more])].filter((word) => !less.includes(word));
    const done = await over(items, (item) => patch(`/v1/experiments/${item.id}`, { tags: after(item) }));
    list.replace(done.map(({ item }) => ({ ...item, tags: after(item) })));
  };
  const questions = {
    tags: (items) => ({
      title: t("tags.title", { n: items.length }), label: t("tags"), act: (form) => tag(items, form),
      children: html`<label>${t("tags.more")} <input type="text" name="more" autofocus/></label> <label>${t("tags.less")} <input type="text" name="less"/></label>
        <p class="hint">${t("tags.hint")}</p>`,
    }),
    cancel: (items) => ({
      title: t("cancel.title", { n: items.length }), label: t("cancel.yes"), kind: "danger", act: () => over(items, (item) => post(path(item, "/cancel"))),
      children: html`<p>${t("cancel.text")}</p><${Names} items=${items}/>`,
    }),
    delete: (items) => ({
      title: t("delete.title", { n: items.length }), label: t("delete.yes", { n: items.length }), kind: "danger", act: () => bin(items),
      children: html`<p>${t("delete.text")}</p><${Names} items=${items}/>`,
    }),
  };
  const button = (kind, act, look = "") => html`<button type="button" class=${look} disabled=${none} onClick=${act}>${t(kind)}</button>`;
  const asking = (kind) => button(kind, () => ask({ kind, items: chosen }), questions[kind](chosen).kind);
  return html`<span class="bulk"><span class="count" role="status">${t("chosen", { n: chosen.length })}</span>
    <button type="button" data-compare disabled=${none || tooMany(chosen)} onClick=${() => navigate(["compare"], { experiments: chosen.map((item) => item.id).join(",") })}>${t("compare")}</button>
    ${tooMany(chosen) ? html`<span class="wrong">${t("compare.most", { most: MOST_COMPARED, n: formatCount(chosen.length) })}</span>` : null}
    ${asking("tags")} ${asking("cancel")}
    ${button("archive", () => gone(chosen, (item) => post(path(item, "/archive"))))}
    ${button("unarchive", back)}
    ${asking("delete")}</span>
    ${question ? html`<${Dialog} key=${question.kind} ...${questions[question.kind](question.items)} close=${() => ask(null)}/>` : null}
    ${failed.length ? html`<div class="refusal" role="alert"><ul>${failed.map(({ item, error }) => html`<li key=${item.id}><strong>${escapeInvisible(item.name)}</strong> <${Prose} text=${error.message}/></li>`)}</ul></div>` : null}`;
}
