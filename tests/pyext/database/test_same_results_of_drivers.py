"""The same steps on a bare connection give the same results, the same errors and the same states with the hook."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.psycopg2
from devstack.postgres import Postgres
from reqtrail import reset_request_id, set_request_id
from tests.pyext.database.driver_steps import (
    STEPS,
    AsyncpgSteps,
    AsyncPsycopgSteps,
    Loop,
    Psycopg2Steps,
    PsycopgSteps,
    Steps,
)
from tests.pyext.database.hook_options import HOOKS, hook_options


@dataclass
class Pair:
    """Two connections alike, each with a table of its own; the second has the hook."""

    mode: str
    plain: Steps
    hooked: Steps


@pytest.fixture(scope="module", params=["asyncpg", "psycopg", "psycopg async", "psycopg2", "psycopg2 with a class"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=HOOKS)
def pair(request: pytest.FixtureRequest, driver: str, plain_postgres: Postgres) -> Iterator[Pair]:
    options = hook_options(request.param)
    with plain_postgres.connect() as setup:
        for schema in ("plain", "hooked"):
            setup.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            setup.execute(f"CREATE SCHEMA {schema} CREATE TABLE steps (a int)")
    with plain_postgres.connect() as observer:
        loop = Loop(observer)
        dsn = plain_postgres.dsn()
        plain, hooked = (_connect(driver, dsn, schema, loop, options) for schema in ("plain", "hooked"))
        yield Pair(request.param, plain, hooked)
    for steps in (plain, hooked):
        closing = steps.connection.close()  # type: ignore[attr-defined]  # each kind has one
        if driver == "asyncpg":
            loop.run(closing)
    loop.close()


def _connect(driver: str, dsn: str, schema: str, loop: Loop, options: dict[str, Any]) -> Steps:
    hooked = schema == "hooked"
    search_path: dict[str, Any] = {"options": f"-c search_path={schema}"}
    if driver == "asyncpg":
        connecting = asyncpg.connect(dsn, server_settings={"search_path": schema})
        connection = loop.run(connecting)
        if hooked:
            reqtrail.asyncpg.install(connection, **options)
        return AsyncpgSteps(connection, loop)
    if driver == "psycopg":
        three = psycopg.connect(dsn, **search_path)
        if hooked:
            reqtrail.psycopg.install(three, **options)
        return PsycopgSteps(three)
    if driver == "psycopg async":
        async_three = loop.run(psycopg.AsyncConnection.connect(dsn, **search_path))
        if hooked:
            reqtrail.psycopg.install(async_three, **options)
        return AsyncPsycopgSteps(async_three, loop)
    if driver == "psycopg2 with a class" and hooked:
        factory = reqtrail.psycopg2.connection_class(**options)
        return Psycopg2Steps(psycopg2.connect(dsn, connection_factory=factory, **search_path))
    two = psycopg2.connect(dsn, **search_path)
    if hooked:
        reqtrail.psycopg2.install(two, **options)
    return Psycopg2Steps(two)


def outcomes(steps: Steps, names: list[str], *, messages: bool) -> list[object]:
    found = [steps.take(name, messages=messages) for name in names]
    steps.finish()
    return found


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(STEPS), max_size=12), tagged=st.booleans())
@example(names=[*STEPS], tagged=True)
@example(names=[step for name in STEPS for step in (name, "rollback")], tagged=True)
@example(names=["autocommit", *(step for name in STEPS for step in (name, "count")), "autocommit"], tagged=True)
@example(names=["begin", "insert", "cancel_task", "count", "rollback", "count"], tagged=True)
def test_results_and_errors_are_the_same_with_the_hook(pair: Pair, names: list[str], tagged: bool) -> None:
    messages = pair.mode in ("guc", "application_name")
    expected = outcomes(pair.plain, names, messages=messages)
    token = set_request_id("abc-123") if tagged else None
    try:
        found = outcomes(pair.hooked, names, messages=messages)
    finally:
        if token is not None:
            reset_request_id(token)
    assert found == expected
