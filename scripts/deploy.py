"""Builds a service's image and lets the supervisor roll it out: `make deploy SERVICE=backend [IMAGE=...]`.

One replica after the other, the first with a small share of the traffic; a worse image is taken back by itself. This
command only follows: the rollout goes on without it. New migrations of the backend run first, and images of old deploys
are removed at the end. Ends with 0 when the image is in force, 1 when it was rolled back, 2 when it was refused and
nothing changed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from scripts import console, images, migrations, old_versions, project
from scripts.image_catalog import BY_NAME, LOCAL_BASE, REGISTRY_BASE, inputs_hash
from scripts.process import output
from scripts.project import PRODUCTION_FILE, REPLICA_SETTINGS, Project

DONE, ROLLED_BACK, REFUSED = 0, 1, 2
USAGE = "For example: make deploy SERVICE=backend"
POLL_SECONDS = 1.0
REQUEST_SECONDS = 30.0  # the supervisor answers after the cycle that considered the command
AWAY_SECONDS = 60.0  # it may be replaced itself while we follow
FOLLOW_SECONDS = 3600.0


class Refused(Exception):  # noqa: N818 - what happened, as a word
    """Nothing was changed: `sentence` says why. `code` is the supervisor's, where it was the supervisor."""

    def __init__(self, sentence: str, code: str = "") -> None:
        self.sentence = sentence
        self.code = code
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The supervisor's API on this machine."""

    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        """The JSON behind a path. Raises OSError when nothing answers, Refused for another status than 200."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a command; the answer comes when a cycle has considered it. Raises as `get`."""
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            answer = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"broken answer: {error!r}") from error
        finally:
            connection.close()
        try:
            document = json.loads(answer)
        except ValueError:
            document = {"detail": answer[:200].decode(errors="replace")}
        if response.status >= http.client.BAD_REQUEST:
            detail = str(document.get("detail") or f"the supervisor answered {response.status}")
            raise Refused(detail, str(document.get("code", "")))
        return document


def supervisor_of(installation: Project) -> Supervisor:
    """The way to the supervisor of an installation. Raises Refused without its token."""
    path = installation.secrets_dir / "supervisor_api_token"
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Refused(f"The supervisor's token cannot be read ({error}). `make up` makes it.") from error
    return Supervisor(int(installation.values["SUPERVISOR_PORT"]), token)


def check_service(service: str, usage: str) -> None:
    """Raises Refused unless it is one of the services that can be rolled out."""
    if service not in REPLICA_SETTINGS:
        raise Refused(f"SERVICE is one of {', '.join(REPLICA_SETTINGS)}, not {service!r}. {usage}")


def check_specification(service: str, hash_line: str, containers: Iterable[Mapping[str, Any]]) -> None:
    """Raises Refused when Compose would make the service's containers differently today: an image is not all then.

    hash_line: what `docker compose config --hash SERVICE` prints; containers: what `docker inspect` says of all.
    """
    labels = [container["Config"]["Labels"] for container in containers]
    own = [one for one in labels if one.get("com.docker.compose.service") == service]
    own = [one for one in own if one.get("com.docker.compose.oneoff") != "True"]
    if not own:
        raise Refused(f"{service} does not run. Start the stack with `make up`.")
    name, _, wanted = hash_line.strip().partition(" ")
    if name != service or not wanted:
        raise Refused("Docker Compose cannot read its files; `docker compose config --quiet` says why.")
    if any(one.get("com.docker.compose.config-hash") != wanted.strip() for one in own):
        raise Refused(
            f"Not only the image: the definition of {service} in the Compose files or .env changed since its "
            "containers were made. Run `make up`, which makes them anew."
        )


def build(installation: Project, service: str) -> str:
    """Bring the service's image up to date and give it a tag of its own. Returns the reference."""
    wanted = installation.values["IMAGES"]
    compose = ("docker", "compose", "--env-file", str(installation.env_file), "--file", PRODUCTION_FILE)
    mode = images.prepare(images.resolve_mode(wanted), [service], compose=compose, auto=wanted == "auto")
    image = BY_NAME[service]
    version = inputs_hash(image, LOCAL_BASE if mode == "local" else REGISTRY_BASE)
    reference = f"modporter/{service}:{version}"
    if output(["docker", "tag", image.tag, reference]) is None:
        raise Refused(f"{image.tag} could not be tagged as {reference}: Docker refused.")
    return reference


