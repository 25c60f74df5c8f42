// Every sentence of the page in one place, so that another language is one more table.
// t("key", {name: value}) gives the sentence with its {name}s filled in; a missing one falls back to English.
import { en } from "./words.en.js";
import { zh } from "./words.zh.js";

const TABLES = { en, zh };
export const LANGUAGES = { en: "English", zh: "中文" };

const kept = () => {
  try {
    return window.localStorage.getItem("saddle.language");
  } catch {
    return null; // a browser that keeps nothing
  }
};

let language = TABLES[kept()] ? kept() : (navigator.language || "en").startsWith("zh") ? "zh" : "en";
document.documentElement.lang = language;

export const spoken = () => language;

export function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  try {
    window.localStorage.setItem("saddle.language", chosen);
  } catch {
    // it is forgotten with the page
  }
}

// A sentence that may be missing: undefined then.
export const told = (key) => TABLES[language][key] ?? en[key];

export function t(key, values = {}) {
  const sentence = TABLES[language][key] ?? en[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
