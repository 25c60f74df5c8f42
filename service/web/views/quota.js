// One quota: how much is used of it, and a dialog that changes the limit.
import { html } from "../lib/html.js";
import { DialogButton } from "../lib/dialog.js";
import { formatBytes, formatCount, formatNumber } from "../lib/format.js";
import { t } from "../lib/words.js";

const GIB = 2 ** 30;
const amount = (value, unit) => (unit === "bytes" ? formatBytes(value) : unit === "hours" ? formatNumber(value, 3) : formatCount(value));
const inUnit = (value, unit) => (value === null ? "" : unit === "bytes" ? value / GIB : value);

export function QuotaUse({ quota }) {
  const { used, limit, unit } = quota;
  const full = limit !== null && used !== null && used >= 0.9 * limit;
  return html`<span class=${full ? "wrong" : ""}>${used === null ? "" : `${amount(used, unit)} / `}${limit === null ? t("quota.none") : amount(limit, unit)}</span>
    ${limit && used !== null ? html` <progress max=${limit} value=${Math.min(used, limit)} aria-label=${t(`quota.${quota.name}`)}></progress>` : null}`;
}

// `save(value, usual)`: the new limit (null: none), or the less specific one again. `whose`: for the dialog.
export function QuotaEdit({ quota, whose, save }) {
  const act = (form) => {
    const text = form.get("value").trim();
    return save(text === "" ? null : Math.round(Number(text) * (quota.unit === "bytes" ? GIB : 1)), form.get("usual") === "on");
  };
  const unit = quota.unit === "bytes" ? "GiB" : quota.unit === "hours" ? t("quota.hours") : t("quota.runs");
  return html`<${DialogButton} button=${t("quota.change")} title=${`${t(`quota.${quota.name}`)} · ${whose}`} label=${t("quota.save")} act=${act}>
    <label>${t("quota.limit", { unit })}<input type="number" name="value" min="0" step=${quota.unit === "bytes" ? "any" : "1"} defaultValue=${inUnit(quota.limit, quota.unit)} autocomplete="off"/></label>
    <label class="check"><input type="checkbox" name="usual"/> ${t("quota.usual")}</label></${DialogButton}>`;
}
