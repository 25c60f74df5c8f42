"""Messages reach real receivers at least once, signed, with patience and within limits."""

import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from sqlalchemy import Engine

from service.db.access.principal import Principal
from service.db.messages import channels, news, outbox
from service.db.messages.notices import Notice
from service.db.session import transaction
from service.local.port import find_free_port
from service.messages import post
from service.messages.send import deliver_due
from service.settings import Settings
from tests.messages.conftest import MadeChannel, sql
from tests.messages.receiver import Handler

Told = Callable[[str], Any]
Emit = Callable[..., None]


@pytest.fixture
def emit(engine: Engine, principal: Principal) -> Emit:
    """Put a message into the outbox, to whichever channels want it."""

    def add(name: str = "iris", kind: str = "run_failed", **data: Any) -> None:
        about = {
            "experiment": {"id": "exp_1", "name": name},
            "run": {"id": "run_12345678", "seed": 3},
            "failure": {"code": "time_limit", "detail": "It trained too long."},
        }
        with transaction(engine) as connection:
            notice = Notice(kind, principal.project_id, "exp_1", news.now(connection), about | data)
            outbox.add(connection, [notice])

    return add


def deliver(engine: Engine, settings: Settings) -> int:
    return deliver_due(engine, settings, lambda: False)


def verified(secret: str, sent: dict[str, Any]) -> bool:
    """Check a signature as docs/notifications.md tells receivers to."""
    document = (Path(__file__).resolve().parents[2] / "docs" / "notifications.md").read_text()
    (check,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    told: dict[str, Any] = {}
    exec(check, told)
    return bool(told["is_genuine"](secret, sent["headers"], sent["body"]))


def test_a_webhook_is_signed_and_tells_what_happened(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told
) -> None:
    channel, secret = add_channel()
    emit("a <b> & c")
    assert deliver(engine, open_settings) == 1
    (sent,) = told("/ok")
    assert verified(secret, sent)
    assert not verified(channels.new_secret(), sent)
    document = json.loads(sent["body"])
    assert document["type"] == "saddle.events"
    assert document["data"]["title"] == "[default] a <b> & c: run failed"
    assert document["data"]["url"] == "https://saddle.test/#/run/run_12345678"
    assert document["data"]["events"][0]["text"] == (
        "Run 12345678 (seed 3) has failed (time_limit): It trained too long."
    )
    (row,) = sql(engine, "SELECT * FROM delivery WHERE channel_id = :id", id=channel)
    assert (row["state"], row["attempts"], row["status"], row["detail"]) == ("sent", 1, 200, "thanks  a lot")
    assert row["id"] == sent["headers"]["webhook-id"]
    assert deliver(engine, open_settings) == 0


def test_after_a_rotation_both_secrets_sign_for_a_day(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told, principal: Principal
) -> None:
    channel, old = add_channel()
    with transaction(engine) as connection:
        new = channels.rotate(connection, channels.get(connection, principal, channel), principal)
    emit()
    deliver(engine, open_settings)
    sql(engine, "UPDATE channel SET old_secret_until = now()")
    emit()
    deliver(engine, open_settings)
    first, second = told("/ok")
    assert (verified(old, first), verified(new, first)) == (True, True)
    assert (verified(old, second), verified(new, second)) == (False, True)


def test_a_slack_message_cannot_mention_people_or_hide_a_link(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told
) -> None:
    add_channel(kind="slack")
    emit("<!channel> <https://evil.test|click> & co")
    deliver(engine, open_settings)
    (sent,) = told("/ok")
    document = json.loads(sent["body"])
    assert set(document) == {"text"}
    assert "&lt;!channel&gt; &lt;https://evil.test|click&gt; &amp; co" in document["text"]
    assert document["text"].count("<") == 1, "the link that we make"
    assert "webhook-signature" not in sent["headers"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/fail", "no"),
        ("/redirect", "it redirects, which is not followed: give the address that it means."),
        ("/close", "the answer is no HTTP (RemoteDisconnected)."),
        ("/slow", "no answer within 0.5 s."),
        ("/drip", "no answer within 0.5 s."),
    ],
)
def test_a_receiver_that_does_not_take_it_is_tried_again_later(
    engine: Engine,
    open_settings: Settings,
    add_channel: MadeChannel,
    emit: Emit,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    said: str,
) -> None:
    monkeypatch.setattr(post, "TIMEOUT_S", 0.5)
    add_channel(path)
    emit()
    began = time.monotonic()
    assert deliver(engine, open_settings) == 1
    assert time.monotonic() - began < 3
    look = "SELECT *, extract(epoch FROM due_at - clock_timestamp()) AS wait_s FROM delivery"
    (row,) = sql(engine, look)
    assert (row["state"], row["attempts"], row["detail"]) == ("open", 1, said)
    assert 8 < row["wait_s"] <= 12
    (row,) = sql(engine, "SELECT failures, failing_since IS NOT NULL AS failing FROM channel")
    assert (row["failures"], row["failing"]) == (1, True)
    assert deliver(engine, open_settings) == 0, "not before its time"
    if path == "/redirect":
        assert told("/ok") == []


