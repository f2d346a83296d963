"""The control API of a simulator that runs in another process."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from simulators.core.control import Control, ControlError
from simulators.core.wire import to_json


class RemoteControl:
    """Calls `/_control/` of `url`: `remote.orders(account="main")` returns what docs/simulators.md describes."""

    def __init__(self, url: str, *, timeout_s: float = 30.0, control: type[Control] = Control) -> None:
        """Call a simulator's control API; `control` is the venue's own class where it has further levers."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1") or parts.port is None:
            raise ValueError(f"a simulator's url is http on a loopback port, was {url!r}")
        self._host, self._port, self._timeout_s = parts.hostname, parts.port, timeout_s
        self._class = control

    def __getattr__(self, name: str) -> Any:
        method = getattr(getattr(self._class, name, None), "http_method", None)
        if method is None:
            raise AttributeError(f"the control API has no {name!r}")
        return lambda **arguments: self._call(method, name, arguments)

    def _call(self, method: str, name: str, arguments: Mapping[str, Any]) -> Any:
        plain = to_json(arguments)
        assert isinstance(plain, dict)
        path, body = f"/_control/{name}", None
        if method == "GET":
            path = f"{path}?{urlencode(plain)}" if plain else path
        else:
            body = json.dumps(plain)
        connection = HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ControlError(answer["error"])
        return answer
