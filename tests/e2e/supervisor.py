"""The supervisor of the running stack as the scenarios see it: its API, and images to roll out."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.stack import ROOT, Stack, eventually

FAULTY = ROOT / "tests/fixtures/faulty_backend"


@dataclass(frozen=True)
class Supervisor:
    """Talks to the API with the token from the installation's secrets."""

    stack: Stack

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.variable('SUPERVISOR_PORT')}"

    def secret(self, name: str) -> str:
        return (ROOT / self.stack.variable("SECRETS_DIR") / name).read_text().strip()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.secret('supervisor_api_token')}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)

    def get(self, path: str) -> Any:
        with self.client() as client:
            return client.get(path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> httpx.Response:
        with self.client() as client:
            return client.post(path, json=body)

    def patch_policies(self, changes: dict[str, Any], *, save: bool = False) -> None:
        with self.client() as client:
            client.patch("/api/policies", json=changes, params={"save": save}).raise_for_status()

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/services/{name}")
        return found

    def is_calm(self, name: str, replicas: int) -> bool:
        """As many replicas as asked for, all ready, nothing under way."""
        service = self.service(name)
        return service["ready"] == service["running"] == service["desired"] == replicas

    def wait_until_calm(self, name: str, replicas: int, *, within_seconds: float = 120) -> None:
        eventually(lambda: self.is_calm(name, replicas), within_seconds=within_seconds)

    def wait_until_grown(self, name: str, replicas: int, *, within_seconds: float = 90) -> None:
        eventually(lambda: self.service(name)["ready"] > replicas, within_seconds=within_seconds)

    def ask(self, name: str, action: str, **body: Any) -> None:
        """Ask until it is accepted: a host that is busy for a moment is a reason to refuse."""

        def is_accepted() -> bool:
            answer = self.post(f"/api/services/{name}/{action}", **body)
            assert answer.status_code == 202, answer.text
            return True

        eventually(is_accepted, every_seconds=1)

    def settle(self, name: str, replicas: int) -> None:
        """Make it so many, all ready, and keep it so while the next scenario begins."""
        self.ask(name, "scale", replicas=replicas, hold_seconds=900)
        self.wait_until_calm(name, replicas, within_seconds=180)

    def is_ready(self) -> bool:
        """Whether it works, rather than starting or standing by."""
        return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200

    def listed(self, name: str) -> set[str]:
        """The short ids of the replicas that NGINX sends requests to, as NGINX has confirmed it."""
        return {replica["id"] for replica in self.service(name)["replicas"].values() if replica["is_listed"]}

    def runs(self, image: str) -> bool:
        """Whether any replica was made from the image."""
        return any(replica["image"] == image for replica in self.service("backend")["replicas"].values())

    def rollouts(self, service: str) -> list[dict[str, Any]]:
        """The newest first."""
        found: list[dict[str, Any]] = self.get(f"/api/rollouts?service={service}")
        return found

    def rollout(self, service: str) -> dict[str, Any]:
        found = self.rollouts(service)
        assert found, f"there was no rollout of {service}"
        return found[0]

    def incidents(self, service: str) -> dict[int, dict[str, Any]]:
        """By number, the newest first."""
        return {found["id"]: found for found in self.get(f"/api/incidents?service={service}&limit=100")}

    def new_incident(self, service: str, known: Collection[int], *, within_seconds: float = 30) -> dict[str, Any]:
        """The one incident that has opened since those that are known, as soon as there is one."""
        found = eventually(lambda: self.incidents(service).keys() - known, within_seconds=within_seconds)
        assert len(found) == 1, [self.incidents(service)[number]["title"] for number in found]
        return self.incidents(service)[found.pop()]

    def replica(self, service: str, container: str) -> dict[str, Any]:
        """What is shown of a container."""
        return next(r for r in self.service(service)["replicas"].values() if r["id"] == container[:12])

    def unhurt(self, service: str) -> str:
        """The id of a ready replica that no open incident speaks of, nor would be handed on to; waits for one if need
        be. (A newer replica inherits the incident of one that is gone.)"""

        def found() -> str | None:
            hurt = {incident["replica"] for incident in self.get(f"/api/incidents?service={service}&only_open=true")}
            replicas = self.service(service)["replicas"]
            gone = [int(name.rpartition("-")[2]) for name in hurt - replicas.keys() if name]
            good = [
                replica["id"]
                for name, replica in replicas.items()
                if replica["state"] == "ready" and name not in hurt and replica["number"] <= min(gone, default=10**9)
            ]
            return good[0] if good else None

        short = eventually(found, within_seconds=90)
        return next(container for container in self.stack.containers(service) if container.startswith(str(short)))

    def sentences(self, service: str, limit: int = 50) -> list[str]:
        """The newest decisions of a service, as they are told."""
        return [row["sentence"] for row in self.get(f"/api/decisions?service={service}&limit={limit}")]

    # --- images -----------------------------------------------------------------------------------------------------
    def build(self, fault: str) -> str:
        """An image of the running backend with a fault, different from every one before; its reference."""
        nonce = secrets.token_hex(4)
        reference = f"modporter/backend:{self.stack.project}-{fault}-{nonce}"
        base = f"modporter/backend:{self.stack.project}"
        arguments = ["--build-arg", f"BASE_IMAGE={base}", "--build-arg", f"FAULT={fault}", "--tag", reference]
        arguments += ["--label", f"org.modporter.build={nonce}"]
        command = ["docker", "buildx", "build", "--load", "--provenance=false", *arguments, str(FAULTY)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return reference

    def roll_out(self, service: str, image: str, *, within_seconds: float = 300) -> dict[str, Any]:
        """Deploy, and wait until it is over, one way or the other; the rollout's record."""
        known = {record["id"] for record in self.rollouts(service)}
        answer = self.post(f"/api/services/{service}/deploy", image=image)
        assert answer.status_code == 202, answer.text

        def ended() -> dict[str, Any] | None:
            new = [record for record in self.rollouts(service) if record["id"] not in known]
            return new[0] if new and new[0]["phase"] in ("done", "rolled_back") else None

        return eventually(ended, within_seconds=within_seconds, every_seconds=0.5)  # type: ignore[return-value]

    @contextmanager
    def policies(self, changes: dict[str, Any], *, save: bool = False) -> Iterator[None]:
        """Other policies inside the block; afterwards those of before again. `save`: also after a restart of it."""
        before = _those_of(changes, self.get("/api/policies"))
        self.patch_policies(changes, save=save)
        try:
            yield
        finally:
            self.patch_policies(before, save=save)


def _those_of(changes: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values in force of the keys that are about to change."""
    return {
        key: _those_of(change, values[key])
        if isinstance(change, dict) and isinstance(values.get(key), dict)
        else values.get(key)
        for key, change in changes.items()
    }
