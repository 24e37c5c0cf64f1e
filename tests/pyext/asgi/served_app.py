"""The application that test_servers.py runs under a real server: `uvicorn tests.pyext.asgi.served_app:app`."""

import asyncio
import logging

from fastapi import FastAPI, WebSocket

import reqtrail
from tests.pyext.asgi.driver import answer

logging.basicConfig(level="INFO", format="%(name)s | %(message)s")

app = FastAPI()
reqtrail.install(app, log_level=None)


@app.get("/hello/{name}")
async def hello(name: str) -> str | None:
    await asyncio.sleep(0)
    return reqtrail.get_request_id()


@app.get("/trace")
async def trace() -> str | None:
    await asyncio.sleep(0)
    return reqtrail.get_traceparent()


@app.get("/boom")
async def boom() -> None:
    raise ValueError("boom of the served application")


@app.websocket("/ws")
async def websocket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(str(reqtrail.get_request_id()))
    await socket.close()


async def _answer_id(scope: object, receive: object, send: object) -> None:
    await answer(send, body=str(reqtrail.get_request_id()).encode())


bare = reqtrail.CorrelationIDMiddleware(_answer_id)
