// What every module draws with.
export {
  html, render, useState, useEffect, useMemo, useLayoutEffect, useRef, useCallback, useErrorBoundary,
} from "../vendor/htm-preact.js";
