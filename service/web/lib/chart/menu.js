// The menu of a chart: its picture, its numbers, and a link to the page as it is.
import { html } from "../html.js";
import { copyText } from "../components.js";
import { download, fileName } from "../table_export.js";
import { t } from "../words.js";

// The module that draws files is loaded when somebody asks for one.
const files = () => import("./export.js");

export function ChartExport({ name, read }) {
  const act = (make) => async (event) => {
    event.target.closest("details").removeAttribute("open");
    await make(read(), await files());
  };
  const item = (label, make) => html`<button type="button" onClick=${act(make)}>${label}</button>`;
  return html`<details class="export"><summary aria-label=${t("export.of", { name })} title=${t("export")}>⤓</summary><div class="panel">
    ${item("SVG", (drawn, { chartSvg }) => download(fileName(name, "svg"), chartSvg(drawn.chart, drawn), "image/svg+xml"))}
    ${item("PNG", async (drawn, { chartPng }) => download(fileName(name, "png"), await chartPng(drawn.chart, drawn)))}
    ${item("CSV", (drawn, { chartCsv }) => download(fileName(name, "csv"), chartCsv(drawn), "text/csv"))}
    ${item(t("export.link"), () => copyText(window.location.href))}</div></details>`;
}
