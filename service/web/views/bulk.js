// What can be done with everything that is marked: compared, tagged, cancelled, put away, deleted. What fails is told by name.
import { html, useState } from "../lib/html.js";
import { patch, post, remove } from "../lib/api.js";
import { go } from "../lib/address.js";
import { Asking } from "../lib/dialog.js";
import { visible } from "../lib/format.js";
import { t } from "../lib/words.js";

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
  return html`<ul>${items.slice(0, NAMED).map((item) => html`<li key=${item.id}>${visible(item.name)}</li>`)}
    ${items.length > NAMED ? html`<li>${t("and.more", { n: items.length - NAMED })}</li>` : null}</ul>`;
}

const words = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);

export function Bulk({ chosen, shelf, clear }) {
  const [failed, setFailed] = useState([]);
  const n = chosen.length;
  const none = !n;
  const over = async (act, gone) => {
    const { done, failed: refused } = await each(chosen, act);
    setFailed(refused);
    if (gone) {
      shelf.drop(new Set(done.map(({ item }) => item.id)));
      clear();
    }
  };
  const tag = async (form) => {
    const [more, less] = [words(form.get("more")), words(form.get("less"))];
    const after = (item) => [...new Set([...item.tags, ...more])].filter((word) => !less.includes(word));
    const { done, failed: refused } = await each(chosen, (item) => patch(`/v1/experiments/${item.id}`, { tags: after(item) }));
    setFailed(refused);
    shelf.replace(done.map(({ item }) => ({ ...item, tags: after(item) })));
  };
  return html`<span class="count" role="status">${t("chosen", { n })}</span>
    <button type="button" data-compare disabled=${none} onClick=${() => go(["compare"], { experiments: chosen.map((item) => item.id).join(",") })}>${t("compare")}</button>
    <${Asking} button=${t("tags")} disabled=${none} title=${t("tags.title", { n })} label=${t("tags")} act=${tag}>
      <label>${t("tags.more")} <input type="text" name="more" autofocus/></label> <label>${t("tags.less")} <input type="text" name="less"/></label>
      <p class="hint">${t("tags.hint")}</p></${Asking}>
    <${Asking} button=${t("cancel")} disabled=${none} kind="danger" title=${t("cancel.title", { n })} label=${t("cancel.yes")}
      act=${() => over((item) => post(`/v1/experiments/${item.id}/cancel`))}><p>${t("cancel.text")}</p><${Names} items=${chosen}/></${Asking}>
    <button type="button" disabled=${none} onClick=${() => over((item) => post(`/v1/experiments/${item.id}/archive`), true)}>${t("archive")}</button>
    <button type="button" disabled=${none} onClick=${() => over((item) => post(`/v1/experiments/${item.id}/unarchive`))}>${t("unarchive")}</button>
    <${Asking} button=${t("delete")} disabled=${none} kind="danger" title=${t("delete.title", { n })} label=${t("delete.yes", { n })}
      act=${() => over((item) => remove(`/v1/experiments/${item.id}`), true)}><p>${t("delete.text")}</p><${Names} items=${chosen}/></${Asking}>
    ${failed.length ? html`<div class="refusal" role="alert"><ul>${failed.map(({ item, error }) => html`<li key=${item.id}><strong>${visible(item.name)}</strong> ${visible(error.message)}</li>`)}</ul></div>` : null}`;
}
