"""Receivers of alerts on this machine: an HTTP server that takes what webhooks and Slack would, and an SMTP server."""

from __future__ import annotations

import email
import json
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from aiosmtpd import smtp
from aiosmtpd.controller import Controller

from devstack.process import free_port


@dataclass
class Post:
    """A request that the HTTP sink took."""

    path: str
    body: Any
    authorization: str | None


@dataclass
class Sinks:
    """All that arrived so far, in its order."""

    posts: list[Post] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start both servers."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.posts))
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.smtp_port = free_port()
        self._smtp = Controller(
            _Mailbox(self.mails),
            hostname="127.0.0.1",
            port=self.smtp_port,
            authenticator=self._log_in,
            auth_exclude_mechanism=["LOGIN"],  # its challenge is not the one that Alertmanager knows
            auth_require_tls=False,
        )
        self._smtp.start()

    def _log_in(
        self, server: smtp.SMTP, session: smtp.Session, envelope: smtp.Envelope, mechanism: str, data: object
    ) -> smtp.AuthResult:
        assert isinstance(data, smtp.LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return smtp.AuthResult(success=True)

    @property
    def url(self) -> str:
        """The address of the HTTP sink."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def webhook_alerts(self, name: str, status: str) -> list[dict[str, Any]]:
        """The alerts of this name and status ("firing", "resolved") that came to the webhook of the pager."""
        alerts = [alert for post in self.posts if post.path == "/alerts" for alert in post.body["alerts"]]
        return [alert for alert in alerts if (alert["labels"]["alertname"], alert["status"]) == (name, status)]

    def slack_messages(self, title: str) -> list[dict[str, Any]]:
        """The attachments of the messages to Slack whose title begins so."""
        messages = [message for post in self.posts if post.path == "/slack" for message in post.body["attachments"]]
        return [message for message in messages if message["title"].startswith(title)]

    def mails_about(self, subject: str) -> list[EmailMessage]:
        """The mails whose subject begins so."""
        return [mail for mail in self.mails if str(mail["Subject"]).startswith(subject)]

    def __enter__(self) -> Sinks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._smtp.stop()
        self._http.shutdown()
        self._http.server_close()


def _handler(posts: list[Post]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append(Post(self.path, json.loads(body), self.headers["Authorization"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Mailbox:
    def __init__(self, mails: list[EmailMessage]) -> None:
        self._mails = mails

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: smtp.SMTP, session: smtp.Session, envelope: smtp.Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self._mails.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 OK"
