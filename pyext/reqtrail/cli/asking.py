"""Asking several sources at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def ask_aside(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call `ask` in a thread of its own. Its result, or what it raises, is that of the future.

    Nobody waits for the thread when the command ends: an interrupt ends it also while a source does not answer, which
    the threads of an executor would not let it.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask(*args, **kwargs))
        except BaseException as error:  # the caller's to handle
            answer.set_exception(error)

    Thread(target=run, daemon=True).start()
    return answer
