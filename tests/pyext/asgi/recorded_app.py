"""An application whose requests are recorded as it is told."""

from typing import Any

from fastapi import FastAPI, HTTPException
from starlette.responses import Response
from starlette.testclient import TestClient

import reqtrail


def app_with(**options: Any) -> FastAPI:
    """An application with one route, which fails for boom, refuses teapot and busy, and these options of `install`."""
    app = FastAPI()
    reqtrail.install(app, log_level=None, **{"namespace": "opts", **options})

    @app.get("/opts/{name}")
    async def item(name: str) -> str:
        if name == "boom":
            raise ValueError("boom")
        if name == "teapot":
            raise HTTPException(418)
        if name == "busy":
            raise HTTPException(503)
        return name

    return app


def answer_of(app: FastAPI, path: str) -> Response:
    """What it answers; 500 where it raises."""
    return TestClient(app, raise_server_exceptions=False).get(path)  # type: ignore[return-value]  # httpx's
