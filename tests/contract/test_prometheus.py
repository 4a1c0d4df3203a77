"""Prometheus scrapes what exists, under the name that everything else uses."""

from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def jobs(root: Path) -> dict[str, Any]:
    return {
        job["job_name"]: job
        for job in yaml.safe_load((root / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    }


def test_every_job_is_a_service_found_by_its_own_name(jobs: dict[str, Any], production: dict[str, Any]) -> None:
    prometheus = set(production["services"]["prometheus"]["networks"])
    for name, job in jobs.items():
        service = production["services"][name]
        if name == "prometheus":
            continue
        assert prometheus & set(service["networks"]), f"{name} shares no network with prometheus"
        [found] = job["dns_sd_configs"]
        assert (found["names"], found["type"]) == ([name], "A")
        assert "static_configs" not in job, "replicas come and go"


def test_every_scaled_service_is_scraped_and_so_is_the_supervisor(
    jobs: dict[str, Any], production: dict[str, Any]
) -> None:
    scaled = {n for n, s in production["services"].items() if "replicas" in s.get("deploy", {})}
    assert set(jobs) == scaled | {"supervisor", "prometheus"}
    assert {jobs[name]["dns_sd_configs"][0]["port"] for name in scaled} == {8000}
    assert jobs["supervisor"]["dns_sd_configs"][0]["port"] == 8090


def test_no_replica_can_fill_the_memory_with_what_it_answers(root: Path, production: dict[str, Any]) -> None:
    settings = yaml.safe_load((root / "prometheus/prometheus.yml").read_text())["global"]
    memory = production["services"]["prometheus"]["deploy"]["resources"]["limits"]["memory"]
    assert 1 <= int(settings["body_size_limit"].removesuffix("MB")) <= int(memory.removesuffix("M")) / 100
    assert 0 < settings["sample_limit"] <= 20_000


def test_what_is_scraped_is_as_fresh_as_policies_need(root: Path) -> None:
    """A reading may be 30 s old at most (policies.yml); a missed scrape or two must not cost it."""
    settings = yaml.safe_load((root / "prometheus/prometheus.yml").read_text())["global"]
    assert settings["scrape_interval"] == "5s"
    assert float(settings["scrape_timeout"].rstrip("s")) < 5