def test_a_receiver_that_comes_back_gets_everything_with_the_same_ids(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told
) -> None:
    channel, _ = add_channel("/fail")
    for _ in range(2):
        emit()
    deliver(engine, open_settings)
    failed = told("/fail")
    assert len(failed) == 1, "a channel that fails is not asked for each message"
    now = "UPDATE delivery SET due_at = now()"
    sql(engine, now)
    assert deliver(engine, open_settings) == 0, "the channel waits as a whole"
    address = "UPDATE channel SET address = replace(address, '/fail', '/ok'), retry_at = now()"
    sql(engine, address)
    deliver(engine, open_settings)
    got = [each["headers"]["webhook-id"] for each in told("/ok")]
    assert len(got) == 2
    assert failed[0]["headers"]["webhook-id"] in got
    (row,) = sql(engine, "SELECT failures, failing_since FROM channel WHERE id = :id", id=channel)
    assert tuple(row.values()) == (0, None)


def test_the_waits_grow_to_an_hour() -> None:
    waits = [outbox.retry_wait_s(n) for n in (1, 2, 3, 9, 20, 10_000)]
    for wait, least in zip(waits, (10, 20, 40, 2560, 3600, 3600), strict=True):
        assert least <= wait <= least * 1.2


@pytest.mark.parametrize(("days", "state"), [(2.9, "open"), (3.1, "failed")])
def test_after_days_of_failure_a_channel_is_disabled_and_its_member_told_elsewhere(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told, days: float, state: str
) -> None:
    broken, _ = add_channel("/fail", events=["run_failed"])
    add_channel("/ok", events=[])
    emit()
    sql(
        engine,
        f"UPDATE channel SET failing_since = now() - interval '{days} days' WHERE id = :id",
        id=broken,
    )
    sql(engine, f"UPDATE delivery SET created_at = now() - interval '{days} days'")
    deliver(engine, open_settings)
    (row,) = sql(engine, "SELECT state FROM delivery WHERE channel_id = :id", id=broken)
    assert row["state"] == state
    (row,) = sql(engine, "SELECT disabled_at, disabled_why FROM channel WHERE id = :id", id=broken)
    assert (row["disabled_at"] is not None) == (state == "failed")
    if state == "failed":
        assert "nothing was taken for days" in row["disabled_why"]
        deliver(engine, open_settings)
        (sent,) = told("/ok")
        assert json.loads(sent["body"])["data"]["events"][0]["kind"] == "channel_disabled"


def test_a_receiver_that_says_it_is_gone_is_not_asked_again(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit
) -> None:
    add_channel("/gone")
    for _ in range(2):
        emit()
    assert deliver(engine, open_settings) == 1
    assert {row["state"] for row in sql(engine, "SELECT state FROM delivery")} == {"failed"}
    emit()
    assert len(sql(engine, "SELECT id FROM delivery")) == 2, "a disabled channel collects nothing"


