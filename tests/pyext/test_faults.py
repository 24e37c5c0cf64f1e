"""Faults of the instruments in processes that install no application: each is counted, and told once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_MIDDLEWARE = """
import asyncio
async def app(scope, receive, send): pass
def fail(): raise OSError("no entropy service")
call = reqtrail.CorrelationIDMiddleware(app, generator=fail)
fault = lambda: asyncio.run(call({"type": "http", "headers": []}, None, None))
"""
_CELERY = """
import celery, celery.signals as signals
app = celery.Celery("shop", broker="memory://")
reqtrail.celery.install(app)
task = app.task(name="look")(print)
fault = lambda: signals.task_prerun.send(sender=task, task=object(), task_id="x", args=(), kwargs={})
"""
_DRIVER = """
def fail(): raise OSError("no tenant")
fault = lambda: reqtrail.sql_comment.Commenter(tags={"tenant": fail}).commented("SELECT 1")
"""
_SHOW = """
print(reqtrail.metrics.render("")[0].decode())
"""
_IN_A_CHILD = """
import os
reqtrail.metrics.open_segment()
if os.fork() == 0:
    fault()
    os._exit(0)
os.wait()
"""


def run(program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """A process of its own, in which nothing was counted before."""
    return subprocess.run(
        [sys.executable, "-c", "import reqtrail" + program],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "REQTRAIL_METRICS_DIR": str(directory)},
        timeout=60,
    )


@pytest.mark.parametrize(
    ("program", "where"),
    [(_MIDDLEWARE, "request id generator"), (_CELERY, "celery task start"), (_DRIVER, "sql_tags")],
    ids=["middleware", "celery", "driver"],
)
def test_a_fault_is_counted_without_an_installed_application(program: str, where: str, tmp_path: Path) -> None:
    ended = run(program + "fault(); fault()" + _SHOW, tmp_path)
    assert f'reqtrail_faults_total{{where="{where}"}} 2' in ended.stdout.splitlines()
    assert ended.stderr.count(f"reqtrail failed at: {where} (logged once") == 1


def test_a_fault_in_a_child_is_shown_by_its_parent(tmp_path: Path) -> None:
    shown = run(_MIDDLEWARE + _IN_A_CHILD + _SHOW, tmp_path).stdout
    assert 'reqtrail_faults_total{where="request id generator"} 1' in shown.splitlines()


@pytest.mark.parametrize("metrics", ["unusable", "broken"])
def test_a_fault_that_cannot_be_counted_is_told_and_harms_nothing(metrics: str, tmp_path: Path) -> None:
    directory = tmp_path / "file"
    directory.write_text("not a directory")
    breaks = "\nreqtrail.metrics.Counter = None\n" if metrics == "broken" else "\n"
    ended = run(breaks + _MIDDLEWARE + "fault(); fault(); print('served')", directory)
    assert ended.stdout == "served\n"
    for where in ("request id generator", "reqtrail_faults_total"):
        assert ended.stderr.count(f"reqtrail failed at: {where} (logged once") == 1
