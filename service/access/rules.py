"""The rule of every operation: the level it needs, and whose object a lower level may change.

Operations are named by their ids in the OpenAPI document. One without a rule fails the start of the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from service.levels import Level

About = Literal["project", "self", "person"]  # what an operation concerns; person: oneself, and no key may ask
Owned = Literal[
    "experiment", "run", "dataset", "key", "channel", "comment", "study", "view"
]  # kinds of objects that have an owner


@dataclass(frozen=True)
class Rule:
    """What an operation needs; `level` None: nothing, it is open to everybody."""

    level: Level | None
    own: Owned | None = None  # for an object of this kind that is one's own, `own_level` is enough
    own_level: Level = Level.SUBMIT
    about: About = "project"  # whoever is in no project may only what concerns themselves or the server
    opened_by: str = ""  # a setting that opens it to every account
    changes: bool = False  # whatever its level: a key of the scope read may not
    dry_run: Level | None = None  # what `?dry_run=true` needs, which stores nothing; None: as much


def _rules(rule: Rule, *operations: str) -> dict[str, Rule]:
    return dict.fromkeys(operations, rule)


OPEN = _rules(Rule(None), "get_page", "get_page_part", "get_openapi", "get_livez", "get_readyz", "sign_in")
OPEN |= _rules(Rule(None), "get_sign_in_ways", "open_invitation", "accept_invitation")
OPEN |= _rules(Rule(None), "start_provider", "return_from_provider", "finish_provider")
SELF = _rules(
    Rule(Level.READ, about="self"),
    *("get_me", "sign_out", "list_sessions", "end_session", "end_other_sessions", "list_projects"),
)
PERSON = _rules(
    Rule(Level.READ, about="person"), "enter_project", "get_account", "patch_account", "put_password", "join_project"
)
READ = _rules(
    Rule(Level.READ),
    "get_metrics",  # of the whole server, and names nobody
    *("list_datasets", "get_dataset", "list_experiments", "get_experiment"),
    *("list_runs", "get_run", "list_attempts", "get_history", "get_log", "get_log_text", "list_replays", "list_probes"),
    *("list_checkpoints", "get_checkpoint_file", "get_series", "list_series_names", "get_many_series"),
    "list_series_axes",
    *("stream_events", "stream_project", "list_workers", "get_comparison", "get_catalog", "get_family"),
    *("get_kind", "list_presets", "get_preset", "preview_schedule", "get_storage", "get_planned_rate"),
    *("get_split", "get_experiment_schema"),
    *("get_superseded", "list_readings", "get_diagnosis", "get_autopsy_script", "list_diagnosis_rules"),
    *("get_model", "get_model_file", "get_model_card", "get_predictions", "get_prediction"),
    "get_augmentation_preview",
    *(
        "list_verifications",
        "list_symptoms",
        "get_symptom",
        "list_members",
        "list_keys",
        "get_key",
        "list_bin",
        "list_shares",
        "get_project",
        "list_comments",
        "get_quotas",
        "get_queue",
        "list_studies",
        "get_study",
        "get_study_analysis",
        "list_study_presets",
        "list_trials",
        "list_views",
        "get_view",
    ),
    "post_comparison",  # a question: it changes nothing that others see
)
SUBMIT = _rules(
    Rule(Level.SUBMIT),
    *("post_dataset", "retry_run", "replay_run", "probe_run", "predict", "clone_study", "confirm_study"),
    "preview_augmentation",  # it takes a worker for a moment
    *("confirm_comparison", "extend_confirmation", "verify_finding", "post_comment", "post_view"),
    "edit_comment",  # whose comment, it looks itself
)
SUBMIT |= _rules(Rule(Level.SUBMIT, dry_run=Level.READ), "post_experiment", "fork_run", "post_study")
OWN = {
    **_rules(
        Rule(Level.ADMIN, own="experiment"),
        *("patch_experiment", "delete_experiment", "cancel_experiment", "pause_experiment", "resume_experiment"),
        *("archive_experiment", "unarchive_experiment", "restore_experiment", "move_experiment"),
        *("share_experiment", "unshare_experiment"),
    ),
    **_rules(Rule(Level.ADMIN, own="run"), "change_run", "cancel_run", "pause_run", "resume_run"),
    **_rules(Rule(Level.ADMIN, own="study"), "pause_study", "resume_study", "stop_study", "extend_study", "post_trial"),
    **_rules(Rule(Level.ADMIN, own="study"), "delete_study", "restore_study"),
    **_rules(Rule(Level.ADMIN, own="dataset"), "delete_dataset", "restore_dataset"),
    **_rules(Rule(Level.ADMIN, own="comment"), "delete_comment"),
    **_rules(Rule(Level.ADMIN, own="view"), "patch_view", "delete_view"),
    **_rules(Rule(Level.ADMIN, own="key", own_level=Level.READ, changes=True), "revoke_key"),
}
ADMIN = _rules(
    Rule(Level.ADMIN),
    *("set_person_quota", "list_invitations", "post_invitation", "revoke_invitation"),
    *("change_project", "change_member", "remove_member", "post_service_member", "list_audit", "export_audit"),
)
SERVER = _rules(Rule(Level.SERVER), "set_server_quota", "list_accounts", "post_password_link")
SERVER |= _rules(Rule(Level.SERVER), "list_server_audit", "export_server_audit")
SERVER |= _rules(
    Rule(Level.SERVER, about="self"),
    *("list_project_use", "get_whole_queue", "get_server_storage", "list_busy_workers"),
    *("drain_worker", "undrain_worker", "stop_run", "stop_experiment", "disable_account", "enable_account"),
)
SERVER |= _rules(Rule(Level.SERVER, about="self", opened_by="open_projects"), "post_project")
KEYS = _rules(
    Rule(Level.READ, changes=True), "post_key", "rotate_key"
)  # the new key never may more than the one that makes it
CHANNELS = {  # shared ones are the admins' alone, which the channel itself says
    **_rules(Rule(Level.READ), "list_channels", "get_channel", "list_deliveries"),
    **_rules(Rule(Level.READ, changes=True), "post_channel"),
    **_rules(
        Rule(Level.ADMIN, own="channel", own_level=Level.READ, changes=True),
        *("patch_channel", "delete_channel", "rotate_channel", "test_channel"),
    ),
}
RULES: Mapping[str, Rule] = OPEN | SELF | PERSON | READ | SUBMIT | OWN | KEYS | CHANNELS | ADMIN | SERVER
PATH_PARAMETERS: Mapping[Owned, str] = {
    "experiment": "experiment_id",
    "run": "run_id",
    "dataset": "dataset_id",
    "key": "key_id",
    "channel": "channel_id",
    "comment": "comment_id",
    "study": "study_id",
    "view": "view_id",
}
