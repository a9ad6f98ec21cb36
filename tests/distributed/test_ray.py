"""Downpour SGD on real Ray actors: bits, death of either kind by SIGKILL, a stop and a resumed run, complaints."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from downpour_runs import CONFIG, LEARNER, SETTINGS, clips
from threadpoolctl import threadpool_limits
from waiting import HANG, meanwhile, until

from snippets.data.features import save_features
from snippets.nets.zoo import build
from snippets.training.checkpoint import CheckpointError, load
from snippets.training.cli.main import main
from snippets.training.distributed.costs import measured
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.ray_actors import ACTOR
from snippets.training.distributed.ray_engine import downpour
from snippets.training.distributed.ray_session import check_address, connect, import_ray, on_this_machine, sweep
from snippets.training.distributed.simulation_report import compare
from snippets.training.log import read_log
from snippets.training.loop import train
from snippets.training.objective import loss_and_gradient
from snippets.training.parameters import flatten
from snippets.training.settings import Settings

pytest.importorskip("ray", reason="needs Ray (pip install ray)")

# 360 batches; at the end steps are small, and so is noise; momentum as docs/scale-out.md advises: with 0.9 a shard that
# goes back may leave every unit of the twelve dead
LONG = Settings(**{**vars(SETTINGS), "epochs": 60, "decay": 0.97, "momentum": 0.5})


@pytest.fixture(scope="module", autouse=True)
def one_ray():
    """Ray is started once for the module and leaves no process behind."""
    ray = import_ray()
    with on_this_machine() as how:
        connect(ray, **how, num_cpus=1, log_to_driver=False, logging_level="ERROR")
        yield Path(how["_temp_dir"]).parent, ray
        session = os.environ["RAY_AUTH_TOKEN_PATH"].encode()
        assert processes(session)  # or the check below would prove nothing
        ray.shutdown(wait_for_processes=True)
        until(lambda: not processes(session), "the end of Ray's processes")
    assert not Path(how["_temp_dir"]).parent.exists()


def processes(session):
    """Ids of the processes that belong to a Ray session, whose folder each of them has been told; the dead left out."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # ended in between
            if process.name.isdigit() and session in (process / "environ").read_bytes():
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                found += [process.name] if state != "Z" else []
    return found


def test_nobody_else_reaches_ray(one_ray):
    """Every process listens on the loopback alone and wants a token that nobody but this user can read."""
    psutil, (session, ray) = pytest.importorskip("psutil"), one_ray

    class Environment:
        def tell(self):
            return os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"]

    actor = ray.remote(num_cpus=0)(Environment).remote()
    mode, token = ray.get(actor.tell.remote())
    me, heard = psutil.Process(), []
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            heard += [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(heard) >= 5 and {ip.removeprefix("::ffff:") for ip in heard} <= {"127.0.0.1", "::1"}
    assert mode == "token" and Path(token).parent == session and len(Path(token).read_text()) == 64
    assert Path(token).stat().st_mode & 0o777 == 0o600 and session.stat().st_mode & 0o777 == 0o700
    address = ray.get_runtime_context().gcs_address
    check_address(address)  # somebody answers there
    stranger = (
        f"from snippets.training.distributed.ray_session import ray_session\nwith ray_session({address!r}): print('in')"
    )
    environment = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64}
    command = [sys.executable, "-c", stranger]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG)
    assert done.stdout == "" and f"no connection to Ray ({address}): it wants a token, and not this" in done.stderr


def quiet(net, settings, d, folder, **options):
    return downpour(net, clips(), settings, d, folder=folder, progress=False, **options)


def loss_of(net):
    """Training loss per clip."""
    data = clips()
    x = np.stack([data.train_clip(i, np.random.default_rng(i)) for i in range(len(data))])
    return loss_and_gradient(net, x, data.labels)[0]


def test_downpour_with_one_replica_is_sgd_bit_for_bit(tmp_path):
    """Downpour with one replica = SGD (bit for bit), in four processes; its checkpoint is an ordinary one."""
    plain, net = build(CONFIG, 1), build(CONFIG, 1)
    with threadpool_limits(1, "blas"):
        history = train(plain, clips(), SETTINGS, folder=tmp_path / "plain", progress=False)
    result = quiet(net, SETTINGS, Downpour(1, 3, fetch=1, push=1), tmp_path / "run")
    assert flatten(net.params).tobytes() == flatten(plain.params).tobytes()
    assert result["staleness"] == {0: 3 * 18}
    assert [r["loss"] for r in result["history"]] == [r["loss"] for r in history]
    assert 0 < result["waiting"] < 1
    ours, theirs = (load(tmp_path / name / "checkpoint.npz") for name in ("run", "plain"))
    assert flatten(ours.velocity).tobytes() == flatten(theirs.velocity).tobytes()
    assert (ours.steps, ours.epoch) == (theirs.steps, theirs.epoch) == (18, 3)


