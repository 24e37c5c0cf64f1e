"""An application whose requests are recorded as it is told."""

from typing import Any

from fastapi import FastAPI, HTTPException
from starlette.responses import Response
from starlette.testclient import TestClient

import reqtrail


def app_with(**options: Any) -> FastAPI:
    """An application with these options of `install` and one route: it fails for boom, refuses teapot and busy.

    It answers a number with that as the status, without an exception.
    """
    app = FastAPI()
    reqtrail.install(app, log_level=None, **{"namespace": "opts", **options})

    @app.get("/opts/{name}")
    async def item(name: str) -> Any:
        if name == "boom":
            raise ValueError("boom")
        if name == "teapot":
            raise HTTPException(418)
        if name == "busy":
            raise HTTPException(503)
        if name.isdecimal():
            return Response(status_code=int(name))
        return name

    return app


def answer_of(app: FastAPI, path: str) -> Response:
    """What it answers; 500 where it raises."""
    return TestClient(app, raise_server_exceptions=False).get(path)  # type: ignore[return-value]  # httpx's
