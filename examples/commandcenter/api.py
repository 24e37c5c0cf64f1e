"""The HTTP side: `uvicorn examples.commandcenter.api:app`."""

import logging
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import reqtrail
from examples.commandcenter.models import Commit, Repository
from examples.commandcenter.settings import ASYNC_DATABASE_URL, LOG_FILE
from examples.commandcenter.worker import celery_app, sync_repository

app = FastAPI(title="CommandCenter")
engine = create_async_engine(ASYNC_DATABASE_URL)
logger = logging.getLogger("commandcenter.api")

if LOG_FILE:
    reqtrail.logging.setup(origin="api", file=LOG_FILE, max_bytes=100_000_000)
reqtrail.install(app, celery=celery_app, engine=engine)


async def session_of_request() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Database = Annotated[AsyncSession, Depends(session_of_request)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/api/v1/repositories")
async def list_repositories(database: Database) -> list[str]:
    return list(await database.scalars(select(Repository.name).order_by(Repository.id)))


@app.post("/api/v1/repositories/{id}/sync", status_code=202)
async def request_sync(id: int, database: Database) -> dict[str, str]:
    async with database.begin():
        repository = await database.get(Repository, id, with_for_update=True)
        if repository is None:
            raise HTTPException(404, f"there is no repository {id}")
        repository.syncs_requested += 1
    task = sync_repository.delay(id)
    logger.info("sync of repository %d requested", id)
    return {"task_id": task.id}


@app.get("/api/v1/repositories/commits")
async def count_commits(database: Database) -> dict[str, int]:
    """The classic mistake: one query for the list, then one for each of its entries (N+1)."""
    counts = {}
    for repository in (await database.scalars(select(Repository))).all():
        commits = await database.scalars(select(Commit).where(Commit.repository_id == repository.id))
        counts[repository.name] = len(commits.all())
    return counts


@app.get("/api/v1/reports/slow")
async def slow_report(database: Database) -> dict[str, str]:
    await database.execute(text("SELECT pg_sleep(0.25)"))
    return {"report": "done"}


@app.get("/api/v1/trigger-error")
async def trigger_error(database: Database) -> None:
    """Fails inside the database, and nobody handles it."""
    await database.execute(update(Repository).values(stars=Repository.stars / (Repository.stars - Repository.stars)))
