"""Processes that are forked from one parent, as server workers are."""

import asyncio
import os
from typing import Any

from reqtrail import CorrelationIDMiddleware
from tests.pyext.asgi.driver import answer, call

WORKERS = 8
IDS_EACH = 125_000


async def _plain(scope: Any, receive: Any, send: Any) -> None:
    await answer(send)


async def _ids(app: CorrelationIDMiddleware, count: int) -> list[str]:
    return [(await call(app)).request_id for _ in range(count)]


def test_workers_forked_from_one_process_never_give_the_same_id() -> None:
    app = CorrelationIDMiddleware(_plain)
    ids = asyncio.run(_ids(app, 10))  # the parent has drawn random bytes that a child inherits
    pipes = []
    for _ in range(WORKERS):
        reading, writing = os.pipe()
        if os.fork() == 0:
            status = 1
            try:
                with os.fdopen(writing, "w") as pipe:
                    pipe.write("\n".join(asyncio.run(_ids(app, IDS_EACH))))
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        pipes.append(reading)
    for reading in pipes:
        with os.fdopen(reading) as pipe:
            ids += pipe.read().split("\n")
    for _ in range(WORKERS):
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    assert len(ids) == 10 + WORKERS * IDS_EACH
    assert len(set(ids)) == len(ids)
