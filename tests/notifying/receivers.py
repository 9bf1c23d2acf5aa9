"""Services on loopback that messages are sent to: over HTTP, by mail, and one that never answers."""

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

PATIENCE = 60.0
"""Seconds until a test gives up: against hanging only."""


@dataclass
class Receiver:
    """What has arrived; `url` is what Apprise is given."""

    url: str = ""
    arrived: "Queue[dict[str, Any]]" = field(default_factory=Queue)

    def next(self) -> dict[str, Any]:
        """The next message: its title, body and type."""
        return self.arrived.get(timeout=PATIENCE)


@contextmanager
def http_receiver(status: int = 200, path: str = "") -> Iterator[Receiver]:
    """A service that takes JSON, and answers each message with this status."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            given = json.loads(text)
            receiver.arrived.put(
                {"title": given["title"], "body": given["message"], "type": given["type"]}
            )
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format, *args):  # noqa: A002
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.url = f"json://127.0.0.1:{port}/{path}"
        yield receiver


@contextmanager
def mail_receiver() -> Iterator[Receiver]:
    """A mail server that takes every mail."""
    receiver = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.say("220 ready")
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "DATA":
                    self.say("354 go on")
                    self.take_mail()
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                self.say("250 yes")

        def take_mail(self):
            lines = []
            while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                lines.append(line.removeprefix("."))
            mail = message_from_string("\r\n".join(lines), policy=default)
            part = mail.get_body(("plain", "html"))
            assert part is not None
            receiver.arrived.put(
                {"title": str(mail["Subject"]), "body": part.get_content(), "to": str(mail["To"])}
            )

        def say(self, line):
            self.wfile.write(f"{line}\r\n".encode())

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.url = (
            f"mailto://127.0.0.1:{port}?mode=insecure&smtp=127.0.0.1"
            "&from=watchdog@example.com&to=ops@example.com"
        )
        yield receiver


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    with server:
        server.daemon_threads = True  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


@contextmanager
def silent_receiver() -> Iterator[str]:
    """A service that takes connections and never answers; yields its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = listener.getsockname()[1]
        yield f"json://127.0.0.1:{port}/?rto=600&cto=600"
