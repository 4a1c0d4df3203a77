"""Where a replica is reached: the address on a network that the load balancer is on too. Probes go where requests go.

Used by observe (probes, drain) and by whoever makes a Member.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervisor.domain.snapshot import ContainerState, ReplicaView, ServiceView

BALANCER = "nginx"


def balancer_networks(services: Mapping[str, ServiceView]) -> frozenset[str]:
    return frozenset(network for replica in _balancers(services) for network in replica.addresses)


def balancer_addresses(services: Mapping[str, ServiceView]) -> frozenset[str]:
    """All addresses that requests through the load balancer come from."""
    return frozenset(address for replica in _balancers(services) for address in replica.addresses.values())


def reachable_ip(replica: ReplicaView, networks: frozenset[str]) -> str | None:
    """On the first of the networks, by name; on any when it shares none (nothing balances it). None: it has none."""
    shared = sorted(network for network in replica.addresses if network in networks)
    candidates = shared or sorted(replica.addresses)
    return replica.addresses[candidates[0]] if candidates else None


def _balancers(services: Mapping[str, ServiceView]) -> list[ReplicaView]:
    service = services.get(BALANCER)
    return [r for r in service.replicas if r.state is ContainerState.RUNNING] if service else []