def test_parameters_come_with_the_answer_itself(one_ray):
    """One round trip: what an actor of Downpour answers lies in no object store, where the caller would have to ask."""

    class Shelf:
        def take(self):
            return np.zeros(1 << 20, np.uint8)

    _, ray = one_ray
    places = []
    for how in (ACTOR, dict(num_cpus=0)):  # and as Ray does it otherwise
        answer = ray.remote(**how)(Shelf).remote().take.remote()
        assert ray.get(answer).size == 1 << 20
        places.append(ray.experimental.get_object_locations([answer])[answer]["node_ids"])
    assert places[0] == [] != places[1]


def steps_in(log):
    return sum(r["event"] == "step" for r in read_log(log)) if log.exists() else 0


def kill(log, kind, number):
    """SIGKILL to the newest process of an actor; returns its pid."""
    pids = [r["pid"] for r in read_log(log) if r["event"] == "started" and r.get(kind) == number]
    os.kill(pids[-1], signal.SIGKILL)
    return pids[-1]


@pytest.mark.parametrize("kind", ["replica", "shard"])
def test_a_killed_process_comes_back_and_training_converges(kind, tmp_path):
    """SIGKILL in mid-run: the actor is started again, the log says what was lost, the loss comes down all the same."""
    net, log = build(LEARNER, 1), tmp_path / "run" / "log.jsonl"
    start = loss_of(net)
    killed = []
    d = Downpour(2, 2, fetch=2, push=2, checkpoint_every=10)
    with meanwhile(lambda: steps_in(log) >= 60 and killed.append(kill(log, kind, 1)) is None):
        result = quiet(net, LONG, d, tmp_path / "run")
    assert killed
    records = read_log(log)
    assert loss_of(net) < 0.3 * start  # 0.09 at worst of 8 seeds, simulated with a death every 6 s
    steps = sum(r["event"] == "step" for r in records)
    lost = [r for r in records if r["event"] == "lost"]
    if kind == "replica":
        assert [r["replica"] for r in records if r["event"] == "died"] == [1]
        again = [r for r in records if r["event"] == "started" and r.get("replica") == 1]
        assert len(again) == 2 and again[1]["pid"] not in killed and again[1]["step"] > 0
        assert steps == 360  # steps that it had not pushed were made again
    else:
        (back,) = [r for r in records if r["event"] == "restored"]
        assert back["shard"] == 1 and back["version"] % 10 == 0  # its last checkpoint: nothing before is lost
        for r in lost:
            assert r["shard"] == 1 and r["first"] >= back["done"][r["replica"]]
        count = sum(r["end"] - r["first"] for r in lost)
        assert 0 < count <= 2 * (d.checkpoint_every + 8)  # since the checkpoint, and while the shard was away
        updates = sum(result["staleness"].values())  # in both shards, of two steps each
        assert updates == (360 + 360 - count) / 2


def test_a_shard_without_its_checkpoint_ends_the_run(tmp_path):
    """It would begin with the initial weights, and nobody would notice."""
    folder = tmp_path / "run"
    log, path = folder / "log.jsonl", folder / "shards" / "1.npz"

    def lose():
        if steps_in(log) < 60:
            return False
        kill(log, "shard", 1)
        path.unlink()
        return True

    with meanwhile(lose), pytest.raises(OSError, match=rf"shard 1 has no checkpoint on host 127.0.0.1, .*: {path} is"):
        quiet(build(CONFIG, 1), LONG, Downpour(2, 2, fetch=2, push=2, checkpoint_every=10), folder)


def test_a_stopped_run_goes_on(tmp_path):
    """Ctrl-C saves the shards; the resumed run does the rest, and another number of replicas is refused."""
    net, folder = build(CONFIG, 1), tmp_path / "run"
    log = folder / "log.jsonl"

    d = Downpour(2, 2, fetch=2, push=2, checkpoint_every=10)
    interrupt = partial(os.kill, os.getpid(), signal.SIGINT)
    with (
        pytest.raises(KeyboardInterrupt, match="run again with resume"),
        meanwhile(lambda: steps_in(log) >= 40 and interrupt() is None),
    ):
        quiet(net, LONG, d, folder)
    with pytest.raises(FileExistsError, match="resume that run"):
        quiet(net, LONG, d, folder)
    with pytest.raises(CheckpointError, match="'replicas': 2"):
        quiet(net, LONG, Downpour(3, 2, fetch=2, push=2, checkpoint_every=10), folder, resume=True)
    (folder / "shards" / "1.npz").rename(folder / "moved")
    with pytest.raises(FileNotFoundError, match=r"shards/1.npz is gone"):
        quiet(net, LONG, d, folder, resume=True)
    (folder / "moved").rename(folder / "shards" / "1.npz")
    before = read_log(log)
    result = quiet(build(CONFIG, 1), LONG, d, folder, resume=True)
    records = read_log(log)
    steps = [r for r in records if r["event"] == "step"]
    assert sum(result["staleness"].values()) >= 2 * 180 * 0.95 and 360 * 0.95 <= len(steps) <= 360
    assert records[: len(before)] == before and before[-1]["event"] == "stopped"  # the log goes on
    assert result["seconds"] > before[-1]["seconds"] > 0 and result["samples"] == sum(r["sums"][3] for r in steps)
    checkpoint = load(folder / "checkpoint.npz")
    assert checkpoint.epoch == 60 and checkpoint.history == result["history"]
    assert [record["epoch"] for record in checkpoint.history] == list(range(1, 61))


