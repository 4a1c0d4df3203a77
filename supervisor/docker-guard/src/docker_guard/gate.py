"""Decides about each request, and says what Docker is to be asked instead of it. Called by listener.py.

request -> target.py -> rules.py: is the call on the list? -> is its container, image or network the project's own?
        -> template.py: does its body equal what runs already? -> a new request, made of what was checked
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from docker_guard.audit import Audit
from docker_guard.client import Change
from docker_guard.daemon import ANSWER_SECONDS, Forward
from docker_guard.endpoints import endpoint_body
from docker_guard.equality import as_object
from docker_guard.project import (
    DEPENDS_LABEL,
    HASH_LABEL,
    ONE_OFF_LABEL,
    PROTECTED_SERVICES,
    SERVICE_LABEL,
    Container,
    Project,
    is_own_image,
    repositories,
)
from docker_guard.refusal import BAD_REQUEST, FORBIDDEN, Refusal, no_such_image
from docker_guard.rules import HAS_BODY, PROJECT_LABEL, Call, Kind, Listener, filters_of_project
from docker_guard.strict_json import parse_object
from docker_guard.template import Clone, create_body

MAX_REPLICAS = 250  # of one service: more is a mistake, or malice
MAX_NUMBER = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What Docker is asked. `change` is applied to the whole answer, where the client may not see all of it."""

    forward: Forward
    change: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAnswer:
    """Answered by the guard itself."""

    content: Mapping[str, Any]


