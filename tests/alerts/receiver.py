"""An HTTP server on loopback that Alertmanager's webhooks are delivered to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What was delivered so far, in its order: the path and the message."""

    url: str = ""
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def told(self, path: str, alertname: str, status: str) -> list[dict[str, Any]]:
        """The alerts of one name and status that came to a path."""
        return [
            alert
            for where, message in list(self.messages)
            for alert in message["alerts"]
            if (where, alert["labels"]["alertname"], alert["status"]) == (path, alertname, status)
        ]

    def names(self, path: str) -> set[str]:
        """The names of all the alerts that came to a path."""
        return {
            alert["labels"]["alertname"]
            for where, message in list(self.messages)
            for alert in message["alerts"]
            if where == path
        }


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.messages.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        receiver.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            http.shutdown()
            thread.join()