def test_an_error_in_a_replica_is_the_drivers_error(tmp_path):
    settings = Settings(**{**vars(SETTINGS), "lr": 1e20, "clip_norm": None})
    with pytest.raises(FloatingPointError, match="has diverged"):
        quiet(build(CONFIG, 1), settings, Downpour(1, 1, 1, 1), tmp_path / "run")


def test_the_command_line_trains_with_replicas(tmp_path, capsys):
    data = clips(60)
    save_features(tmp_path / "f.npz", data.stored.feat, data.labels + 1, np.arange(60) >= 44)
    args = ["train", str(tmp_path / "f.npz"), "--out", str(tmp_path / "run"), "--head", "conv", "--fc", "12"]
    how = ["--downpour", "--replicas", "2", "--shards", "2", "--fetch", "1", "--push", "1", "--warm", "3"]
    assert main([*args, *how, "--epochs", "5", "--batch", "8"]) == 0
    out = capsys.readouterr().out
    assert "staleness: 0:" in out and "video Hit@1" in out
    assert main([*args, *how]) == 1
    assert "exists: resume" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "run" / "checkpoint.npz"), str(tmp_path / "f.npz")]) == 0


@pytest.mark.slow
def test_measured_costs_predict_a_real_run():
    """Costs measured here, a simulated and a real run beside each other: the same staleness, times that are times."""
    job = Job(build(CONFIG, 1), clips(), SETTINGS, Downpour(2, 2, fetch=1, push=1))
    cluster = measured(job, limit=1, mtbf=1e9)
    assert 0 < cluster.compute < 1 and 0 < cluster.message < 0.1 and 0 <= cluster.wake < 0.1
    assert 0 < cluster.apply < 1e-6 and 0 < cluster.touch < 1e-6 and cluster.restart > 0
    rows = compare(job, [1, 2], {"hosts": 1}).splitlines()[2:]
    cells = [row.strip("| ").split(" | ") for row in rows]
    assert [row[:2] for row in cells] == [["simulated", "1"], ["real", "1"], ["simulated", "2"], ["real", "2"]]
    assert all(float(row[2]) > 0 and 0 <= float(row[4]) < 100 for row in cells) and cells[0][5] == cells[1][5] == "0"


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1], ids=["starting", "training"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_whatever_ends_a_run_nothing_is_left_of_it(number, after, tmp_path):
    """Once Ray's folder is its own or steps are made: Ctrl-C, which a terminal sends to all, a signal to the driver."""
    data = clips(60)
    save_features(tmp_path / "f.npz", data.stored.feat, data.labels + 1, np.arange(60) >= 44)
    args = "train f.npz --out run --head conv --fc 12 --epochs 9999 --downpour --replicas 2 --shards 2".split()
    args += ["--checkpoint-every", "5"]
    with tempfile.TemporaryDirectory(dir="/tmp") as root:  # a short name
        environment = {**os.environ, "RAY_TMPDIR": root}
        command = [sys.executable, "-c", "from snippets.training.cli.main import main; raise SystemExit(main())", *args]
        options = dict(cwd=tmp_path, env=environment, start_new_session=True, text=True, stderr=subprocess.PIPE)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) as process:
            log = tmp_path / "run" / "log.jsonl"
            until(lambda: steps_in(log) > 20 if after else list(Path(root).glob("*/token")))
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            _, err = process.communicate(timeout=HANG)
        until(lambda: not processes(root.encode()), "the end of Ray's processes")
        assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), err
        assert "Traceback" not in err and "Fatal" not in err
        assert bool(os.listdir(root)) == (number == signal.SIGKILL)
        assert (tmp_path / "run" / "shards" / "1.npz").exists() == bool(after)
        sweep(Path(root))  # as the next run does
        assert os.listdir(root) == []


def test_without_ray_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install -e "\.\[ray\]"'):
        quiet(build(CONFIG, 1), SETTINGS, Downpour(), tmp_path / "run")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