def follow(supervisor: Supervisor, service: str, rollout_id: str, step: console.Step) -> dict[str, Any]:
    """Print each step of a rollout as it happens. Returns its record when it is over.

    rollout_id: empty for the newest one. Raises OSError when the supervisor stays away, Refused when it takes an hour.
    """
    path = f"/api/rollouts?service={quote(service)}&limit=20"
    begun = seen = time.monotonic()
    told = 0
    while time.monotonic() - begun < FOLLOW_SECONDS:
        try:
            record = _record(supervisor.get(path), rollout_id)
        except OSError:
            if time.monotonic() - seen > AWAY_SECONDS:
                raise
            step.note("the supervisor does not answer at the moment")
            time.sleep(POLL_SECONDS)
            continue
        if record is None:
            if time.monotonic() - seen > AWAY_SECONDS:
                raise Refused(f"The supervisor knows of no rollout of {service}.")
        else:
            seen, rollout_id = time.monotonic(), str(record["id"])
            for entry in record["steps"][told:]:
                step.line(str(entry["text"]))
            told = len(record["steps"])
            step.note(str(record["phase"]).replace("_", " "))
            if record["finished_at"]:
                return record
        time.sleep(POLL_SECONDS)
    raise Refused(f"The rollout still runs after {FOLLOW_SECONDS / 60:.0f} minutes; see {supervisor.url}.")


def _record(records: list[dict[str, Any]], rollout_id: str) -> dict[str, Any] | None:
    return next((record for record in records if rollout_id in ("", record["id"])), None)


def farewell(supervisor: Supervisor, service: str) -> str:
    """What to say when the person stops following."""
    return (
        f"\nThe rollout goes on without this command. {supervisor.url} shows it; "
        f"`make rollback SERVICE={service}` takes it back."
    )


def refused(error: Refused) -> int:
    """Say why nothing was changed."""
    console.say(f"\nRefused: {error.sentence}")
    return REFUSED


def migrate(installation: Project, supervisor: Supervisor, image: str) -> None:
    """Bring the schema forward before any replica of the image starts. Raises Refused: then nothing is rolled out."""
    newest = supervisor.get(f"/api/rollouts?service={migrations.SERVICE}&limit=1")
    if newest and not newest[0]["finished_at"]:
        raise Refused(f"A rollout of {migrations.SERVICE} runs already; `make rollback` ends it.", "rollout_running")
    try:
        migrations.bring_forward(installation, image)
    except migrations.MigrationError as error:
        raise Refused(str(error)) from error


def roll_out(supervisor: Supervisor, service: str, image: str) -> int:
    """Hand the image in and follow it to its end. Raises Refused, or OSError when the supervisor does not answer."""
    try:
        answer = supervisor.post(f"/api/services/{quote(service)}/deploy", {"image": image})
    except Refused as error:
        if error.code != "already_runs":
            raise
        console.say(f"ok   {error.sentence}")
        return DONE
    with console.step(f"Rolling {image} out") as step:
        try:
            record = follow(supervisor, service, answer["id"], step)
        except KeyboardInterrupt:
            console.say(farewell(supervisor, service))
            raise
        step.is_good = record["phase"] == "done"
        step.note(str(record["verdict"]))
    if not step.is_good:
        console.say(f"\nRolled back to {record['previous_image']}: {record['verdict']}.")
        return ROLLED_BACK
    return DONE


def main() -> int:
    """Check, build, hand in, follow."""
    parser = argparse.ArgumentParser(prog="scripts.deploy", description="Roll a service's image out.")
    parser.add_argument("service")
    parser.add_argument("--image", default="", help="an image that is there already; without it, the sources are built")
    arguments = parser.parse_args()
    service = arguments.service
    installation = project.load()
    try:
        check_service(service, USAGE)
        hash_line = installation.query("config", "--hash", service)
        check_specification(service, hash_line, project.containers(installation.name))
        supervisor = supervisor_of(installation)
        image = arguments.image or build(installation, service)
        if service == migrations.SERVICE:
            migrate(installation, supervisor, image)
        status = roll_out(supervisor, service, image)
        for name in old_versions.remove(service):
            console.say(f"     Removed {name}, which is older than the last {old_versions.KEPT_VERSIONS} versions.")
        return status
    except Refused as error:
        return refused(error)
    except OSError as error:
        console.fail(
            f"The supervisor does not answer: {error}.", "`make ps` shows whether it runs; `make up` starts it."
        )


if __name__ == "__main__":
    console.run(main)
