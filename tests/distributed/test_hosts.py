"""Two hosts made of namespaces (tests/kit/two_hosts.py), set up as docs/scale-out.md says: pytest -m hosts."""

import contextlib
import shutil
import time

import pytest
from conftest import ROOT
from host_runs import TOKEN, events, ray_cluster, write_features
from two_hosts import two_hosts
from waiting import HANG, until

from snippets.data.mini.make import make_mini

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("features") / "f.npz")


def training(data, out, epochs, *more):
    """Words of a command that trains on `data` with two replicas and two shards."""
    net = "--head conv --fc 12 --dropout 0 --batch 8 --lr 0.01 --momentum 0.5 --clip-norm 1".split()
    how = "--downpour --replicas 2 --shards 2 --fetch 1 --push 1 --checkpoint-every 20".split()
    return ["snippets", "train", data, "--out", out, *net, *how, "--epochs", epochs, *more]


class Hosts:
    """A cluster of two hosts. OUT and DATA are folders of which each has its own."""

    def __init__(self, folder, a, b, own):
        self.folder, self.a, self.b, self.own = folder, a, b, own
        self.address = ray_cluster(a, b)

    def train(self, data, out, epochs, *more, env=()):
        """Train on alpha: the finished process."""
        return self.a.run(*training(data, out, epochs, "--address", self.address, *more), env={**TOKEN, **dict(env)})


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    own = folder / "own"
    with two_hosts(folder, apart=[own]) as (a, b):
        yield Hosts(folder, a, b, own)


def errors(done):
    """What a command said on standard error, without the lines about hosts that are slow to answer."""
    return [line for line in done.stderr.splitlines() if not line.startswith("waiting for ")]


def test_hosts_are_apart_and_joined_by_a_cable(tmp_path):
    """Names, files, processes and addresses of their own; the cable can be slowed, cut and joined; nothing is left."""
    own = tmp_path / "own"
    with two_hosts(tmp_path, apart=[own]) as (a, b):
        for host in (a, b):
            assert (
                host.run("sh", "-c", f"hostname; ls {own}; echo $HOME").stdout == f"{host.name}\n{host.folder}/home\n"
            )
            host.run("touch", own / host.name)
        assert a.run("ls", own).stdout == "alpha\n" and b.run("ls", own).stdout == "beta\n"
        assert (tmp_path / "alpha" / "own" / "alpha").exists() and not list(own.iterdir())
        sleeper = b.start("sleep", "600")
        assert b.run("pgrep", "sleep").stdout and not a.run("pgrep", "sleep").stdout

        read = f"""import socket
server = socket.create_server(("{b.address}", 9))
print("ready", flush=True)
connection = server.accept()[0]
while connection.recv(1 << 16):
    pass
connection.sendall(b"all")"""

        def sends(size):
            """Seconds that `size` bytes take from a to b and an answer back; None: there is none within 9 seconds."""
            write = f"""import socket
connection = socket.create_connection(("{b.address}", 9), 2)
connection.sendall(bytes({size}))
connection.shutdown(socket.SHUT_WR)
connection.settimeout(9)
assert connection.recv(3) == b"all" """
            with b.start("python", "-c", read) as reader:
                assert reader.stdout.readline() == "ready\n"
                start = time.monotonic()
                done = a.run("python", "-c", write)
                reader.kill()
            return time.monotonic() - start if done.returncode == 0 else None

        assert sends(1) is not None
        a.slow("2mbit")
        assert sends(400_000) > 1.2  # 3.2 Mbit
        a.cut()
        assert sends(1) is None
        a.mend()
        assert sends(1) is not None
        b.kill()
        assert sleeper.wait(9) != 0
    assert not (tmp_path / "own" / "beta").exists()


def test_actors_go_in_turn_and_threads_by_the_cores_of_their_host(hosts, features, tmp_path):
    """The documented commands, the token included; a folder that both hosts see."""
    done = hosts.train(features, tmp_path / "run", 2, "--replicas", 4, "--shards", 4)
    assert done.returncode == 0 and "video Hit@1" in done.stdout, done.stderr
    places = {(k, r[k]): r["host"] for r in events(tmp_path / "run", "started") for k in ("shard", "replica") if k in r}
    addresses = hosts.a.address, hosts.b.address
    assert places == {(kind, i): addresses[i % 2] for kind in ("shard", "replica") for i in range(4)}


