// What nearly every view uses, from one place.
export { href, navigate, parseAddress, updateParameters } from "./address.js";
export { absoluteUrl, ask, get, parseNumber, patch, post, put, queryString, remove, request, requestJson } from "./api.js";
export { ActionButton, Ago, CopyButton, copyText, Dialog, DialogButton, EmptyState, isAdmin, NameField, Pending, Picture, Problems, Prose, refusal, Said, Select, StateLabel, useGet, useInterval, useProject, useRequest, useTitle } from "./components.js";
export { decimalsOf, escapeInvisible, escapeProse, formatAge, formatBytes, formatCount, formatFixed, formatNumber, formatSeconds, summarizeResult } from "./format.js";
export { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
export { List, TableExport } from "./tables.js";
export { currentLanguage, findText, t } from "./words.js";
