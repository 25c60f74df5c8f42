// The texts of the page by key, one table per language.
// t("key", {name: value}) fills in each {name}; n: 1 takes the singular, "key.one", where the language has one.
import { keep, kept } from "./kept.js";

// Only the language in use is loaded.
const LOAD = { en: () => import("./words.en.js"), zh: () => import("./words.zh.js") };
export const LANGUAGES = { en: "English", zh: "中文" };

let language = LOAD[kept("language")] ? kept("language") : (navigator.language || "en").startsWith("zh") ? "zh" : "en";
let table = (await LOAD[language]())[language];
document.documentElement.lang = language;

export const currentLanguage = () => language;

export async function setLanguage(chosen) {
  table = (await LOAD[chosen]())[chosen];
  language = chosen;
  document.documentElement.lang = chosen;
  keep("language", chosen);
}

// The text of a key, or undefined.
export const findText = (key) => table[key];

export function t(key, values = {}) {
  const singular = String(values.n) === "1" ? findText(`${key}.one`) : undefined;
  const text = singular ?? findText(key) ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