def test_a_host_that_does_not_see_out_gets_no_shards(hosts, features):
    """OUT of its own on each host: shards stay where their checkpoints are; files of another run there are found."""
    out = hosts.own / "run"
    done = hosts.train(features, out, 2, "--replicas", 4, "--shards", 4)
    assert done.returncode == 0 and f"host {hosts.b.address} (beta) does not see {out}" in done.stderr, done.stderr
    started = events(hosts.a.folder / "own" / "run", "started")
    assert {r["host"] for r in started if "shard" in r} == {hosts.a.address}
    assert [r["host"] for r in started if "replica" in r] == [hosts.a.address, hosts.b.address] * 2
    assert len(list((hosts.a.folder / "own" / "run" / "shards").iterdir())) == 4
    assert not (hosts.b.folder / "own" / "run").exists()
    hosts.b.run("mkdir", "-p", out / "shards", check=True)
    hosts.b.run("touch", out / "shards" / "1.npz", check=True)
    hosts.a.run("rm", "-r", out, check=True)
    done = hosts.train(features, out, 2)
    assert done.returncode == 1 and len(errors(done)) == 1
    assert f"host {hosts.b.address} (beta) has {out}/shards/1.npz of another run: remove it there" in done.stderr


def test_data_that_a_host_lacks_or_has_otherwise_are_named_with_it(hosts, tmp_path):
    """A folder of videos on one host alone, then on the other with one video that is another."""
    data = hosts.own / "data"
    make_mini(hosts.a.folder / "own" / "data", groups=3, clips=1, frames=16)
    more = "--frames 4 --size 32 --width 0.05 --cache".split() + [hosts.own / "cache"]
    done = hosts.train(data, tmp_path / "run", 1, *more)
    assert done.returncode == 1 and f"host {hosts.b.address} (beta) lacks data: {data}" in done.stderr, done.stderr
    copy = hosts.b.folder / "own" / "data"
    shutil.copytree(hosts.a.folder / "own" / "data", copy)
    first, second, *_ = sorted(copy.rglob("*_g02_*.avi"))  # of the training set
    shutil.copy(second, first)
    done = hosts.train(data, tmp_path / "run", 1, *more)
    name = first.relative_to(copy)
    assert f"host {hosts.b.address} (beta) has another video {name} than this host" in done.stderr, done.stderr


def test_other_code_is_noticed_at_the_start(hosts, features, tmp_path):
    for name in ("layers", "nets", "data", "training"):
        shutil.copytree(ROOT / name, tmp_path / "snippets" / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "snippets" / "training" / "step.py").open("a") as file:
        file.write("\n")
    done = hosts.train(features, tmp_path / "run", 1, env={"PYTHONPATH": tmp_path})
    assert done.returncode == 1 and len(errors(done)) == 1
    assert f"host {hosts.a.address} (alpha) has another version of training/step.py: install" in done.stderr


def test_a_wrong_token_port_or_address_is_one_sentence_within_seconds(hosts, features, tmp_path):
    """From a host of the cluster, with another token or none, at another port, and from one that is not of it."""
    a, b = hosts.a, hosts.b
    (tmp_path / "token").write_text("0" * 64)
    wrong = [
        (b, hosts.address, {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}, "token"),
        (b, hosts.address, {"HOME": str(tmp_path)}, "token"),
        (b, hosts.address, {"HOME": str(tmp_path), "RAY_AUTH_MODE": None}, "token"),
        (b, f"{a.address}:6378", {}, f"--address {a.address}:6378: no Ray answers there"),
        (b, f"{a.address}:6380", {}, "that is not the port of ray start --head"),
        (b, "10.9.0.3:6379", {}, "--address 10.9.0.3:6379: no Ray answers there"),
    ]
    for host, address, env, told in wrong:
        start = time.monotonic()
        done = host.run(*training(features, tmp_path / "run", 1, "--address", address), env={**TOKEN, **env})
        print(time.monotonic() - start, done.stderr)
        assert done.returncode == 1 and len(errors(done)) == 1 and told in done.stderr
        assert time.monotonic() - start < 20


