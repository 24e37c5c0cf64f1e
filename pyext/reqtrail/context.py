"""The id of the request that the running code works for."""

from contextvars import Token

from reqtrail._native import request_id_fault, request_id_var, traceparent_var

__all__ = ["get_request_id", "get_traceparent", "reset_request_id", "set_request_id"]


def get_request_id() -> str | None:
    """Return the id of the request that the running code works for, or None outside of a request."""
    return request_id_var.get(None)


def get_traceparent() -> str | None:
    """Return the W3C traceparent that the request, or the message of the task, came with; None without one.

    It is for you to pass on to other services; tasks that are published get it by themselves.

    It is 55 characters of version 00, as it came. That of a later version is passed on as one of version 00.
    """
    return traceparent_var.get(None)


def set_request_id(id: str) -> Token[str]:  # noqa: A002 - the name that every caller reads
    """Work for request `id` from here on, in the current context (task, thread or greenlet).

    Returns the token that `reset_request_id` takes. Raises TypeError when `id` is not a str, and ValueError when it is
    not a request id: 1 to 128 characters of A-Z, a-z, 0-9, ".", "_" and "-".
    """
    if not isinstance(id, str):
        raise TypeError(f"a request id is a str, not {type(id).__name__}")
    fault = request_id_fault(id)
    if fault:
        raise ValueError(
            f'not a request id, {fault}: a request id is 1 to 128 characters of A-Z, a-z, 0-9, ".", "_" and "-"'
        )
    return request_id_var.set(id)


def reset_request_id(token: Token[str]) -> None:
    """Put back the id that was there before the `set_request_id` that returned `token`.

    Raises ValueError when `token` was made in another context, and RuntimeError when it was used before.
    """
    request_id_var.reset(token)
