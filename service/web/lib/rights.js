// What this page need not offer, because the server would refuse it: it decides, this only says so beforehand.
import { get } from "./api.js";
import { useRequest } from "./components.js";
import { escapeInvisible } from "./format.js";
import { t } from "./words.js";

export const isAdmin = (me) => me.level === "admin" || me.level === "server";

export const useProject = () => useRequest((signal) => get("/v1/project", { signal }), []).value;

// Why somebody may not change what `owner` made; empty where they may.
export function refusal(me, owner, project, shared = false) {
  if (shared) return t("right.shared");
  if (isAdmin(me)) return "";
  if (me.level === "read") return t("right.read");
  return owner === me.member || project?.members_manage ? "" : t("right.owner", { owner: escapeInvisible(owner) });
}
