"""The examples in the documents are right: programs run, queries are answered, configuration can be read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY
from tests.docs.documents import DOCUMENTS, Example, examples

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What a reader has in front of them when they come to an example.
_BEFORE = """
import contextlib, logging, logging.handlers, os
import structlog
import reqtrail
from celery import Celery
from fastapi import FastAPI
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
app = FastAPI()
celery_app = Celery("shop", broker="memory://")
engine = create_engine("postgresql+psycopg://127.0.0.1/shop")
class PaymentRefused(Exception): pass
class Cart: id = 7
def charge(cart): raise PaymentRefused(cart)
cart = Cart()
"""
_ALL = [example for document in DOCUMENTS for example in examples(document)]
_PROGRAMS = {
    document: text
    for document in DOCUMENTS
    if (text := "\n".join(one.text for one in examples(document) if one.language == "python" and not one.purpose))
}


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("document", _PROGRAMS, ids=named)
def test_the_programs_of_a_document_run_one_after_the_other(document: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "REQTRAIL_METRICS_DIR": str(tmp_path / "metrics")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", _BEFORE + _PROGRAMS[document]],
        cwd=tmp_path,
        env=environment,
        check=False,
        text=True,
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_queries_of_every_document_are_answered(tmp_path: Path) -> None:
    queries = [one for one in _ALL if one.language == "sql" and one.document.name != "getting-started.md"]
    assert queries
    settings = {"shared_preload_libraries": "pg_stat_statements,pg_stat_requests"}
    with Postgres(tmp_path / "server", settings=settings) as server, server.connect() as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        failed = []
        for query in queries:
            try:
                connection.execute(query.text)
            except Exception as error:
                failed.append(f"{named(query.document)}:{query.line}: {error}")
            connection.execute("ROLLBACK")
    assert failed == []


_READERS: dict[str, Callable[[str], object]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}


@pytest.mark.parametrize(
    "example", [one for one in _ALL if one.language in _READERS], ids=lambda one: f"line {one.line}"
)
def test_configuration_can_be_read(example: Example) -> None:
    assert _READERS[example.language](example.text)
