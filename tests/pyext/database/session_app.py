"""An application whose requests each have a session of SQLAlchemy, as FastAPI advises, for the tests."""

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import reqtrail

SEEN = "current_setting('pg_stat_requests.request_id', true)"

app = FastAPI()
engine = create_async_engine(os.environ["SESSION_APP_DATABASE"], pool_size=4, max_overflow=0, pool_timeout=60)
reqtrail.install(app, engine=engine)


async def new_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


@app.get("/seen")
async def seen(session: Annotated[AsyncSession, Depends(new_session)]) -> str | None:
    async with session.begin_nested():
        await session.execute(text("SELECT pg_sleep(0.002)"))
    found: str | None = await session.scalar(text(f"SELECT {SEEN}"))
    return found


@app.get("/rows")
async def rows(session: Annotated[AsyncSession, Depends(new_session)]) -> StreamingResponse:
    found = await session.stream(text(f"SELECT {SEEN} FROM generate_series(1, 100000)"))

    async def lines() -> AsyncIterator[str]:
        async for row in found:
            yield f"{row[0]}\n"

    return StreamingResponse(lines())
