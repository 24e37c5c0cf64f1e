"""docker-compose.yml and the images, as far as they can be tried without an engine."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import yaml

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY, bindir
from tests.monitoring import shipped

COMPOSE = REPOSITORY / "monitoring" / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
LOOPBACK = "${REQTRAIL_BIND:-127.0.0.1}:"
PROVISIONING = REPOSITORY / "monitoring" / "grafana" / "provisioning"
PASSWORDS = {"commandcenter_password": "it's-the-application", "exporter_password": 'with "quotes"'}
each_service = pytest.mark.parametrize("name", SERVICES)


def linted(*command: str | Path) -> tuple[int, str]:
    """The exit status and the output of a linter of the virtual environment, run in the repository."""
    argv = [REPOSITORY / "build" / "venv" / "bin" / command[0], *command[1:]]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def sources() -> list[Path]:
    """The files of the repository: none that was built, downloaded or kept for the next run."""
    folders = [path for path in REPOSITORY.iterdir() if path.is_dir() and path.name != "build"]
    hidden = {path for path in folders if path.name.startswith(".") and path.name != ".ci"}
    files = [path for folder in folders if folder not in hidden for path in folder.rglob("*")]
    files += REPOSITORY.iterdir()
    return [path for path in files if path.is_file() and path.suffix != ".pyc" and path.name != ".env"]


def test_compose_file_is_of_the_compose_specification() -> None:
    status, said = linted("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert status == 0, said


def test_yaml_files_are_well_written() -> None:
    assert linted("yamllint", "--strict", ".") == (0, "")


def test_dockerfiles_are_well_written() -> None:
    files = sorted((REPOSITORY / "packaging" / "docker").glob("*/Dockerfile"))
    assert len(files) == 2
    assert linted("hadolint", "--config", ".hadolint.yaml", *files) == (0, "")


def test_every_part_is_there() -> None:
    assert set(SERVICES) == {
        *("postgres", "redis", "tables", "backend", "celery-worker", "postgres-exporter", "node-exporter"),
        *("prometheus", "alertmanager", "loki", "alloy", "grafana"),
    }


@each_service
def test_images_are_pinned_or_built_here(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).resolve().exists()
    else:
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+(-\w+)?", service["image"])


@pytest.mark.parametrize("file", ["postgres", "commandcenter"])
def test_base_images_are_pinned(file: str) -> None:
    text = (REPOSITORY / "packaging" / "docker" / file / "Dockerfile").read_text()
    for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        assert re.fullmatch(r"\w+:\d+\.\d+(\.\d+)?-[\w-]+", image)


@each_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith(LOOPBACK), port


def test_nobody_but_people_s_pages_is_published() -> None:
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {
        *("backend", "prometheus", "alertmanager", "grafana"),
    }


@each_service
def test_health_is_checked(name: str) -> None:
    if name != "tables":  # ends
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@each_service
def test_no_service_gains_privileges(name: str) -> None:
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in SERVICES[name]
    assert "docker.sock" not in json.dumps(SERVICES[name])


@each_service
def test_mounted_files_are_in_the_repository(name: str) -> None:
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (COMPOSE.parent / source).exists(), mount
            assert mount.endswith(":ro"), mount
        elif source != "/":
            assert source in volumes


def test_secrets_come_from_the_environment_and_are_all_asked_for() -> None:
    secrets = yaml.safe_load(COMPOSE.read_text())["secrets"]
    example = (COMPOSE.parent / "env.example").read_text()
    for name, secret in secrets.items():
        assert re.search(rf"^{secret['environment']}=", example, re.MULTILINE), name
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(secrets)


def test_passwords_of_the_example_are_empty() -> None:
    example = (COMPOSE.parent / "env.example").read_text()
    assert re.findall(r"^\w+_PASSWORD=(.*)$", example, re.MULTILINE) == ["", "", "", "", "not-set"]


def test_no_secret_is_in_the_repository() -> None:
    key = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----|hooks\.slack\.com/services/T\w+/B\w+/\w{20,}"
        r"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}\b"
    )
    assert len(sources()) > 300
    for file in sources():
        if file != Path(__file__):
            assert not key.search(file.read_text(errors="replace")), file


def test_prometheus_scrapes_services_of_the_file() -> None:
    for job in shipped.load(shipped.PROMETHEUS)["scrape_configs"]:
        [target] = job["static_configs"][0]["targets"]
        host, port = target.split(":")
        assert host in {*SERVICES, "localhost"}, target
        if host != "localhost":
            opened = json.dumps([SERVICES[host].get(key) for key in ("ports", "expose", "environment")])
            assert port in opened, target


def test_grafana_asks_services_of_the_file_and_gets_what_its_files_name() -> None:
    text = (PROVISIONING / "datasources" / "reqtrail.yml").read_text()
    urls = [source["url"] for source in yaml.safe_load(text)["datasources"]]
    assert {re.sub(r"https?://|:\d+$", "", url) for url in urls} == {"prometheus", "loki", "$POSTGRES_ADDRESS"}
    environment = SERVICES["grafana"]["environment"]
    named = set(re.findall(r"(?<!\$)\$([A-Z][A-Z_]+)", text))
    assert named <= set(environment)
    for path in re.findall(r"\$__file\{/run/secrets/(\w+)\}", text):
        assert path in SERVICES["grafana"]["secrets"]
    mounts = [mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]]
    providers = yaml.safe_load((PROVISIONING / "dashboards" / "reqtrail.yml").read_text())["providers"]
    assert {provider["options"]["path"] for provider in providers} <= set(mounts)


def test_alloy_reads_the_files_that_the_services_write() -> None:
    config = (REPOSITORY / "monitoring" / "alloy" / "config.alloy").read_text()
    patterns = re.findall(r'__path__ = "([^"]+)"', config)
    written = [
        SERVICES["backend"]["environment"]["COMMANDCENTER_LOG_FILE"],
        *(word.split("=")[1] for word in SERVICES["celery-worker"]["command"] if word.startswith("--logfile=")),
        settings_of_postgres()["log_directory"] + "/postgresql-Tue.json",
    ]
    for file in written:
        assert any(Path(file).match(pattern) for pattern in patterns), file


def settings_of_postgres() -> dict[str, str]:
    """What the command of the service postgres sets."""
    words = SERVICES["postgres"]["command"]
    return dict(word.split("=", 1) for flag, word in pairwise(words) if flag == "-c")


def test_loki_deletes_after_thirty_days() -> None:
    loki = yaml.safe_load((REPOSITORY / "monitoring" / "loki" / "loki.yml").read_text())
    assert loki["limits_config"]["retention_period"] == "720h"
    assert loki["compactor"]["retention_enabled"] is True
    assert loki["compactor"]["delete_request_store"] == "filesystem"
    assert loki["limits_config"]["allow_structured_metadata"] is True
    [schema] = loki["schema_config"]["configs"]
    assert (schema["store"], schema["schema"]) == ("tsdb", "v13")
    assert loki["limits_config"]["discover_service_name"] == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server with the settings of the file, after the script that the image runs at its first start."""
    directory = tmp_path_factory.mktemp("compose")
    for name, password in PASSWORDS.items():
        (directory / name).write_text(password)
    logs: dict[str, str | int] = {**settings_of_postgres(), "log_directory": "log"}
    with Postgres(directory / "postgres", settings=logs) as server:
        environment = {
            **os.environ,
            "PATH": f"{bindir()}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "REQTRAIL_SHARE": str(REPOSITORY / "sql"),
            "SECRETS": str(directory),
        }
        script = REPOSITORY / "packaging/docker/postgres/create_application.sh"
        subprocess.run([script], env=environment, check=True)
        (server.data / "pg_hba.conf").write_text("host all postgres all trust\nhost all all all scram-sha-256\n")
        with server.connect() as admin:
            admin.execute("SELECT pg_reload_conf()")
        yield server


def entered(server: Postgres, role: str, password: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection with a password."""
    return psycopg.connect(f"{server.dsn('commandcenter', role)}?password={quote(password)}", autocommit=True)


@pytest.mark.parametrize(
    ("role", "secret"), [("commandcenter", "commandcenter_password"), ("exporter_user", "exporter_password")]
)
def test_a_role_enters_with_the_password_of_its_secret(made: Postgres, role: str, secret: str) -> None:
    with entered(made, role, PASSWORDS[secret]) as connection:
        assert connection.execute("SELECT count(*) FROM pg_stat_requests").fetchone() is not None
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        entered(made, role, "another")


def test_the_application_owns_its_database(made: Postgres) -> None:
    with entered(made, "commandcenter", PASSWORDS["commandcenter_password"]) as connection:
        connection.execute("CREATE SCHEMA of_its_own")
