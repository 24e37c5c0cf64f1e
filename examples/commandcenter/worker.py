"""The Celery side: `celery -A examples.commandcenter.worker worker`."""

import logging

from celery import Celery
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import reqtrail
from examples.commandcenter.models import Commit, Repository
from examples.commandcenter.settings import BROKER_URL, SYNC_DATABASE_URL

celery_app = Celery("commandcenter", broker=BROKER_URL)
celery_app.conf.task_ignore_result = True
engine = create_engine(SYNC_DATABASE_URL)
logger = logging.getLogger("commandcenter.worker")

reqtrail.celery.install(celery_app)
reqtrail.sqlalchemy.install(engine)


@celery_app.task(  # type: ignore[untyped-decorator]  # Celery ships no types
    name="commandcenter.sync_repository", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3
)
def sync_repository(repository_id: int) -> None:
    with Session(engine) as session, session.begin():
        repository = session.get_one(Repository, repository_id)
        commits = session.scalar(select(func.count()).where(Commit.repository_id == repository_id))
        session.add(Commit(repository_id=repository_id, message=f"change {commits}"))
        repository.syncs_finished += 1
    logger.info("synchronised repository %d", repository_id)
