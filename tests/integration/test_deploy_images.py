"""What `make deploy` does with Docker beside the rollout, on real images, a real Postgres and a small Compose project:
new migrations run first and recreate nobody, and old versions go.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import psycopg
import pytest
from docker.models.containers import Container

from scripts import migrations, old_versions
from scripts.migrations import MigrationError
from scripts.project import Project
from tests.integration.containers import Containers, Server

NAME = f"mp-it-deploy-{os.getpid()}"
DATABASE = NAME.replace("-", "_")
TAG = f"modporter/migrate:{NAME}"
VERSIONS = "/opt/app/lib/python3.13/site-packages/backend/db/migrations/versions"
COMPOSE = f"""
services:
  migrate:
    image: modporter/migrate:${{COMPOSE_PROJECT_NAME}}
    pull_policy: never
    restart: "no"
    command: ["/opt/app/bin/python", "-m", "backend.db.migrate", "upgrade"]
    environment:
      DATABASE_HOST: postgres
      DATABASE_PORT: "5432"
      DATABASE_NAME: {DATABASE}
      DATABASE_USER: modporter_migrator
    secrets: [database_migrator_password]
    networks: [stores]
  backend:
    image: modporter/backend:${{COMPOSE_PROJECT_NAME}}
    pull_policy: never
    entrypoint: ["sleep", "600"]
    init: true
    network_mode: none
    depends_on:
      migrate: {{ condition: service_completed_successfully }}
secrets:
  database_migrator_password: {{ file: "${{SECRETS_DIR}}/database_migrator_password" }}
networks:
  stores: {{ name: "${{STORES_NETWORK}}", external: true }}
"""
MIGRATION = """
from alembic import op
revision = "9001"
down_revision = "0002"
branch_labels = None
depends_on = None
def upgrade():
    op.execute("{statement}")
def downgrade():
    pass
"""


class Site:
    """A stack of two services whose database is at the newest revision, and images made out of the backend's."""

    def __init__(self, client: docker.DockerClient, installation: Project, database: str) -> None:
        self.client = client
        self.installation = installation
        self.database = database
        self.images: list[str] = []

    def image(self, tag: str, statement: str) -> str:
        """The backend's image with one more migration."""
        migration = MIGRATION.format(statement=statement)
        dockerfile = f"FROM modporter/backend:local\nCOPY m9001.py {VERSIONS}/\n"
        reference = f"modporter/backend:{NAME}-{tag}"
        context = archive({"Dockerfile": dockerfile, "m9001.py": migration})
        self.client.images.build(fileobj=context, custom_context=True, tag=reference, rm=True)
        self.images.append(reference)
        return reference

    def up(self) -> None:
        self.compose("up", "--detach")

    def compose(self, *arguments: str) -> None:
        command = self.installation.compose_command(*arguments)
        environment = self.installation.environment()
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)

    def container(self, service: str) -> Container:
        labels = [f"com.docker.compose.project={NAME}", f"com.docker.compose.service={service}"]
        (found,) = self.client.containers.list(all=True, filters={"label": labels})
        return found

    def revision(self) -> str:
        with psycopg.connect(self.database) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert row is not None
        return str(row[0])


def archive(files: dict[str, str]) -> io.BytesIO:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o644
            packed.addfile(entry, io.BytesIO(text.encode()))
    content.seek(0)
    return content


@pytest.fixture
def site(
    containers: Containers, postgres: Server, secrets: dict[str, str], secrets_dir: Path, tmp_path: Path
) -> Iterator[Site]:
    (tmp_path / "compose.yml").write_text(COMPOSE)
    (tmp_path / ".env").write_text("")
    values = {
        "COMPOSE_PROJECT_NAME": NAME,
        "COMPOSE_FILE": str(tmp_path / "compose.yml"),
        "SECRETS_DIR": str(secrets_dir),
        "STORES_NETWORK": str(containers.network.name),
    }
    server = f"host=127.0.0.1 port={postgres.port}"
    admin = f"{server} user=postgres password={secrets['postgres_password']} dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER modporter_migrator")
        connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO modporter_migrator")
    with psycopg.connect(admin.replace("dbname=postgres", f"dbname={DATABASE}"), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    own = f"{server} user=modporter_migrator password={secrets['database_migrator_password']} dbname={DATABASE}"
    site = Site(containers.client, Project(tmp_path / ".env", values), own)
    for reference in (TAG, f"modporter/backend:{NAME}"):
        site.client.images.get("modporter/backend:local").tag(*reference.split(":"))
        site.images.append(reference)
    try:
        site.up()
        yield site
    finally:
        site.compose("down", "--timeout", "0")
        for reference in site.images:
            site.client.images.remove(reference, force=True)
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def test_new_migrations_run_before_a_rollout_and_recreate_nobody(site: Site) -> None:
    assert site.revision() == "0002"
    backend = site.container("backend").id
    image = site.image("1", "CREATE TABLE added (a int)")
    migrations.bring_forward(site.installation, image)
    assert site.revision() == "9001"
    assert site.container("backend").id == backend
    site.up()
    assert site.container("backend").id == backend  # the one-shot ran again, with the new image, to no effect
    assert site.container("migrate").image.id == site.client.images.get(image).id

    # The image before, taken back or rolled out again: the schema stays, and so does what migrates.
    migrations.bring_forward(site.installation, "modporter/backend:local")
    assert site.revision() == "9001"
    assert site.client.images.get(TAG).id == site.client.images.get(image).id


def test_a_migration_that_fails_is_told_and_leaves_all_as_it_was(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, before = site.container("backend").id, site.client.images.get(TAG).id
    image = site.image("2", "CREATE TABLE nonsense")
    with pytest.raises(MigrationError, match="nothing is rolled out"):
        migrations.bring_forward(site.installation, image)
    assert "syntax error" in capsys.readouterr().out
    assert site.revision() == "0002"
    assert site.client.images.get(TAG).id == before
    site.up()
    assert site.container("backend").id == backend


def test_an_image_that_knows_no_migrations_is_refused(site: Site) -> None:
    with pytest.raises(MigrationError, match="no image of the backend"):
        migrations.bring_forward(site.installation, "modporter/redis:local")


@pytest.fixture
def repository(docker_client: docker.DockerClient) -> Iterator[str]:
    """A service of its own with images of six versions, the oldest first; the third is what ran before."""
    service = f"{NAME}-versions"
    for number in range(6):
        content = io.BytesIO(f"FROM modporter/redis:local\nLABEL number={number}\n".encode())
        image, _ = docker_client.images.build(fileobj=content, tag=f"modporter/{service}:{number:016x}", rm=True)
        if number == 2:
            image.tag(f"modporter/{service}", "modporter-previous")
    yield service
    for image in docker_client.images.list(f"modporter/{service}"):
        docker_client.images.remove(image.id, force=True)


def test_old_versions_go_but_for_those_that_somebody_needs(docker_client: docker.DockerClient, repository: str) -> None:
    def version(number: int) -> str:
        return f"modporter/{repository}:{number:016x}"

    used = docker_client.containers.create(version(1), name=f"{NAME}-used")
    try:
        assert old_versions.remove(repository) == [version(0)]
    finally:
        used.remove()
    left = {tag for image in docker_client.images.list(f"modporter/{repository}") for tag in image.tags}
    assert left == {*map(version, (1, 2, 3, 4, 5)), f"modporter/{repository}:modporter-previous"}
    assert old_versions.remove(repository) == [version(1)]
    assert old_versions.remove(repository) == []
    assert old_versions.remove(f"{NAME}-unheard-of") == []