def test_one_slow_receiver_does_not_hold_the_others_up_for_long(
    engine: Engine,
    open_settings: Settings,
    add_channel: MadeChannel,
    emit: Emit,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(post, "TIMEOUT_S", 1.0)
    for path in ("/slow", "/ok", "/ok", "/ok"):
        add_channel(path)
    emit()
    began = time.monotonic()
    deliver(engine, open_settings)
    assert len(told("/ok")) == 3
    assert time.monotonic() - began < 3


def test_an_attempt_whose_process_ended_is_repeated_when_its_claim_runs_out(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told
) -> None:
    add_channel()
    emit()
    with transaction(engine) as connection:
        (claimed,) = outbox.claim(connection, 8)
    assert deliver(engine, open_settings) == 0, "another process has it"
    sql(engine, "UPDATE delivery SET due_at = now()")
    assert deliver(engine, open_settings) == 1
    with transaction(engine) as connection:  # the first was only slow
        outbox.mark_failed(connection, claimed, None, "too late")
    (row,) = sql(engine, "SELECT state, attempts FROM delivery")
    assert tuple(row.values()) == ("sent", 2)


def test_a_message_that_cannot_be_written_holds_back_no_other(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told
) -> None:
    broken, _ = add_channel()
    add_channel()
    emit()
    sql(engine, "UPDATE delivery SET events = '[{}]' WHERE channel_id = :id", id=broken)
    deliver(engine, open_settings)
    assert len(told("/ok")) == 1
    (row,) = sql(engine, "SELECT state, detail FROM delivery WHERE channel_id = :id", id=broken)
    assert tuple(row.values()) == ("open", "the server failed to send it: its log says why.")


@pytest.fixture
def silent_tls(certificate: tuple[Path, Path]) -> Iterator[str]:
    """A receiver that sends a byte of its TLS handshake now and then."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 300:
                    connection.send(bytes([byte]))
                    time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
    listener.close()


def test_a_handshake_without_end_is_cut(silent_tls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "TIMEOUT_S", 0.5)
    began = time.monotonic()
    outcome = post.post(silent_tls, b"{}", {}, "127.0.0.0/8")
    assert outcome.detail == "no answer within 0.5 s."
    assert time.monotonic() - began < 2


def test_https_is_checked_by_the_name(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with server.socket as plain:
        server.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"https://localhost:{server.server_port}/ok"
        unknown = post.post(url, b"{}", {}, "127.0.0.0/8, ::1")
        assert "certificate" in (unknown.detail or "").lower()
        trusting = ssl.create_default_context(cafile=str(certificate[1]))
        monkeypatch.setattr(post, "_tls", lambda: trusting)
        assert post.post(url, b"{}", {}, "127.0.0.0/8, ::1").delivered
        other = post.post(url.replace("localhost", "127.1"), b"{}", {}, "127.0.0.0/8")
        assert not other.delivered, "a name that the certificate does not have"
    finally:
        server.shutdown()
        server.server_close()


def test_two_senders_at_once_send_each_message_once(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, told: Told
) -> None:
    for _ in range(3):
        add_channel()
    for _ in range(10):
        emit()
    senders = [threading.Thread(target=deliver, args=(engine, open_settings)) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    deliver(engine, open_settings)
    ids = [each["headers"]["webhook-id"] for each in told("/ok")]
    assert len(ids) == len(set(ids)) == 30


class Mailbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append((envelope.mail_from, envelope.rcpt_tos, envelope.content.decode()))
        return "250 taken"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate of `localhost`."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


@pytest.fixture
def mail_server(certificate: tuple[Path, Path]) -> Iterator[tuple[Mailbox, int]]:
    """A mail server that demands STARTTLS and a password."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=(data.login, data.password) == (b"saddle", b"s3cret"), handled=False)

    box = Mailbox()
    options = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": authenticate}
    server = Controller(box, hostname="127.0.0.1", port=find_free_port(), **options)
    server.start()
    yield box, server.port
    server.stop()


def mailing(settings: Settings, port: int, **changes: Any) -> Settings:
    given = {"smtp_host": "localhost", "smtp_port": port, "smtp_user": "saddle", "smtp_password": "s3cret"}
    return Settings(**(settings.model_dump() | given | {"mail_from": "saddle@example.org"} | changes))


def test_an_e_mail_goes_out_by_starttls_with_a_password(
    engine: Engine,
    open_settings: Settings,
    add_channel: MadeChannel,
    emit: Emit,
    mail_server: tuple[Mailbox, int],
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    box, port = mail_server
    add_channel(kind="email", address="ada@example.org", bundle_s=300)
    for _ in range(30):
        emit("a\u2028Bcc: eve@example.org")
    sql(engine, "UPDATE delivery SET due_at = now()")
    deliver(engine, mailing(open_settings, port))
    ((sender, recipients, text),) = box.taken
    assert (sender, recipients) == ("saddle@example.org", ["ada@example.org"])
    (row,) = sql(engine, "SELECT id, state FROM delivery")
    assert f"Message-ID: <{row['id']}@example.org>" in text
    assert "30 runs failed" in text.replace("\r\n ", " ")
    assert "... and 10 more." in text
    assert "https://saddle.test/#/experiment/exp_1" in text
    assert "\nBcc:" not in text
    assert row["state"] == "sent"


@pytest.mark.parametrize(
    ("changes", "address", "said"),
    [
        (
            {"smtp_password": "wrong"},
            "ada@example.org",
            "535 the mail server says: 5.7.8 Authentication credentials invalid",
        ),
        ({}, "nobody@example.org", "550 the mail server refuses the recipient: no such mailbox"),
        ({"smtp_host": ""}, "ada@example.org", "None this server sends no e-mail: its operator sets SADDLE_SMTP_HOST."),
        ({"smtp_port": 1}, "ada@example.org", "None the mail server does not take it: "),
    ],
)
def test_mail_that_is_not_taken_says_why(
    engine: Engine,
    open_settings: Settings,
    add_channel: MadeChannel,
    emit: Emit,
    mail_server: tuple[Mailbox, int],
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    address: str,
    said: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    add_channel(kind="email", address=address)
    emit()
    deliver(engine, mailing(open_settings, mail_server[1], **changes))
    (row,) = sql(engine, "SELECT status, detail, state FROM delivery")
    assert f"{row['status']} {row['detail']}".startswith(said)
    assert row["state"] == "open"


def test_a_mail_server_without_a_known_certificate_gets_no_password(
    engine: Engine, open_settings: Settings, add_channel: MadeChannel, emit: Emit, mail_server: tuple[Mailbox, int]
) -> None:
    add_channel(kind="email", address="ada@example.org")
    emit()
    deliver(engine, mailing(open_settings, mail_server[1]))
    (row,) = sql(engine, "SELECT detail FROM delivery")
    assert "CERTIFICATE_VERIFY_FAILED" in row["detail"]
    assert mail_server[0].taken == []
