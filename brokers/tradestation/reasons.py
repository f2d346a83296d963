"""Why nobody is logged in: stable codes of the login."""

from __future__ import annotations

from brokers.errors import AuthenticationRefused
from brokers.reasons import Reason

LOGIN = "algotrendy login tradestation"


class LoginReason(Reason):
    """What keeps a person or a process from being logged in. No order was sent."""

    LOGIN_NEEDED = (
        "LOGIN_NEEDED",
        "No usable refresh token of this key is on this machine: none was stored, or TradeStation takes it no more.",
        "Log in on the machine of the workers: algotrendy login tradestation --account NAME.",
    )
    LOGIN_STORE_UNUSABLE = (
        "LOGIN_STORE_UNUSABLE",
        "The file of tokens cannot be read or is open to others.",
        "Correct the owner and mode of the file that the message names (0600), or delete it and log in again.",
    )
    LOGIN_NOT_OFFERED = (
        "LOGIN_NOT_OFFERED",
        "The account's venue has no login: its key is all that it needs.",
        "Name an account of the venue that was asked for.",
    )
    LOGIN_PORT_TAKEN = (
        "LOGIN_PORT_TAKEN",
        "The port to which the browser would come back cannot be listened on.",
        "Free the port, or choose another one that is allowed for the API key: --port.",
    )
    LOGIN_TIMED_OUT = (
        "LOGIN_TIMED_OUT",
        "The browser did not come back in time.",
        "Run the command again. If the browser shows an error, the address may not be allowed for the API key: --port.",
    )
    LOGIN_DENIED = (
        "LOGIN_DENIED",
        "TradeStation sent the browser back without a login: it was declined, or the key may not have what was asked.",
        "Log in again and agree; otherwise ask TradeStation which scopes the key has.",
    )
    LOGIN_STATE_WRONG = (
        "LOGIN_STATE_WRONG",
        "A browser came back with an answer to another login than the one that is under way; it was not used.",
        "Finish the login in the page that this command opened, or run the command again.",
    )


class LoginRefused(AuthenticationRefused):
    """Not logged in; `reason` says why."""

    def __init__(self, kind: LoginReason, message: str) -> None:
        super().__init__(message, details={"remedy": kind.remedy})
        self.kind = kind
        self.reason = kind.value

    def __reduce__(self) -> tuple[object, ...]:
        return (LoginRefused, (self.kind, self.message))
