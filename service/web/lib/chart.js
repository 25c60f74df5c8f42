// Charts, as the views use them.
export { Chart } from "./chart/chart.js";
export { Legend, Swatch } from "./chart/legend.js";
export { colour, COLOURS, dash, look } from "./chart/palette.js";
export { Sparkline } from "./chart/sparkline.js";
