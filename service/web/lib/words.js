// The texts of the page by key, one table per language.
// t("key", {name: value}) fills in each {name}; n: 1 takes the singular, "key.one", where the language has one.
import { keep, kept } from "./kept.js";

// Only the language in use is loaded.
const LOAD = { en: () => import("./words.en.js"), zh: () => import("./words.zh.js") };
export const LANGUAGES = { en: "English", zh: "中文" };

let language = LOAD[kept("language")] ? kept("language") : (navigator.language || "en").startsWith("zh") ? "zh" : "en";
let { [language]: table, said = {} } = await LOAD[language]();
document.documentElement.lang = language;

export const currentLanguage = () => language;

export async function setLanguage(chosen) {
  ({ [chosen]: table, said = {} } = await LOAD[chosen]());
  language = chosen;
  document.documentElement.lang = chosen;
  keep("language", chosen);
}

// The text of a key, or undefined.
export const findText = (key) => table[key];

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

// What the server says in English, as {text, lang, rest}: by its code in the language of the page, where that has words for the
// code and `values` for their gaps. Words that end in a colon are followed by the `rest` in English.
export function translate(text, code, values = {}) {
  const own = said[code];
  const isWhole = own && [...own.matchAll(/\{(\w+)\}/g)].every(([, name]) => values[name] !== undefined);
  return isWhole ? { text: fill(own, values), rest: own.endsWith("：") ? text : "" } : { text, lang: language === "en" ? undefined : "en" };
}

export function t(key, values = {}) {
  const singular = String(values.n) === "1" ? findText(`${key}.one`) : undefined;
  const text = singular ?? findText(key) ?? key;
  return fill(text, values);
}
