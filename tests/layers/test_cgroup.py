"""Limits of memory and processor time in containers: control groups of version 1 and 2, nested, mounted in parts."""

import pytest

import snippets.layers.device.container
from snippets.layers.device.container import memory_left, processors
from snippets.layers.device.xp import usable_cores
from snippets.nets.inspect.memory import available_memory
from snippets.training.cli import doctor

GIB = 2**30
NONE_V1 = 9223372036854771712  # what version 1 writes where there is no limit
V2 = "0::/pod/me\n"
V1 = "9:name=systemd:/\n4:memory:/pod/me\n2:cpu,cpuacct:/pod/me\n0::/\n"


def v2(most, taken, inactive=0, high="max"):
    stat = f"anon 5\ninactive_file {inactive}\nactive_file 7\n"
    return {"memory.max": most, "memory.high": high, "memory.current": taken, "memory.stat": stat}


def v1(most, taken, inactive=0):
    stat = f"inactive_file 3\ntotal_inactive_file {inactive}\n"
    return {"memory.limit_in_bytes": most, "memory.usage_in_bytes": taken, "memory.stat": stat}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that makes a machine: which groups the process is told, and the files of each group's folder."""

    def make(told, **groups):
        files = {"proc/self/cgroup": told}
        for folder, members in groups.items():
            files.update({f"sys/fs/cgroup/{folder.replace('__', '/')}/{name}": v for name, v in members.items()})
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")
        monkeypatch.setattr(snippets.layers.device.container, "ROOT", tmp_path)

    processors.cache_clear()
    yield make
    processors.cache_clear()


MEMORY = [
    (V2, dict(pod__me=v2(3 * GIB, GIB)), 2 * GIB),
    (V2, dict(pod__me=v2(3 * GIB, 2 * GIB, GIB)), 2 * GIB),  # what was read from files can be dropped
    (V2, dict(pod__me=v2("max", GIB), pod=v2(5 * GIB, 4 * GIB)), GIB),  # the limit is an ancestor's
    (V2, dict(pod__me=v2(2 * GIB, GIB // 2), pod=v2(8 * GIB, 7 * GIB)), GIB),  # a wider limit that is nearly used up
    (V2, dict(pod__me=v2(2 * GIB, GIB), pod=v2(8 * GIB, 2 * GIB)), GIB),
    (V2, {"": v2(4 * GIB, GIB)}, 3 * GIB),  # the group is the top of what can be seen
    ("0::/../../me\n", {"": v2(4 * GIB, GIB)}, 3 * GIB),
    (V2, dict(pod__me=v2(9 * GIB, GIB, high=3 * GIB)), 2 * GIB),
    (V2, dict(pod__me=v2(GIB, 2 * GIB)), 0),
    (V2, dict(pod__me=v2("max", GIB), pod=v2("max", GIB)), None),
    (V2, dict(pod__me={"memory.max": 3 * GIB, "memory.current": GIB}), 2 * GIB),  # no memory.stat
    (V2, {}, None),
    ("nonsense\n", {"": v2(4 * GIB, GIB)}, 3 * GIB),
    (V1, dict(memory__pod__me=v1(3 * GIB, 2 * GIB, GIB)), 2 * GIB),
    (V1, dict(memory__pod__me=v1(NONE_V1, 2 * GIB), memory__pod=v1(5 * GIB, 3 * GIB)), 2 * GIB),
    (V1, dict(memory=v1(3 * GIB, GIB)), 2 * GIB),
    (V1, dict(memory__pod__me=v1(NONE_V1, GIB), memory=v1(NONE_V1, GIB)), None),
    (V1 + V2, dict(memory__pod__me=v1(3 * GIB, GIB), unified__pod__me=v2("max", GIB)), 2 * GIB),
]


@pytest.mark.parametrize(("told", "groups", "left"), MEMORY)
def test_memory_left_is_the_tightest_limit(told, groups, left, machine):
    machine(told, **groups)
    assert memory_left() == left
    if left is not None and left < GIB:
        assert available_memory() == left


CPU = [
    (V2, dict(pod__me={"cpu.max": "150000 100000"}), 1.5),
    (V2, dict(pod__me={"cpu.max": "max 100000"}, pod={"cpu.max": "50000 100000"}), 0.5),
    (V2, dict(pod__me={"cpu.max": "400000 100000"}, pod={"cpu.max": "100000 50000"}), 2),
    (V2, dict(pod__me={"cpu.max": "max 100000"}), None),
    (V1, {"cpu__pod__me": {"cpu.cfs_quota_us": 25000, "cpu.cfs_period_us": 10000}}, 2.5),
    (V1, {"cpu__pod__me": {"cpu.cfs_quota_us": -1, "cpu.cfs_period_us": 10000}}, None),
    (V1, {"cpu": {"cpu.cfs_quota_us": 5000, "cpu.cfs_period_us": 10000}}, 0.5),
    (V2, {}, None),
]


@pytest.mark.parametrize(("told", "groups", "allowed"), CPU)
def test_processors_are_the_tightest_quota(told, groups, allowed, machine):
    machine(told, **groups)
    assert processors() == allowed


@pytest.mark.parametrize(("quota", "cores"), [("50000 100000", 1), ("150000 100000", 2), ("9900000 100000", 3)])
@pytest.mark.parametrize("affinity", [True, False])
def test_cores_follow_the_quota(quota, cores, affinity, machine, monkeypatch):
    """Time on half a processor is one core, on one and a half two, and never more than there are."""
    machine(V2, pod__me={"cpu.max": quota})
    if affinity:
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    else:  # macOS, Windows
        monkeypatch.delattr("os.sched_getaffinity", raising=False)
        monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert usable_cores() == cores


def test_without_a_count_of_processors_there_is_one(machine, monkeypatch):
    machine("")
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usable_cores() == 1


def test_the_doctor_tells_what_the_container_leaves(machine, monkeypatch, capsys):
    machine(V2, pod__me=v2(3 * GIB, 2 * GIB) | {"cpu.max": "50000 100000"})
    monkeypatch.setattr(doctor, "product_rate", lambda n: 1e9)
    assert doctor.run_doctor(None) == 0
    told = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert told["memory"] == "1.0 GiB free for this process" and told["cores"] == "1"