@pytest.fixture
def pair(tmp_path):
    """A cluster whose hosts a test may kill."""
    with two_hosts(tmp_path / "hosts") as (a, b):
        yield Hosts(tmp_path, a, b, None)


@contextlib.contextmanager
def running(hosts, features, out, epochs=9999):
    """A training over both hosts that makes steps on each; at the end it must still run, and stops on Ctrl-C."""
    with (hosts.folder / "told").open("w") as told:
        command = training(features, out, epochs, "--address", hosts.address)
        run = hosts.a.start(*command, env=TOKEN, stdout=told, stderr=told)
        until(lambda: run.poll() is not None or min(steps(out, 0), steps(out, 1)) > 20, "the first steps")
        yield
        assert run.poll() is None, (hosts.folder / "told").read_text()
        hosts.a.run("pkill", "-INT", "-f", "snippets train", check=True)
        assert run.wait(HANG) == 130 and "Traceback" not in (hosts.folder / "told").read_text()


def steps(out, replica):
    return sum(r["replica"] == replica for r in events(out, "step"))


def test_a_link_cut_for_half_a_minute_does_not_end_a_run(pair, features, tmp_path):
    """What the run waits for is said, and on which host; then both replicas go on."""
    out = tmp_path / "run"
    with running(pair, features, out):
        pair.a.cut()
        time.sleep(30)
        pair.a.mend()
        before = steps(out, 0), steps(out, 1)
        until(lambda: steps(out, 0) > before[0] + 20 and steps(out, 1) > before[1] + 20, "more steps")
    said = {r["for"] for r in events(out, "waiting")}
    assert f"shard 1 on host {pair.b.address}" in said and all(" on host " in what for what in said)
    assert f"waiting for shard 1 on host {pair.b.address}, 10 s so far" in (tmp_path / "told").read_text()


def test_a_stopped_replica_only_falls_behind(pair, features, tmp_path):
    """For 20 s its process stands still while the other makes steps, and the run says so; then it goes on."""
    out = tmp_path / "run"
    with running(pair, features, out):
        (pid,) = (r["pid"] for r in events(out, "started") if r.get("replica") == 1)
        pair.b.run("kill", "-STOP", pid, check=True)
        time.sleep(2)  # for what was on its way
        before = steps(out, 0), steps(out, 1)
        time.sleep(18)
        assert steps(out, 0) > before[0] + 20 and steps(out, 1) == before[1]
        pair.b.run("kill", "-CONT", pid, check=True)
        until(lambda: steps(out, 1) > before[1] + 20, "more steps")
    assert f"a step of replica 1 on host {pair.b.address}" in {r["for"] for r in events(out, "waiting")}
    assert not events(out, "died") and not events(out, "lost")


def test_a_host_that_is_lost_costs_no_more_than_its_last_updates(pair, features, tmp_path):
    """Both see OUT: its shard goes on from its checkpoint and its replica too, on the other host, where both resume."""
    out = tmp_path / "run"
    with running(pair, features, out):
        pair.b.kill()
        until(lambda: events(out, "restored"), "the shard on the other host")
        before = steps(out, 0), steps(out, 1)
        until(lambda: steps(out, 0) > before[0] + 20 and steps(out, 1) > before[1] + 20, "more steps")
    (back,) = events(out, "restored")
    assert back["shard"] == 1 and back["host"] == pair.a.address and back["version"] % 20 == 0 < back["version"]
    assert [r["host"] for r in events(out, "started") if r.get("replica") == 1] == [pair.b.address, pair.a.address]
    epochs = max(r["epoch"] for r in events(out, "step")) + 1
    done = pair.train(features, out, epochs, "--resume")
    assert done.returncode == 0 and "video Hit@1" in done.stdout, done.stderr


def test_a_slow_link_only_slows(pair, features, tmp_path):
    """Two megabits per second and way."""
    for host in (pair.a, pair.b):
        host.slow("2mbit")
    out = tmp_path / "run"
    done = pair.train(features, out, 2)
    assert done.returncode == 0, done.stderr
    assert len(events(out, "step")) == 12 and not events(out, "lost") and not events(out, "restored")
