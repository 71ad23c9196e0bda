"""Errors carry their status; one handler renders them as RFC 9457 problem+json. A message says what is wrong and what would be right."""

import msgspec


class AisleError(Exception):
    """An error that a caller can act on. `code` is stable and part of the API; `detail` is for people."""

    status = 500
    code = "internal"
    title = "Internal error"
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, field: str | None = None, accepted: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.accepted = accepted


class InvalidRequest(AisleError):
    status, code, title = 400, "invalid-request", "Invalid request"


class Unauthorised(AisleError):
    status, code, title = 401, "operator-token-required", "Operator token required"


class NotFound(AisleError):
    status, code, title = 404, "not-found", "Not found"


class VersionGone(AisleError):
    """A generation or release that was asked for by number is no longer served; ask again with the current one."""

    status, code, title = 410, "version-gone", "Version gone"


class BodyTooLarge(AisleError):
    status, code, title = 413, "body-too-large", "Body too large"


class Unavailable(AisleError):
    status, code, title, retry_after_s = 503, "unavailable", "Unavailable", 1


class Overloaded(AisleError):
    status, code, title, retry_after_s = 503, "overloaded", "Overloaded", 1


class DeadlineExceeded(AisleError):
    status, code, title = 504, "deadline-exceeded", "Deadline exceeded"


class ConfigurationError(Exception):
    """The process cannot start like this; the message is one line for the person who started it."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """RFC 9457 problem details, with the field that is wrong and what would be accepted."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    accepted: str | None = None


def problem(error: AisleError) -> Problem:
    return Problem(
        type=f"urn:aisle:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        field=error.field,
        accepted=error.accepted,
    )
