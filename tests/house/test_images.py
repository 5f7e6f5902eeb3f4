"""The Dockerfile and docker-compose.yml, checked as far as that goes where no container engine runs."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from gradclinic.contract.limits import Limits
from store.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "service", "worker")
LONG_RUNNING = tuple(name for name in SERVICES if name != "migrate")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GIB = 1024**3
REQUIRED_VARIABLES = ("GRADCLINIC_API_KEYS", "GRADCLINIC_DATABASE_PASSWORD", "GRADCLINIC_BROKER_PASSWORD")


def copied_from_context() -> list[str]:
    """Every source of a COPY that comes from the build context, not from another stage."""
    lines = [line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    return [source for words in lines if not words[0].startswith("--from=") for source in words[:-1]]


def stages() -> dict[str, str]:
    """Each stage of the Dockerfile by its name."""
    parts = re.split(r"^FROM .* AS (\w+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def module_of(command: list[str]) -> str:
    """The module that a command `python -m MODULE ...` runs."""
    assert command[:2] == ["python", "-m"]
    return command[2]


def is_runnable(module: str) -> bool:
    found = importlib.util.find_spec(module)
    if found is not None and found.submodule_search_locations is not None:
        found = importlib.util.find_spec(f"{module}.__main__")
    return found is not None


def default_of(value: str) -> str:
    """The default of a variable that compose reads: `${NAME:-default}`."""
    return re.fullmatch(r"\$\{\w+:-([^}]*)\}", value)[1]  # type: ignore[index]  # one that does not match is a failure


def program(name: str) -> Path:
    """A program of this environment; the test is skipped where it is not built for this kind of machine."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not built for this kind of machine")
    return path


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run([program("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("source", copied_from_context())
def test_what_the_dockerfile_copies_exists_and_is_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(fnmatch.fnmatch(source, pattern) for pattern in kept)


def test_the_images_run_as_a_numbered_user_who_is_not_root() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert users == ["10001:10001"]
    assert stages()["system"].count("USER ") == 1, "the stage that the three images start from"


@pytest.mark.parametrize("name", OURS)
def test_each_image_is_a_stage_that_starts_a_module(name: str) -> None:
    stage = stages()[SERVICES[name]["build"]["target"]]
    in_image = yaml.safe_load(re.findall(r"^CMD (\[.*\])$", stage, flags=re.MULTILINE)[-1])
    assert module_of(in_image) == module_of(SERVICES[name]["command"])
    assert is_runnable(module_of(in_image))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("user", "") not in {"root", "0", "0:0"}
    assert "user" in service or name in OURS, "ours say it in the Dockerfile, the others here"
    assert not {"privileged", "network_mode", "pid", "cap_add"} & service.keys()
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert "/tmp" in service["tmpfs"]  # noqa: S108 - the container's own


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_container_that_stays_is_watched_and_restarted(name: str) -> None:
    check = SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"
    if check[:3] == ["CMD", "python", "-m"]:
        assert is_runnable(check[3])


@pytest.mark.parametrize("name", ["service", "worker"])
def test_service_and_worker_wait_for_what_they_need(name: str) -> None:
    conditions = {needed: how["condition"] for needed, how in SERVICES[name]["depends_on"].items()}
    assert conditions == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
        "migrate": "service_completed_successfully",
    }


def test_workers_can_be_scaled() -> None:
    assert not {"container_name", "ports"} & SERVICES["worker"].keys()


def test_only_the_service_is_published_and_only_on_this_host_by_default() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["service"]
    assert SERVICES["service"]["ports"] == ["${GRADCLINIC_PUBLISH:-127.0.0.1:8000}:8000"]
    assert COMPOSE["networks"]["backend"] == {"internal": True}


def test_every_variable_given_to_our_containers_is_a_setting() -> None:
    known = {f"{PREFIX}{name}".upper() for name in (*Settings.model_fields, *Limits.model_fields)}
    for name in OURS:
        assert SERVICES[name]["environment"].keys() <= known


def test_as_many_trainings_as_run_at_once_fit_into_a_worker() -> None:
    """Each process holds torch and its like besides; 0.5 GiB is more than was seen."""
    given = {name: SERVICES[name]["environment"]["GRADCLINIC_MAX_MEMORY"] for name in ("service", "worker")}
    assert len(set(given.values())) == 1, "what the service lets in, the worker has to hold"
    concurrency = int(default_of(SERVICES["worker"]["command"][-1]))
    memory = default_of(SERVICES["worker"]["deploy"]["resources"]["limits"]["memory"])
    assert memory.endswith("g")
    needed = int(default_of(given["worker"])) + GIB // 2
    assert concurrency * needed <= int(memory[:-1]) * GIB


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "deployment.md"], ids=lambda page: page.name)
def test_pages_name_the_variables_that_compose_requires(page: Path) -> None:
    asked = set(re.findall(r"\$\{(GRADCLINIC_\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert asked == set(REQUIRED_VARIABLES)
    assert asked <= set(re.findall(r"GRADCLINIC_\w+", page.read_text()))


def test_pages_name_no_variable_that_nothing_reads() -> None:
    read = set(re.findall(r"\$\{(GRADCLINIC_\w+)", (ROOT / "docker-compose.yml").read_text()))
    read |= {f"{PREFIX}{name}".upper() for name in (*Settings.model_fields, *Limits.model_fields)}
    read |= {"GRADCLINIC_URL", "GRADCLINIC_API_KEY", "GRADCLINIC_TEST_DATABASE_URL", "GRADCLINIC_TEST_REDIS_URL"}
    read |= {"GRADCLINIC_RECORDER_KERNEL"}  # the library's own, for whoever records
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        assert set(re.findall(r"\bGRADCLINIC_\w+", page.read_text())) <= read, page.name


@pytest.mark.parametrize("variable", REQUIRED_VARIABLES)
def test_no_secret_has_a_default_and_a_missing_one_is_named(variable: str) -> None:
    uses = re.findall(rf"\$\{{{variable}([^}}]*)\}}", (ROOT / "docker-compose.yml").read_text())
    assert uses
    assert all(use.startswith(f":?Set {variable}") for use in uses)


def test_the_broker_starts_as_the_compose_file_says_and_loses_nothing(tmp_path: Path) -> None:
    """Redis stands in for Valkey, which forked from it and kept its options."""
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server on this machine")
    script = SERVICES["redis"]["command"][-1].replace("$$", "$").replace("valkey-server", server, 1)
    socket = tmp_path / "broker"
    running = subprocess.Popen(
        ["/bin/sh", "-c", f"{script} --port 0 --unixsocket {socket}"],
        cwd=tmp_path,
        env={"REDISCLI_AUTH": "secret"},
        stdout=subprocess.DEVNULL,
    )
    try:
        client = redis.Redis(
            unix_socket_path=str(socket),
            password="secret",  # noqa: S106 - of a server that lives for this test
            retry=Retry(ConstantBackoff(0.05), 100),
            retry_on_error=[redis.ConnectionError],
        )
        with client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    finally:
        running.terminate()
        running.wait(timeout=10)
