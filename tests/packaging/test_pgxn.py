"""The extension's release archive, built as its README says, in a folder of its own."""

from pathlib import Path

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY, PostgresTree
from tests.packaging.conftest import VERSION, ExtensionArchive, run


def test_it_installs_with_the_makefile_for_pgxs(extension_archive: ExtensionArchive, reachable_path: Path) -> None:
    tree = PostgresTree(reachable_path / "usr")
    run("make", "-s", "-f", "Makefile.pgxs", "install", f"DESTDIR={reachable_path}", cwd=extension_archive.folder)
    with Postgres(reachable_path / "server", tree=reachable_path / "usr") as server, server.connect() as connection:
        connection.execute("CREATE EXTENSION pg_stat_requests")
        connection.execute("BEGIN; SET LOCAL pg_stat_requests.request_id = 'archived'; COMMIT")
        found = connection.execute("SELECT transactions FROM pg_stat_requests('archived')").fetchall()
    assert found == [(1,)]
    assert (tree.libraries / "pg_stat_requests.so").is_file()


def test_plain_make_builds_it_too(extension_archive: ExtensionArchive) -> None:
    run("make", "-s", cwd=extension_archive.folder)
    assert (extension_archive.folder / "pg_stat_requests.so").is_file()


def test_its_metadata_names_files_that_are_in_it(extension_archive: ExtensionArchive) -> None:
    meta = extension_archive.meta
    assert {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"} <= set(meta)
    assert meta["version"] == VERSION
    (provided,) = meta["provides"].values()
    for what in ("file", "docfile"):
        assert (extension_archive.folder / provided[what]).is_file()
    assert extension_archive.archive.name == f"pg_stat_requests-{VERSION}.zip"


def test_it_holds_every_script_and_nothing_of_the_python_side(extension_archive: ExtensionArchive) -> None:
    scripts = {path.name for path in (REPOSITORY / "sql").glob("pg_stat_requests*")}
    assert scripts <= {path.name for path in (extension_archive.folder / "sql").iterdir()}
    assert not {"pyext", "metrics", "tests"} & {path.name for path in extension_archive.folder.iterdir()}