class Gate:
    """The judgement over one project. `singles`: services of which no second container is made, because two of them
    would ruin what they keep."""

    def __init__(self, project: Project, audit: Audit, singles: frozenset[str]) -> None:
        self._project = project
        self._audit = audit
        self._singles = singles
        self._removals = asyncio.Lock()

    def turn(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Held from the judgement to Docker's answer: of two removals at once, each must see what the other did."""
        return self._removals if call.kind is Kind.REMOVE else nullcontext()

    def subject_of(self, call: Call) -> str:
        """What the call is about, by a name that people know; for the audit."""
        match call.kind:
            case Kind.CREATE:
                return call.query["name"]
            case Kind.TAG:
                return f"{call.query['repo']}:{call.query['tag']}"
            case _:
                return self._project.name_of(call.reference)

    async def judge(self, call: Call, body: bytes, listener: Listener) -> Passage | OwnAnswer:
        """Raises Refusal, and DaemonAway when Docker must be asked first and is not there."""
        if body and call.kind not in HAS_BODY:
            raise Refusal(f"{call.kind} has no body", BAD_REQUEST)
        match call.kind:
            case Kind.PING | Kind.VERSION:
                name = "_ping" if call.kind is Kind.PING else "version"
                return _get(call.path(f"/{name}"))
            case Kind.AUDIT:
                return OwnAnswer(content=self._audit.after(int(call.query.get("after", "0"))))
            case Kind.LIST | Kind.EVENTS:
                return self._listing(call)
            case Kind.INSPECT | Kind.STATS | Kind.LOGS:
                return await self._reading(call, listener)
            case Kind.IMAGE:
                return await self._image(call)
            case Kind.CREATE:
                return await self._create(call, parse_object(body))
            case Kind.CONNECT:
                return await self._connect(call, parse_object(body))
            case Kind.TAG:
                return await self._tag(call)
            case _:
                return await self._change_of_state(call)

    def _listing(self, call: Call) -> Passage:
        query = {**call.query, "filters": filters_of_project(call.query.get("filters", ""), self._project.name)}
        if call.kind is Kind.LIST:
            return _get(call.path("/containers/json", **query))
        return Passage(forward=Forward(method="GET", path=call.path("/events", **query), is_endless=True))

    async def _reading(self, call: Call, listener: Listener) -> Passage:
        found = await self._project.find(call.reference, call.version)
        ending = {Kind.INSPECT: "json", Kind.STATS: "stats", Kind.LOGS: "logs"}[call.kind]
        passage = _get(call.path(f"/containers/{found.id}/{ending}", **call.query))
        if call.kind is Kind.INSPECT and listener is Listener.READ:
            return Passage(forward=passage.forward, change=without_environment)
        return passage

    async def _image(self, call: Call) -> Passage:
        await self._own_image(call.reference, call.version, await self._project.containers(call.version))
        return _get(call.path(f"/images/{call.reference}/json"))

    async def _own_image(self, reference: str, version: str, containers: list[Container]) -> Mapping[str, Any]:
        """The image, when it is one of these containers' repositories or what one of them runs."""
        is_id = reference.startswith("sha256:")
        if not is_id and reference.rpartition(":")[0] not in repositories(containers):
            raise Refusal(f"{reference} is in no repository of this", FORBIDDEN)
        inspected = await self._project.image(reference, version)
        if is_id and not is_own_image(inspected, containers):
            raise no_such_image(reference)
        return inspected

    async def _change_of_state(self, call: Call) -> Passage:
        found = await self._changeable(call.reference, call.version)
        path = f"/containers/{found.id}"
        if call.kind is Kind.REMOVE:
            await self._keep_the_last(found, call.version)
            return Passage(forward=Forward(method="DELETE", path=call.path(path, v=call.query.get("v", "0"))))
        patience = ANSWER_SECONDS + int(call.query.get("t", "0"))
        path = call.path(f"{path}/{call.kind}", **call.query)
        return Passage(forward=Forward(method="POST", path=path, answer_seconds=patience))

    async def _changeable(self, reference: str, version: str) -> Container:
        found = await self._project.find(reference, version)
        if found.is_protected:
            raise Refusal(f"{found.service or 'a container without a service'} is not changed from here", FORBIDDEN)
        return found

    async def _keep_the_last(self, leaving: Container, version: str) -> None:
        """The last container of a service is the template of all others. A clone may go: then Compose took the rest."""
        if leaving.is_clone:
            return
        containers = await self._project.containers(version)
        if not any(one.service == leaving.service and one.id != leaving.id for one in containers):
            raise Refusal(f"this is the last container of {leaving.service}: without it none can be made", FORBIDDEN)

    async def _tag(self, call: Call) -> Passage:
        containers = await self._project.containers(call.version)
        repository, tag = call.query["repo"], call.query["tag"]
        own = [one for one in containers if one.repository == repository and not one.is_protected]
        if not own:
            raise Refusal(f"{repository} is not the repository of a service", FORBIDDEN)
        same_service = [one for one in containers if one.service in {same.service for same in own}]
        image = await self._own_image(call.reference, call.version, same_service)
        # The third denotes this image and no other, so that an image keeps a name when the project's tag moves on.
        own_tags = {self._project.name, f"{self._project.name}-previous", image["Id"].removeprefix("sha256:")[:16]}
        if tag not in own_tags:
            raise Refusal(f"only the project's own tags are moved, and {tag} is not one", FORBIDDEN)
        path = call.path(f"/images/{image['Id']}/tag", repo=repository, tag=tag)
        return Passage(forward=Forward(method="POST", path=path))

    async def _create(self, call: Call, body: Mapping[str, Any]) -> Passage:
        name, labels = call.query["name"], body.get("Labels")
        if not isinstance(labels, dict) or labels.get(PROJECT_LABEL) != self._project.name:
            raise Refusal("only containers of this project are created", FORBIDDEN)
        service = labels.get(SERVICE_LABEL)
        if not isinstance(service, str) or service in PROTECTED_SERVICES or labels.get(ONE_OFF_LABEL) != "False":
            raise Refusal("only replicas of a service that may be changed are created", FORBIDDEN)
        if service in self._singles:
            raise Refusal(f"{service} runs once: two would write to the same data", FORBIDDEN)
        number = self._number(name, service)
        containers = await self._project.containers(call.version)
        siblings = [one for one in containers if one.service == service]
        image = await self._image_of_clone(body.get("Image"), call.version, siblings)
        if len(siblings) >= MAX_REPLICAS:
            raise Refusal(f"{service} has {len(siblings)} containers already", FORBIDDEN)
        # The replicas that run this image come first: they are what the new one most likely was made from.
        alike = [one for one in siblings if one.config_hash == labels.get(HASH_LABEL) and not one.is_one_off]
        refusals: list[Refusal] = []
        for sibling in sorted(alike, key=lambda one: one.image_id != image["Id"]):
            template = await self._project.inspect(sibling.id, call.version)
            clone = Clone(
                name=name,
                number=number,
                image_id=image["Id"],
                template=template,
                image_config=await self._config_of_image(sibling, call.version),
                network_parents=_parents(labels, containers),
            )
            try:
                forwarded = create_body(body, clone)
            except Refusal as refusal:
                refusals.append(refusal)
            else:
                path = call.path("/containers/create", name=name)
                return Passage(forward=Forward(method="POST", path=path, body=_dumped(forwarded)))
        raise refusals[0] if refusals else Refusal(f"no replica of {service} has this config-hash", FORBIDDEN)

    def _number(self, name: str, service: str) -> int:
        matched = re.fullmatch(rf"{re.escape(f'{self._project.name}-{service}-')}([1-9][0-9]{{0,3}})", name, re.ASCII)
        if matched is None:
            raise Refusal(f"the name is not {self._project.name}-{service}-N, N from 1 to {MAX_NUMBER}", FORBIDDEN)
        return int(matched[1])

    async def _image_of_clone(self, reference: Any, version: str, siblings: list[Container]) -> Mapping[str, Any]:
        if not isinstance(reference, str):
            raise Refusal("Image is missing", FORBIDDEN)
        if reference in {one.image for one in siblings}:
            return await self._project.image(reference, version)
        if _IMAGE.fullmatch(reference) is None:
            raise Refusal("Image is neither repository:tag nor an id", FORBIDDEN)
        return await self._own_image(reference, version, siblings)

    async def _config_of_image(self, container: Container, version: str) -> Mapping[str, Any]:
        try:
            return (await self._project.image(container.image_id, version)).get("Config") or {}
        except Refusal:
            return {}  # it was removed by force; then nothing may be left to it

    async def _connect(self, call: Call, body: Mapping[str, Any]) -> Passage:
        reference, wanted = body.get("Container"), as_object(body.get("EndpointConfig"), "EndpointConfig")
        if not isinstance(reference, str) or _CONTAINER.fullmatch(reference) is None:
            raise Refusal("Container is not a name or an id", BAD_REQUEST)
        if body.keys() - {"Container", "EndpointConfig"}:
            raise Refusal("the body has more than Container and EndpointConfig", BAD_REQUEST)
        joining = await self._changeable(reference, call.version)
        own_name = (await self._project.inspect(joining.id, call.version))["Name"].removeprefix("/")
        refusals: list[Refusal] = []
        for sibling in await self._project.containers(call.version):
            if sibling.id == joining.id or (sibling.service, sibling.config_hash) != (
                joining.service,
                joining.config_hash,
            ):
                continue
            template = await self._project.inspect(sibling.id, call.version)
            network = _network_named(call.reference, template)
            if network is None:
                continue
            name, network_id = network
            try:
                endpoint = endpoint_body(wanted, name, own_name, template)
            except Refusal as refusal:
                refusals.append(refusal)
                continue
            path = call.path(f"/networks/{network_id}/connect")
            forwarded = {"Container": joining.id, "EndpointConfig": endpoint}
            return Passage(forward=Forward(method="POST", path=path, body=_dumped(forwarded)))
        raise refusals[0] if refusals else Refusal("no other replica of the service is in this network", FORBIDDEN)


_IMAGE = re.compile(r"sha256:[0-9a-f]{64}|[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_CONTAINER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}", re.ASCII)


def without_environment(inspected: bytes) -> bytes:
    """An inspect without the values of the environment, which may be secrets."""
    content = json.loads(inspected)
    if isinstance(content, dict) and isinstance(content.get("Config"), dict):
        content["Config"].pop("Env", None)
    return _dumped(content)


def _parents(labels: Mapping[str, Any], containers: list[Container]) -> frozenset[str]:
    """Ids of the containers that the service depends on: Compose lists the one whose network it shares among them.
    The label is checked against the running replicas before it counts."""
    depends_on = {one.partition(":")[0] for one in str(labels.get(DEPENDS_LABEL, "")).split(",")}
    return frozenset(one.id for one in containers if one.service in depends_on and not one.is_protected)


def _network_named(reference: str, template: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name and id of a network of the template. One that has never run has no ids yet, and is no help."""
    for name, endpoint in (template["NetworkSettings"].get("Networks") or {}).items():
        if endpoint.get("NetworkID") and reference in {name, endpoint["NetworkID"]}:
            return str(name), str(endpoint["NetworkID"])
    return None


def _get(path: str) -> Passage:
    return Passage(forward=Forward(method="GET", path=path))


def _dumped(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
