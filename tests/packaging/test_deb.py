"""The Debian package of the extension: installed, upgraded and removed by dpkg in a tree of its own."""

from pathlib import Path

import pytest

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY, PostgresTree
from tests.packaging.conftest import VERSION, run

pytestmark = pytest.mark.timeout(600)

NEXT_VERSION = f"{VERSION}+next"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, server_major: str) -> dict[str, Path]:
    """The package of this version and of one that follows, by their versions. lintian is content with both."""
    output = tmp_path_factory.mktemp("deb")
    for version in (VERSION, NEXT_VERSION):
        run(REPOSITORY / "packaging/deb/build.sh", output, version)
    return {
        version: next(output.glob(f"postgresql-{server_major}-pg-stat-requests_{version}_*.deb"))
        for version in (VERSION, NEXT_VERSION)
    }


class Debian:
    """A tree with a PostgreSQL and a package database, in which dpkg works without being root of the system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = PostgresTree(root / "usr")
        database = root / "var/lib/dpkg"
        for folder in ("info", "updates", "triggers"):
            (database / folder).mkdir(parents=True)
        (database / "status").touch()

    def dpkg(self, *arguments: str | Path) -> str:
        # What it depends on is installed in the system, of which this tree knows nothing.
        return run("dpkg", f"--root={self.root}", "--force-not-root", "--force-depends", "--log=/dev/null", *arguments)

    def installed_version(self, package: str) -> str:
        return run("dpkg-query", f"--admindir={self.root}/var/lib/dpkg", "-W", "-f=${Version}", package)


@pytest.fixture
def debian(reachable_path: Path) -> Debian:
    return Debian(reachable_path)


def test_it_is_installed_upgraded_and_removed(debian: Debian, packages: dict[str, Path], server_major: str) -> None:
    name = f"postgresql-{server_major}-pg-stat-requests"
    library = debian.tree.libraries / "pg_stat_requests.so"
    debian.dpkg("--install", packages[VERSION])
    with Postgres(debian.root / "server", tree=debian.root / "usr") as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
        debian.dpkg("--install", packages[NEXT_VERSION])
        assert debian.installed_version(name) == NEXT_VERSION
        server.restart()
        with server.connect() as connection:
            connection.execute("ALTER EXTENSION pg_stat_requests UPDATE")
            connection.execute("BEGIN; SET LOCAL pg_stat_requests.request_id = 'packaged'; COMMIT")
            found = connection.execute("SELECT transactions FROM pg_stat_requests('packaged')").fetchall()
            connection.execute("DROP EXTENSION pg_stat_requests")
    assert found == [(1,)]
    assert library.exists()
    debian.dpkg("--remove", name)
    assert not library.exists()
    assert [path for path in debian.tree.extensions.iterdir() if path.name.startswith("pg_stat_requests")] == []


def test_it_depends_on_its_server_and_carries_its_documentation(
    packages: dict[str, Path], server_major: str, tmp_path: Path
) -> None:
    package = packages[VERSION]
    depends = run("dpkg-deb", "--field", package, "Depends").split(",")
    assert f"postgresql-{server_major}" in [dependency.split()[0] for dependency in depends]
    run("dpkg-deb", "--extract", package, tmp_path)
    shipped = {path.name for path in tmp_path.rglob("usr/share/doc/*/*")}
    assert {"copyright", "changelog.gz", "pg_stat_requests.md.gz"} <= shipped
