"""The application that http_server.py puts under load: `uvicorn --factory tests.performance.served_app:make`."""

import os

from fastapi import FastAPI

import reqtrail
from tests.performance.http_peers import PEERS, Add

VARIANT = "REQTRAIL_BENCH_VARIANT"
"""The environment variable that names the middleware: one of VARIANTS."""
BARE = "no middleware"
BARE_AGAIN = "no middleware, another server"
ID_ALONE = "id alone"
METRICS_TOO = "id, metrics, errors"
LINE_TOO = "id, metrics, errors, access line"


def _nothing(app: FastAPI) -> None:
    pass


def _id_alone(app: FastAPI) -> None:
    app.add_middleware(reqtrail.CorrelationIDMiddleware)


def _metrics_too(app: FastAPI) -> None:
    reqtrail.install(app, log_level=None)


def _line_too(app: FastAPI) -> None:
    reqtrail.logging.setup(file="/dev/null")
    reqtrail.install(app)


VARIANTS: dict[str, Add] = {
    BARE: _nothing,
    BARE_AGAIN: _nothing,
    ID_ALONE: _id_alone,
    METRICS_TOO: _metrics_too,
    LINE_TOO: _line_too,
    **PEERS,
}


def make() -> FastAPI:
    """A small FastAPI application with the middleware that the environment names."""
    app = FastAPI()
    VARIANTS[os.environ[VARIANT]](app)

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    return app
