"""Send a message as plain text through the operator's mail server. Imported when the first one is sent."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime

from service.db.messages.outbox import Outgoing
from service.messages.compose import headline, plain_text
from service.messages.outcome import Outcome, printable
from service.settings import Settings

TIMEOUT_S = 5.0  # of each step; all of them together take less than a claim holds


def send_mail(message: Outgoing, settings: Settings) -> Outcome:
    """Send it once; a repeated attempt has the same Message-ID."""
    if not settings.smtp_host:
        return Outcome(False, detail="this server sends no e-mail: its operator sets SADDLE_SMTP_HOST.")
    try:
        with _connect(settings) as server:
            server.send_message(written(message, settings))
    except smtplib.SMTPRecipientsRefused as refused:
        code, said = next(iter(refused.recipients.values()))
        return Outcome(False, code, f"the mail server refuses the recipient: {_text(said)}")
    except smtplib.SMTPResponseException as error:
        return Outcome(False, error.smtp_code, f"the mail server says: {_text(error.smtp_error)}")
    except (OSError, smtplib.SMTPException) as error:
        return Outcome(False, detail=f"the mail server does not take it: {printable(str(error))}")
    return Outcome(True, 250)


def _connect(settings: Settings) -> smtplib.SMTP:
    tls = ssl.create_default_context()
    server: smtplib.SMTP
    if settings.smtp_security == "tls":
        server = smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_S, context=tls)
    else:
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_S)
    try:
        if settings.smtp_security == "starttls":
            server.starttls(context=tls)
        if settings.smtp_user:
            password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
            server.login(settings.smtp_user, password)
    except BaseException:
        server.close()
        raise
    return server


def written(message: Outgoing, settings: Settings) -> EmailMessage:
    """Return the e-mail; header fields hold no line breaks, whatever an experiment is called."""
    mail = EmailMessage()
    mail["Subject"] = printable(headline(message.project, message.events))
    mail["From"], mail["To"] = settings.mail_from, message.address
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = f"<{message.id}@{settings.mail_from.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(plain_text(message, settings.public_url))
    return mail


def _text(said: bytes | str) -> str:
    return printable(said.decode("utf-8", "replace") if isinstance(said, bytes) else said)
