"""An engine of any kind whose pool is counted."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

import reqtrail.sqlalchemy
from tests.own_metrics import total
from tests.pyext.database.database import Database

T = TypeVar("T")

STATES = ("checked_out", "idle")


class Pool:
    """An engine of one kind whose pool is counted under a name of its own."""

    def __init__(self, kind: str, port: int, name: str, **options: Any) -> None:
        self.database = Database(kind, port, **options)
        self.name = name
        self.install()

    def install(self) -> None:
        reqtrail.sqlalchemy.install(self.database.engine, pool_name=self.name)

    def uninstall(self) -> None:
        reqtrail.sqlalchemy.uninstall(self.database.engine)

    def run(self, work: Callable[[Engine], T]) -> T:
        """Do work that is written for an Engine, also on an AsyncEngine."""
        is_async = isinstance(self.database.engine, AsyncEngine)
        return self.database.await_(greenlet_spawn(work, self.sync_engine)) if is_async else work(self.sync_engine)

    @property
    def sync_engine(self) -> Engine:
        """The engine, or that in an AsyncEngine."""
        engine = self.database.engine
        return engine.sync_engine if isinstance(engine, AsyncEngine) else engine

    @property
    def states(self) -> tuple[float, ...]:
        """How many connections are checked out, and how many are idle."""
        return tuple(total("reqtrail_db_pool_connections", pool=self.name, state=state) for state in STATES)

    def __getattr__(self, name: str) -> float:
        return total(f"reqtrail_db_pool_{name}", pool=self.name)


Make = Callable[..., Pool]
"""What the fixture `make` gives: makes a Pool with these options of its engine."""
