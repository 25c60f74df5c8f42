"""Is everything well? One line for each part, with the fix; parts that are down keep no other from being told."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from service.admin import probes
from service.admin.backup import release
from service.admin.line import WORST, Line, Status
from service.db.admin import health
from service.db.rights import ROLES
from service.db.session import Engine, autocommit, make_engine, newest_migration
from service.notifications import check_broker
from service.settings import Settings
from service.storage.disk import free_bytes

FRESH_S, SKEW_S, OLD_TRANSACTION_S, BUSY = 60.0, 2.0, 600.0, 0.8
EXPIRY_DAYS = 14
GIB = 2**30


def examine(settings: Settings, api_urls: list[str]) -> list[Line]:
    """Return a line for everything that was looked at; nothing that is down keeps the rest from being told."""
    engine = make_engine(settings.database_url, pool_size=1, name="saddle-doctor", statement_s=10)
    looks: list[tuple[str, Callable[[], Iterator[Line]]]] = [
        ("database", lambda: _database(engine)),
        ("workers", lambda: _workers(engine)),
        ("broker", lambda: _broker(settings)),
        *[(f"api {url}", lambda url=url: _api(url)) for url in api_urls],
        ("disk", lambda: _disk(settings)),
        ("uploads", lambda: probes.uploads(settings)),
        ("checkpoints", lambda: probes.checkpoints(settings)),
        ("settings", lambda: _settings(settings)),
    ]
    found: list[Line] = []
    for part, look in looks:
        try:
            found += look()
        except Exception as error:  # told, and the rest is looked at
            why = str(error.__cause__ or error).strip().partition("\n")[0]
            found.append(Line(part, "fail", f"{type(error).__name__}: {why}", FIXES.get(part, "")))
    engine.dispose()
    return found


FIXES = {
    "database": "start it (docker compose up -d db, or run.py up), or correct SADDLE_DATABASE_URL",
    "workers": "once the database answers, ask again",
    "broker": "start it (docker compose up -d broker), or correct SADDLE_BROKER_URL; until then workers poll",
    "uploads": "make the storage of SADDLE_STORAGE_URL writable for this user",
    "checkpoints": "make the storage of SADDLE_CHECKPOINT_URL or SADDLE_STORAGE_URL writable for this user",
}


def _database(engine: Engine) -> Iterator[Line]:
    began = time.time()
    with autocommit(engine) as connection:
        found = health.health(connection)
        took = time.time() - began
        ahead = (began + took / 2) - found.now_s
        expected = newest_migration()
        yield Line("database", "ok", f"answers, {found.bytes / GIB:.2f} GiB")
        at = found.migration or "none"
        yield _line(
            "migration", at == expected, f"{at}, expected {expected}", "run python -m service.db upgrade", "fail"
        )
        missing = sorted(set(ROLES) - set(found.roles))
        well = not missing and at == expected and health.granted(connection)
        what = f"missing: {', '.join(missing)}" if missing else "as granted" if well else "not as they should be"
        yield _line("roles", well, what, "run python -m service.db upgrade: it grants them anew", "fail")
    used = found.connections / found.max_connections
    fix = "raise max_connections, or run fewer processes"
    yield _line("connections", used < BUSY, f"{found.connections} of {found.max_connections}", fix)
    fix = "find it in pg_stat_activity: vacuum removes nothing newer than it"
    old = found.oldest_transaction_s
    yield _line("oldest transaction", old < OLD_TRANSACTION_S, f"{old:.0f} s", fix)
    yield _line("autovacuum", found.autovacuum, "on" if found.autovacuum else "off", "set autovacuum = on")
    if found.dead_table:
        what = f"{found.dead_fraction:.0%} of {found.dead_table} are dead rows"
        yield _line("dead rows", found.dead_fraction < 0.5, what, f"VACUUM {found.dead_table}")
    yield _line("clock", abs(ahead) < SKEW_S, f"{ahead:+.2f} s against Postgres", "synchronise the clocks (NTP)")


def _workers(engine: Engine) -> Iterator[Line]:
    with autocommit(engine) as connection:
        found = health.workers(connection)
    if not found:
        yield Line("workers", "warn", "none has registered, or all have left", "start one: runs wait until then")
    for row in found:
        name = f"worker {row.name}"
        what = f"{row.state}, {row.device}, release {row.version}, last beat {row.beat_s:.0f} s ago"
        if row.beat_s > FRESH_S:
            yield Line(name, "fail", what, "look at its log: it has died, or does not reach Postgres")
        elif row.state == "unhealthy":
            yield Line(name, "fail", f"{what}: {row.detail}", "replace its device, or make room on its disk")
        elif row.drained:
            yield Line(name, "warn", what, f"it was drained: saddle admin undrain {row.name}")
        elif row.version != release():
            yield Line(name, "warn", what, f"this is release {release()}: upgrade API and workers together")
        elif abs(row.clock_ahead_s or 0) > SKEW_S:
            yield Line(name, "warn", f"{what}, clock {row.clock_ahead_s:+.1f} s", "synchronise its clock (NTP)")
        else:
            yield Line(name, "ok", what)


def _broker(settings: Settings) -> Iterator[Line]:
    if settings.broker_url is None:
        yield Line("broker", "warn", "none: workers look for runs only now and then", "set SADDLE_BROKER_URL")
        return
    check_broker(settings.broker_url)
    yield Line("broker", "ok", "answers")


def _api(url: str) -> Iterator[Line]:
    part, fix = f"api {url}", "look at its log (docker compose logs api)"
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/v1/readyz", timeout=5) as answer:  # noqa: S310  the operator's
            yield Line(part, "ok" if answer.status == 200 else "fail", f"ready ({answer.status})")
    except urllib.error.HTTPError as error:
        document = json.loads(error.read() or b"{}") if error.headers.get_content_subtype().endswith("json") else {}
        yield Line(part, "fail", f"answers {error.code}: {document.get('detail', error.reason)}", fix)
    except (OSError, ValueError) as error:
        yield Line(part, "fail", f"does not answer: {getattr(error, 'reason', error)}", fix)
    if urlsplit(url).scheme == "https":
        yield from _certificate(url)


def _certificate(url: str) -> Iterator[Line]:
    place = urlsplit(url)
    try:
        until = probes.certificate(place.hostname or "", place.port or 443)
    except (OSError, ssl.SSLError) as error:
        yield Line("certificate", "fail", str(error), "renew it, or trust its authority")
        return
    days = (ssl.cert_time_to_seconds(until) - time.time()) / 86400
    yield _line("certificate", days > EXPIRY_DAYS, f"ends in {days:.0f} days", "renew it")


def _disk(settings: Settings) -> Iterator[Line]:
    folders = {settings.data_dir.resolve(), settings.dataset_dir.resolve(), settings.checkpoint_dir.resolve()}
    reserve = settings.disk_reserve_bytes
    for folder in sorted(folders):
        free = free_bytes(folder)
        what = f"{free / GIB:.1f} GiB free, reserve {reserve / GIB:.1f} GiB"
        status: Status = "ok" if free > 2 * reserve else "warn" if free > reserve else "fail"
        yield Line(f"disk of {folder}", status, what, "" if status == "ok" else "make room: saddle admin gc --delete")


def _settings(settings: Settings) -> Iterator[Line]:
    """Yield what does not go together."""
    wrong = [
        (
            settings.lease_window_s < 3 * settings.beat_s,
            "SADDLE_LEASE_WINDOW_S is under three times SADDLE_BEAT_S: runs are taken from workers that are well",
            "raise SADDLE_LEASE_WINDOW_S",
        ),
        (
            bool(settings.smtp_host) and not settings.public_url,
            "there is e-mail but no SADDLE_PUBLIC_URL: messages hold no links",
            "set SADDLE_PUBLIC_URL",
        ),
        (
            settings.public_url.startswith("http://") and not settings.public_url.startswith("http://localhost"),
            "SADDLE_PUBLIC_URL is http: keys and sessions travel in the clear",
            "give the front door a certificate",
        ),
        (
            settings.smtp_security == "none" and settings.smtp_password is not None,
            "the password of SADDLE_SMTP_HOST travels in the clear",
            "set SADDLE_SMTP_SECURITY=starttls",
        ),
        (
            settings.upload_bytes > settings.project_bytes,
            "SADDLE_UPLOAD_BYTES is above SADDLE_PROJECT_BYTES: such an upload is always refused",
            "raise SADDLE_PROJECT_BYTES",
        ),
        (
            settings.max_run_s is not None and settings.max_run_s < settings.turn_s,
            "SADDLE_MAX_RUN_S is below SADDLE_TURN_S",
            "raise SADDLE_MAX_RUN_S",
        ),
    ]
    found = [Line("settings", "warn", what, fix) for is_wrong, what, fix in wrong if is_wrong]
    yield from found or [Line("settings", "ok", "nothing contradicts")]


def _line(part: str, well: bool, found: str, fix: str, otherwise: Status = "warn") -> Line:
    return Line(part, "ok", found) if well else Line(part, otherwise, found, fix)


def exit_status(lines: list[Line]) -> int:
    """Return 0 if all is well, 1 with a warning, 2 with a failure."""
    return max((WORST[each.status] for each in lines), default=0)
