// What every module draws with.
export {
  html, render, useState, useEffect, useMemo, useRef, useCallback,
} from "../vendor/htm-preact.js";
