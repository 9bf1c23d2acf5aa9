"""What it is deployed with: compose.yaml, Prometheus' configuration, Kubernetes and systemd."""

import configparser
import re
import subprocess
from pathlib import Path
from string import Template
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.needs import tool
from watchdog import __version__

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MANIFESTS: dict[str, dict[str, Any]] = {
    manifest["kind"]: manifest
    for manifest in yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text())
}
POD: dict[str, Any] = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
UNIT = ROOT / "deploy/livekit-watchdog.service"
DATA = "/var/lib/livekit-watchdog"


def mounts() -> list[tuple[str, str, str]]:
    """Service, place here and place there of every file or directory that compose mounts."""
    return [
        (name, parts[0], parts[1])
        for name, service in SERVICES.items()
        for volume in service.get("volumes", [])
        if (parts := volume.split(":"))[0].startswith(".")
    ]


# ---- compose -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("service", "here", "there"), mounts())
def test_whatever_compose_mounts_is_there(service, here, there):
    path = ROOT / here
    assert path.exists(), (
        f"{service} mounts {here} at {there}: docker would make an empty directory"
    )
    # A place without a suffix is a directory of things to find there.
    assert path.is_file() == bool(Path(there).suffix)
    assert path.is_file() or any(path.iterdir())


def test_compose_names_every_volume_it_uses():
    used = {
        name
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not (name := volume.partition(":")[0]).startswith(".")
    }
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_checked_and_without_privileges(name):
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "HEALTHCHECK" in DOCKERFILE if name == "watchdog" else service["healthcheck"]["test"]
    assert all(
        wanted == {"condition": "service_healthy"} and other in SERVICES
        for other, wanted in service.get("depends_on", {}).items()
    )


def test_the_watchdog_of_compose_writes_to_its_volume_alone_and_deletes_nothing():
    service = SERVICES["watchdog"]
    assert service["read_only"] is True
    assert service["volumes"] == [f"watchdog:{DATA}"]
    assert service["environment"]["WATCHDOG_MODE"] == "${WATCHDOG_MODE:-observe}"


@pytest.mark.parametrize("image", [SERVICES["watchdog"]["image"], POD["containers"][0]["image"]])
def test_they_run_the_version_of_this_tree(image):
    assert image == f"livekit-agent-watchdog:{__version__}"
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE


# ---- Prometheus --------------------------------------------------------------------------------------


def test_promtool_accepts_the_configuration_with_the_rules_it_mounts(tmp_path):
    here = {there: ROOT / path for name, path, there in mounts() if name == "prometheus"}
    text = (ROOT / "grafana/prometheus/prometheus.yml").read_text()
    assert "/etc/prometheus/rules/*.yml" in text
    # promtool says nothing about a pattern that matches no file.
    assert list(here["/etc/prometheus/rules"].glob("*.yml"))
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/rules", str(here["/etc/prometheus/rules"])))

    checked = subprocess.run(
        [tool("promtool"), "check", "config", file], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_asks_the_services_of_compose():
    config = yaml.safe_load((ROOT / "grafana/prometheus/prometheus.yml").read_text())
    jobs = config["scrape_configs"] + config["alerting"]["alertmanagers"]
    targets = [t for job in jobs for group in job["static_configs"] for t in group["targets"]]
    assert targets == ["watchdog:9779", "alertmanager:9093"]
    for target in targets:
        name, _, port = target.partition(":")
        assert f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]


def test_grafana_asks_prometheus_and_finds_its_dashboards():
    provisioning = ROOT / "grafana/provisioning"
    text = (provisioning / "datasources/prometheus.yml").read_text()
    [source] = yaml.safe_load(text)["datasources"]
    url = Template(source["url"]).substitute(SERVICES["grafana"]["environment"])
    assert url == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards/watchdog.yml").read_text())["providers"]
    assert ("grafana", "./grafana/dashboards", provider["options"]["path"]) in mounts()


# ---- Kubernetes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MANIFESTS)
def test_kubernetes_accepts_every_manifest(kind):
    kubernetes_validate.validate(MANIFESTS[kind], kubernetes_validate.latest_version(), strict=True)


def test_the_validation_finds_a_key_that_does_not_exist():
    wrong = {**MANIFESTS["Service"], "spec": {"selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_one_pod_at_a_time_has_the_database():
    deployment = MANIFESTS["Deployment"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    [claim] = [
        v["persistentVolumeClaim"]["claimName"] for v in POD["volumes"] if v["name"] == "database"
    ]
    assert claim == MANIFESTS["PersistentVolumeClaim"]["metadata"]["name"]
    [mount] = [m for m in POD["containers"][0]["volumeMounts"] if m["name"] == "database"]
    assert mount == {"name": "database", "mountPath": DATA}


def test_the_pod_has_no_privilege_and_nowhere_to_write_but_its_volume():
    assert POD["securityContext"] | {"fsGroupChangePolicy": ""} == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "fsGroupChangePolicy": "",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert POD["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False


def test_the_keys_come_from_a_secret_that_the_file_does_not_hold():
    variables = {v["name"]: v for v in POD["containers"][0]["env"]}
    for name, key in (("LIVEKIT_API_KEY", "api-key"), ("LIVEKIT_API_SECRET", "api-secret")):
        assert variables[name] == {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": "livekit-watchdog", "key": key}},
        }
    assert "Secret" not in MANIFESTS


def test_the_probes_ask_for_liveness_and_readiness():
    [container] = POD["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 9779}]


def test_only_its_port_is_open_and_only_names_and_livekit_are_reached():
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == MANIFESTS["Service"]["spec"]["selector"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}

    def ports(rules: list[dict[str, Any]]) -> set[int]:
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert ports(policy["ingress"]) == {9779}
    assert ports(policy["egress"]) == {53, 443, 7880}


# ---- systemd -----------------------------------------------------------------------------------------


def test_systemd_accepts_the_unit(tmp_path):
    analyze = tool("systemd-analyze")
    # It looks for the program, too, which is not installed where the tests run.
    program = tmp_path / "livekit-watchdog"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program}", UNIT.read_text()))

    verified = subprocess.run(
        [analyze, "verify", unit], capture_output=True, text=True, check=False
    )

    # An unknown key is told and does not make it fail.
    said = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert (verified.returncode, said) == (0, [])


def test_the_unit_keeps_its_database_and_nothing_else():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)
    service = dict(unit["Service"])
    expected = {
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "DynamicUser": "yes",
        "StateDirectory": "livekit-watchdog",
        "Environment": f"WATCHDOG_DATABASE=sqlite+aiosqlite:///{DATA}/watchdog.db",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "CapabilityBoundingSet": "",
        "EnvironmentFile": "/etc/livekit-watchdog/environment",
    }
    assert expected.items() <= service.items()
