"""The application that test_nothing_changes.py runs under real servers: `/<surroundings>/<scene>` plays a scene.

What the application inside sees of it, and what comes out of its surroundings, goes line by line to a file: a JSON
array of surroundings, scene and event, and at last the event "over".
"""

import json
import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

import reqtrail
from tests.pyext.asgi import scenes
from tests.pyext.asgi.driver import App
from tests.pyext.asgi.scenes import EVENTS, Receive, Send, names


def _installed() -> Starlette:
    app = Starlette(routes=[Mount("/", scenes.scene)])
    reqtrail.install(app, metrics_path=None)
    return app


SURROUNDINGS: dict[str, App] = {
    "nothing": scenes.scene,
    "middleware": reqtrail.CorrelationIDMiddleware(scenes.scene),
    "starlette": Starlette(routes=[Mount("/", scenes.scene)]),
    "installed": _installed(),
}


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await SURROUNDINGS["starlette"](scope, receive, send)
        return
    _, surroundings, scene = scope["path"].split("/")

    def note(event: object) -> None:
        with Path(os.environ[EVENTS]).open("a") as events:
            events.write(json.dumps([surroundings, scene, event]) + "\n")

    async def noting_send(message: Any) -> None:
        note(["came out", message["type"], message.get("status"), message.get("more_body")])
        await send(message)

    raised: list[BaseException] = []
    scope = {**scope, "path": f"/{scene}", "scene": scene, "note": note, "raised": raised}
    try:
        await SURROUNDINGS[surroundings](scope, receive, noting_send)
    except BaseException as error:
        note(["raised", names(error), [error is inner for inner in raised]])
        raise
    else:
        note("returned")
    finally:
        note("over")
