"""The wheel and the source distribution, as somebody gets them who has neither this repository nor a compiler."""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from devstack.postgres_tree import REPOSITORY
from tests.packaging.conftest import VERSION, Distribution, run, without_compilers

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def clean_python(tmp_path: Path) -> Path:
    """The interpreter of a new virtual environment."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "clean")
    return tmp_path / "clean/bin/python"


def install(python: Path, what: str) -> None:
    """Install prebuilt packages only, of the versions that the project is tested with."""
    constraints = python.parent / "constraints.txt"
    pins = (REPOSITORY / "requirements-dev.txt").read_text()
    constraints.write_text(re.sub(r"\[\w+\]", "", pins))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, "--only-binary=:all:", "--constraint", constraints, what)


def test_the_wheel_is_for_any_linux_of_its_age_and_is_typed(distribution: Distribution) -> None:
    major, minor = sys.version_info[:2]
    name = rf"reqtrail-{re.escape(VERSION)}-cp{major}{minor}-cp{major}{minor}-manylinux_2_\d+_x86_64\.whl"
    assert re.fullmatch(name, distribution.wheel.name)
    with zipfile.ZipFile(distribution.wheel) as wheel:
        names = wheel.namelist()
    assert {"reqtrail/py.typed", "reqtrail/_native.pyi", "reqtrail/cli/trail_page.css"} <= set(names)
    assert [name for name in names if name.startswith("reqtrail.libs/libcivetweb")]
    assert [name for name in names if name.endswith((".cpp", ".h"))] == []
    assert {name.split("/")[0] for name in names} <= {"reqtrail", "reqtrail.libs", f"reqtrail-{VERSION}.dist-info"}


def test_it_installs_and_works_alone_without_a_compiler(distribution: Distribution, clean_python: Path) -> None:
    install(clean_python, str(distribution.wheel))
    program = r"""
import reqtrail
from reqtrail import logging, metrics
metrics.open_segment("wheel")
metrics.Counter("jobs", "Jobs").inc()
assert "jobs_total 1\n" in metrics.render("")[0].decode()
server, _ = metrics.start_http_server(0)
server.shutdown()
reqtrail.set_request_id("of-the-wheel")
print(reqtrail.__version__, reqtrail.get_request_id())
"""
    environment = without_compilers() | {"REQTRAIL_METRICS_DIR": str(clean_python.parent / "metrics")}
    assert run(clean_python, "-c", program, env=environment) == f"{VERSION} of-the-wheel\n"


def test_every_extra_brings_what_its_part_imports(distribution: Distribution, clean_python: Path) -> None:
    install(clean_python, f"{distribution.wheel}[all]")
    parts = ["asgi", "celery", "sqlalchemy", "asyncpg", "psycopg", "logging", "metrics", "cli.app"]
    imports = "\n".join(f"import reqtrail.{part}" for part in parts)
    program = f"""
{imports}
from starlette.applications import Starlette
reqtrail.install(Starlette())
print("done")
"""
    environment = without_compilers() | {"REQTRAIL_METRICS_DIR": str(clean_python.parent / "metrics")}
    assert run(clean_python, "-c", program, env=environment) == "done\n"
    assert run(clean_python.with_name("reqtrail"), "--version") == f"reqtrail {VERSION}\n"


def test_the_extras_are_those_that_the_documents_name(distribution: Distribution) -> None:
    with zipfile.ZipFile(distribution.wheel) as wheel:
        metadata = wheel.read(f"reqtrail-{VERSION}.dist-info/METADATA").decode()
    extras = set(re.findall(r"^Provides-Extra: (\S+)$", metadata, re.MULTILINE))
    assert extras == {"fastapi", "celery", "sqlalchemy", "asyncpg", "psycopg", "psycopg2", "cli", "all"}
    required = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    assert [one for one in required if "extra ==" not in one] == []


def test_the_source_distribution_has_what_the_build_needs_and_no_build_output(distribution: Distribution) -> None:
    with tarfile.open(distribution.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CMakeLists.txt", "VERSION", "LICENSE", "core/request_id.h", "pyext/module.cmake"} <= names
    assert [name for name in names if name.startswith(("build/", ".git/"))] == []


def test_cibuildwheel_builds_for_every_python_and_processor_that_is_supported() -> None:
    cibuildwheel = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform=linux"]
    built = run(*cibuildwheel, "--archs=x86_64,aarch64", cwd=REPOSITORY).split()
    processors = ("x86_64", "aarch64")
    assert set(built) == {f"cp3{minor}-manylinux_{name}" for minor in range(10, 15) for name in processors}
