"""The containers' command lines as plain processes: a TLS cluster from docker-compose.yml, Slurm's script, certificates, settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
pytestmark = [
    pytest.mark.distributed,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
    pytest.mark.skipif(not (BIN / "dask").exists(), reason="the dask command is not beside the interpreter"),
]


def compose(**variables: str) -> dict[str, Any]:
    """docker-compose.yml with its variables filled in, as `docker compose config` does."""

    def fill(match: re.Match[str]) -> str:
        name, operator, rest = match[1], match[2], match[3]
        if variables.get(name):
            return variables[name]
        if operator == ":?":
            raise KeyError(f"{name}: {rest}")
        return rest or ""

    text = re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", fill, (ROOT / "docker-compose.yml").read_text())
    return yaml.safe_load(text)


def certificates(folder: Path, *options: str) -> Path:
    subprocess.run([str(DEPLOY / "tls/make-certificates.sh"), str(folder), *options], check=True, capture_output=True)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Machine:
    """This machine in the place of the containers: what is ``/run/secrets``, ``eth0`` or another host there is something here."""

    folder: Path
    tls: Path
    services: dict[str, Any]
    ports: dict[str, int] = field(default_factory=lambda: {"8786": free_port(), "8787": free_port(), "8788": free_port(), "8888": free_port()})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def here(self, service: str, word: str, member: str = "") -> str:
        """A word of a container's command line as it must be here."""
        for there, local in (("0.0.0.0", "127.0.0.1"), ("tls://scheduler", "tls://127.0.0.1"), ("/run/secrets", str(self.secrets(service))),
                             ("/scratch", str(self.folder / "scratch")), ("/data", str(self.folder / "data")), ("/home/jwst/notebooks", str(ROOT / "notebooks"))):  # fmt: skip
            word = word.replace(there, local)
        word = "lo" if word == "eth0" else word
        word = re.sub(r"\b8790\b", lambda _: str(self.ports.setdefault(f"8790 {member}", free_port())), word)
        return re.sub(r"\b(8786|8787|8888)\b", lambda found: str(self.ports[found[1]]), word)

    def secrets(self, service: str) -> Path:
        """Folder that holds the secrets of one service, and no others."""
        folder = self.folder / f"secrets-{service}"
        if not folder.exists():
            folder.mkdir()
            for name in self.services[service]["secrets"]:
                shutil.copy(self.tls / name, folder / name)
        return folder

    def environment(self, service: str) -> dict[str, str]:
        """Environment of the container, upon a minimum of this machine's."""
        config = self.folder / f"config-{service}"
        config.mkdir(exist_ok=True)
        shutil.copy(DEPLOY / "dask.yaml", config)
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "JUPYTER", "CRDS_"))}
        given = {k: self.here(service, str(v)) for k, v in (self.services[service].get("environment") or {}).items()}
        return {**mine, "PATH": f"{BIN}:{os.environ['PATH']}", "DASK_CONFIG": str(config), "PYTHONPATH": str(ROOT), **given}

    def start(self, service: str, member: str = "") -> subprocess.Popen[bytes]:
        """Start what a service's container runs."""
        command = [self.here(service, str(word), member) for word in self.services[service]["command"]]
        if service == "jupyter" and os.geteuid() == 0:  # containers run as an ordinary user; the tests may not
            command.append("--allow-root")
        with open(self.folder / f"{service}{member}.log", "wb") as log:
            process = subprocess.Popen(command, env=self.environment(service), cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        self.processes[service + member] = process
        return process

    def healthy(self, service: str, member: str = "", patience: float = 60) -> bool:
        """Whether the container's health check succeeds before long."""
        _, *command = self.services[service]["healthcheck"]["test"]
        command = [self.here(service, word, member) for word in command]
        end = time.monotonic() + patience
        while time.monotonic() < end and self.processes[service + member].poll() is None:
            if subprocess.run(command, env=self.environment(service), capture_output=True).returncode == 0:
                return True
            time.sleep(0.3)
        return False

    def log(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def stop(self) -> None:
        """End all, workers and notebooks before the scheduler; what does not end by itself is killed with its children."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def security(tls: Path, role: str = "client") -> Any:
    from distributed import Security

    return Security(tls_ca_file=str(tls / "ca.pem"), tls_client_cert=str(tls / f"{role}.pem"), tls_client_key=str(tls / f"{role}.key"), require_encryption=True)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The services of docker-compose.yml: a scheduler and two workers, started as processes."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "scratch").mkdir()
    services = compose(JUPYTER_TOKEN="a-token-for-the-test", WORKERS="2", WORKER_MEMORY="1500MB")["services"]
    machine = Machine(folder, certificates(folder / "tls"), services)
    try:
        machine.start("scheduler")
        assert machine.healthy("scheduler"), machine.log()
        for member in range(int(services["worker"]["deploy"]["replicas"])):
            machine.start("worker", str(member))
        yield machine
    finally:
        machine.stop()


@pytest.fixture
def address(machine: Machine) -> str:
    return f"tls://127.0.0.1:{machine.ports['8786']}"


def test_two_workers_do_a_job_over_tls(machine: Machine, address: str) -> None:
    from distributed import Client

    def double(x: int) -> tuple[int, int]:  # local, so that it goes to the workers by value
        return 2 * x, os.getpid()

    assert machine.healthy("worker", "0") and machine.healthy("worker", "1"), machine.log()
    with Client(address, security=security(machine.tls), timeout="30s") as client:
        client.wait_for_workers(2, timeout=60)
        info = client.scheduler_info(n_workers=-1)["workers"]
        assert len(info) == 2 and all(name.startswith("tls://127.0.0.1:") for name in info)
        assert {worker["memory_limit"] for worker in info.values()} == {1_500_000_000} and {w["nthreads"] for w in info.values()} == {1}
        results = client.gather(client.map(double, range(40), key=[f"double-{i}" for i in range(40)]))
        assert [value for value, _ in results] == list(range(0, 80, 2)) and len({pid for _, pid in results}) == 2
        tuned = client.run_on_scheduler(lambda: __import__("dask").config.get("distributed.scheduler.worker-saturation"))
        assert tuned == 1.1
        pause = client.run(lambda: __import__("dask").config.get("distributed.worker.memory.pause"))
        assert set(pause.values()) == {0.88}


def test_who_has_no_certificate_is_refused(machine: Machine, address: str, tmp_path: Path) -> None:
    from distributed import Client, Security

    with pytest.raises((OSError, TimeoutError, TypeError)):  # a client that is given no certificate does not even try
        Client(address, security=Security(tls_ca_file=str(machine.tls / "ca.pem"), require_encryption=True), timeout="3s")
    assert _admitted(machine, machine.tls)
    assert not _admitted(machine, None)
    assert not _admitted(machine, certificates(tmp_path / "other"))  # of another authority
    with socket.create_connection(("127.0.0.1", machine.ports["8786"]), timeout=10) as plain:
        plain.sendall(bytes(64))
        assert not _answers(plain)


def _admitted(machine: Machine, certificate: Path | None) -> bool:
    """Whether the scheduler begins to talk to somebody with this certificate."""
    context = ssl.create_default_context(cafile=str(machine.tls / "ca.pem"))
    if certificate is not None:
        context.load_cert_chain(certificate / "client.pem", certificate / "client.key")
    with socket.create_connection(("127.0.0.1", machine.ports["8786"]), timeout=10) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="scheduler") as secure:
                return _answers(secure)
        except (ssl.SSLError, ConnectionError):
            return False


def _answers(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except (ssl.SSLError, ConnectionError):
        return False


def test_jupyter_asks_for_its_token(machine: Machine) -> None:
    pytest.importorskip("jupyterlab")
    machine.start("jupyter")
    assert machine.healthy("jupyter"), machine.log()
    url = f"http://127.0.0.1:{machine.ports['8888']}/api/contents"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    assert refused.value.code == 403
    request = urllib.request.Request(url, headers={"Authorization": "token a-token-for-the-test"})
    names = [item["name"] for item in json.load(urllib.request.urlopen(request, timeout=10))["content"]]
    assert "time_series.ipynb" in names
    with pytest.raises(KeyError, match="JUPYTER_TOKEN"):
        compose()


def test_notebooks_use_the_scheduler_and_workers_of_their_own(machine: Machine) -> None:
    script = """
import os
from distributed import Client, LocalCluster
if __name__ == "__main__":
    with Client(os.environ["JWST_DASK_SCHEDULER"], timeout="30s") as client:
        client.wait_for_workers(2, timeout=60)
        print("cluster", client.submit(sum, [20, 3]).result())
    with LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster, Client(cluster) as client:
        print("own", client.submit(sum, [1, 2]).result())
"""
    path = machine.folder / "notebook.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, str(path)], env=machine.environment("jupyter"), capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["cluster", "23", "own", "3"], done.stderr[-3000:]


def test_series_on_the_cluster_equals_series_on_threads(machine: Machine, address: str, bots: Path, tmp_path: Path) -> None:
    from distributed import Client

    import jwst_dask
    from jwst_dask.io.compare import compare, failed

    inputs = str(bots / "*_rateints.fits")
    with Client(address, security=security(machine.tls), timeout="30s") as client:
        client.wait_for_workers(2, timeout=60)
        made = jwst_dask.run(inputs, output_dir=tmp_path / "cluster", client=client, chunk=5)
        assert client.scheduler_info(n_workers=-1)["workers"].keys() and "tls://" in made.plans[0].resources.address
    single = jwst_dask.run(inputs, output_dir=tmp_path / "threads", scheduler="threads", chunk=7)
    assert sorted(made.products) == sorted(single.products) and len(made.products) == 11
    assert made.exit_code == single.exit_code == 0
    rows = compare(tmp_path / "cluster", tmp_path / "threads", rtol=0.0, wcs=True)
    assert not failed(rows) and len({row.product for row in rows}) == 11


def test_certificates(tmp_path: Path) -> None:
    tls = certificates(tmp_path / "tls", "--host", "node17.cluster", "--host", "10.1.2.3", "--days", "3")
    assert stat.S_IMODE(tls.stat().st_mode) == 0o700
    assert {path.name for path in tls.iterdir()} == {"ca.pem", *(f"{r}.{e}" for r in ("scheduler", "worker", "client") for e in ("key", "pem"))}
    for key in tls.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600 and "PRIVATE KEY" in key.read_text()
    for role, purpose in (("scheduler", "sslserver"), ("worker", "sslserver"), ("worker", "sslclient"), ("client", "sslclient")):
        check = ["openssl", "verify", "-x509_strict", "-CAfile", str(tls / "ca.pem"), "-purpose", purpose, str(tls / f"{role}.pem")]
        assert subprocess.run(check, capture_output=True).returncode == 0, (role, purpose)
    check = ["openssl", "verify", "-CAfile", str(tls / "ca.pem"), "-purpose", "sslserver", str(tls / "client.pem")]
    assert subprocess.run(check, capture_output=True).returncode != 0  # a client cannot pose as the scheduler
    text = subprocess.run(["openssl", "x509", "-in", str(tls / "scheduler.pem"), "-noout", "-text"], capture_output=True, text=True).stdout
    for name in ("DNS:localhost", "IP Address:127.0.0.1", "DNS:scheduler", "DNS:node17.cluster", "IP Address:10.1.2.3"):
        assert name in text
    before = (tls / "ca.pem").read_bytes()
    with pytest.raises(subprocess.CalledProcessError):
        certificates(tls)
    assert (tls / "ca.pem").read_bytes() == before
    certificates(tls, "--force", "--keep-authority-key")
    assert (tls / "ca.pem").read_bytes() != before and stat.S_IMODE((tls / "ca.key").stat().st_mode) == 0o600


def test_compose_file_exposes_nothing_beyond_the_machine() -> None:
    described = compose(JUPYTER_TOKEN="t")
    services = described["services"]
    assert set(services) == {"scheduler", "worker", "jupyter"}
    for name, service in services.items():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["deploy"]["resources"]["limits"]["memory"] and service["healthcheck"]["test"][0] == "CMD"
        assert service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
        role = {"jupyter": "client"}.get(name, name)
        assert set(service["secrets"]) == {"ca.pem", f"{role}.pem", f"{role}.key"}, "a service holds its own key only"
        assert set(service["secrets"]) <= set(described["secrets"])
    assert services["worker"]["networks"] == ["cluster"] and described["networks"]["cluster"]["internal"] is True
    assert "USER jwst" in (DEPLOY / "Dockerfile").read_text()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
    assert "*" in ignored and not any("tls" in line for line in ignored if line.startswith("!"))


def test_settings_are_ones_that_dask_knows() -> None:
    import distributed

    known = yaml.safe_load((Path(distributed.__file__).parent / "distributed.yaml").read_text())
    ours = yaml.safe_load((DEPLOY / "dask.yaml").read_text())
    own = yaml.safe_load((ROOT / "jwst_dask/jwst_dask.yaml").read_text())
    free = {("distributed", "nanny", "pre-spawn-environ")}
    known["distributed"]["logging"] = dict.fromkeys(ours["distributed"].pop("logging"), "")  # names of loggers, which have no defaults

    def check(mine: dict[str, Any], theirs: dict[str, Any], place: tuple[str, ...]) -> None:
        for key, value in mine.items():
            if place in free:
                continue
            assert key in theirs, f"{'.'.join(place)}: {key} is not a setting"
            if isinstance(value, dict):
                check(value, theirs[key], (*place, key))

    check({"distributed": ours["distributed"], "jwst_dask": ours["jwst_dask"]}, {**known, **own}, ())


def test_kubernetes_manifests_run_the_same_commands() -> None:
    folder = DEPLOY / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    documents = [document for name in listed for document in yaml.safe_load_all((folder / name).read_text())]
    deployments = {d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in documents if d["kind"] == "Deployment"}
    services = compose(JUPYTER_TOKEN="t")["services"]
    for name, service in (("jwst-dask-scheduler", "scheduler"), ("jwst-dask-worker", "worker")):
        spec, (container,) = deployments[name], deployments[name]["containers"]
        flags = {str(word) for word in container["args"] if str(word).startswith("--")}
        assert flags - {"--host"} == {str(word) for word in services[service]["command"] if str(word).startswith("--")} - {"--host", "--interface"}
        assert {"name": "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "value": "true"} in container["env"]
        assert services[service]["environment"]["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
        assert container["args"][:2] == ["dask", service] and container["livenessProbe"]["exec"]["command"][0] == "python"
        assert spec["securityContext"]["runAsNonRoot"] and container["resources"]["limits"]["memory"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        assert volumes["tls"]["secret"]["secretName"] == f"{name}-tls"
    (port,) = next(d for d in documents if d["kind"] == "Service")["spec"]["ports"]
    assert port["port"] == 8786 and any("tls://jwst-dask-scheduler:8786" in str(w) for w in deployments["jwst-dask-worker"]["containers"][0]["args"])


def test_slurm_job_starts_a_cluster_runs_the_command_and_cleans_up(tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    srun = '#!/bin/bash\nn=1\nwhile [[ $1 == --* ]]; do [[ $1 == --ntasks=* ]] && n=${1#*=}; shift; done\n' \
           'trap \'kill $(jobs -p); wait; exit 0\' TERM\nfor _ in $(seq "$n"); do "$@" & done\nwait\n'  # fmt: skip
    command = f"""#!{sys.executable}
import json, os, stat, sys
from pathlib import Path
from distributed import Client
contact = Path(sys.argv[sys.argv.index("--scheduler-file") + 1])
with Client(scheduler_file=str(contact), timeout="30s") as client:
    client.wait_for_workers(2, timeout=60)
    found = client.run(lambda: os.environ.get("OMP_NUM_THREADS"))
    keys = [stat.S_IMODE(p.stat().st_mode) for p in (contact.parent / "tls").glob("*.key")]
    Path("result.json").write_text(json.dumps([sys.argv[1:3], sorted(found), list(found.values()), client.submit(sum, [1, 2]).result(), keys]))
"""
    for name, text in (("srun", srun), ("jwst-dask", command)):
        (fake / name).write_text(text)
        (fake / name).chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "SLURM_"))}
    environment |= {"PATH": f"{fake}:{BIN}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "17", "SLURM_NTASKS": "2",
                    "SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_CPU": "1000", "JWST_DASK_DEPLOY": str(DEPLOY), "JWST_DASK_HOST": "127.0.0.1",
                    "JWST_DASK_INTERFACE": "lo"}  # fmt: skip
    job = ["bash", str(DEPLOY / "slurm/jwst-dask.sbatch"), "run", "auto", "x.fits"]
    done = subprocess.run(job, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    words, workers, threads, total, keys = json.loads((tmp_path / "result.json").read_text())
    assert words == ["run", "auto"] and total == 3 and threads == ["1", "1"] and set(keys) == {0o600}
    assert len(workers) == 2 and all(name.startswith("tls://127.0.0.1") for name in workers)
    assert not list(tmp_path.glob(".jwst-dask-17*")), "keys are removed at the end of the job"
