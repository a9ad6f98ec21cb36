"""What `snippets scaling` and `snippets simulate` hand on to what measures and simulates: stand-ins record it."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.features import save_features
from snippets.data.layouts.splits import Split
from snippets.data.open import DataSettings, DataSpec
from snippets.training.cli import scale
from snippets.training.cli.main import main
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.machines import Cluster
from snippets.training.settings import Settings

NET = "--head average --fc 0 --dropout 0"


class Videos(list):
    """A data set of one class, which is its videos."""

    classes = ["k"]

    @property
    def videos(self):
        return list(self)


def job_of(*parts):
    """A `Job`, without a look at its network."""
    return SimpleNamespace(**dict(zip(("net", "dataset", "settings", "downpour"), parts, strict=True)))


def recorder(monkeypatch, **answers):
    """Stand-ins for functions of the module; {name: the calls}, each its arguments and a dict of those by name."""
    calls = {}

    def record(name, answer):
        calls[name] = []

        def call(*args, **options):
            calls[name].append((*args, options))
            return answer(*args, **options) if callable(answer) else answer

        monkeypatch.setattr(scale, name, call)

    for name, answer in answers.items():
        record(name, answer)
    return calls


@pytest.mark.parametrize("options, repeat", [("", 9), ("--repeat 3 --seed 1", 3)])
def test_scaling_times_one_network_on_random_clips(monkeypatch, capsys, options, repeat):
    """Float32 clips of any class, which with the weights come from the seed; ranks of one machine share its memory."""
    team = SimpleNamespace(host=SimpleNamespace(size=3))
    times = dict.fromkeys(("step", "alone", "reduce", "memcpy", "bytes", "ranks", "cores"), 1)
    calls = recorder(monkeypatch, ranks=nullcontext(team), fit_memory=None, scaling=times)
    words = "scaling --tower alexnet --head average --fc 0 --frames 2 --size 36 --width 0.04 --classes 3 --batch 20"
    assert main([*words.split(), *options.split()]) == 0
    ((config, shape, settings, how),) = calls["fit_memory"]
    assert (config.classes, config.frames, shape, settings) == (3, 2, (20, 2, 36, 36, 3), Settings())
    assert how == {"processes": 3}
    ((net, x, labels, of, found, _),) = calls["scaling"]
    assert (x.shape, x.dtype, labels.shape, of is team, found) == (shape, np.float32, (20,), True, repeat)
    assert set(labels) == {0, 1, 2}
    rng = np.random.default_rng("--seed" in options)
    np.testing.assert_array_equal(x, rng.standard_normal(shape, dtype=np.float32))
    expected = scale.build(config, seed=int("--seed" in options)).params
    assert all((a == expected[key]).all() for key, a in net.params.items())


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Nine training videos and four to test, of features; the calls of a simulation."""
    monkeypatch.chdir(tmp_path)
    feat = np.random.default_rng(0).standard_normal((13, 4, 3)).astype(np.float32)
    save_features("f.npz", feat, np.arange(13) % 2 + 1, np.arange(13) >= 9)
    found = Cluster(compute=0.25, latency=0.5)
    answers = dict(fit_memory=None, simulate_all="rows", measured=found, compare="real", prices="table", inherit=None)
    return recorder(monkeypatch, **answers)


@pytest.mark.parametrize("batch, clips", [(5, 5), (50, 9)])
def test_what_is_simulated(calls, capsys, batch, clips):
    """Each replica takes four times the parameters besides the one that computes."""
    given = f"--batch {batch} --counts 2 7 3 --momenta 0.5 --hosts 2 --compute 0.5 --out there --fetch 3 --lr 0.03"
    assert main(["simulate", "f.npz", *NET.split(), *given.split()]) == 0
    ((args, team, _),) = calls["inherit"]
    assert (args.data, team.size) == ("f.npz", 1)
    ((config, shape, settings, how),) = calls["fit_memory"]
    assert (config.head, shape, settings.batch, how) == ("average", (clips, 4, 3), batch, {"more": 28})
    ((job, test_set, cluster, *rest),) = calls["simulate_all"]
    assert (len(job.dataset), len(test_set), job.settings.lr, job.downpour) == (9, 4, 0.03, Downpour(fetch=3))
    assert (cluster, rest) == (Cluster(hosts=2, compute=0.5), [[2, 7, 3], "there", [0.5], {}])
    assert capsys.readouterr().out == f"rows\n{Path('there') / 'simulate.png'}\n"
    assert not (calls["measured"] or calls["compare"] or calls["prices"])


@pytest.mark.parametrize("given, hosts, cores", [("", 0, 0), ("--hosts 3 --cores 2", 3, 2)])
def test_a_cluster_that_is_measured(calls, capsys, given, hosts, cores):
    """What has an option that cannot be measured is handed on; what was found is told, three digits of each."""
    words = f"--measure --latency 0.1 --bandwidth 1e6 --grow 2 --mtbf 9 --cluster-seed 4 {given}"
    assert main(["simulate", "f.npz", *NET.split(), *words.split()]) == 0
    ((_, how),) = calls["measured"]
    assert how == dict(latency=0.1, bandwidth=1e6, grow=2, mtbf=9, cluster_seed=4, hosts=hosts, cores=cores)
    assert calls["simulate_all"][0][2] == Cluster(compute=0.25, latency=0.5)
    out = capsys.readouterr().out
    assert out.startswith("compute 0.25, std ") and ", latency 0.5, " in out and "\nrows\n" in out


def test_prices_need_no_simulation(calls, monkeypatch, capsys):
    """Nothing is decoded for them but what they measure."""
    opened = recorder(monkeypatch, open_data=scale.open_data)["open_data"]
    for command in ("--price", "--measure"):
        assert main(["simulate", "f.npz", *NET.split(), command]) == 0
    assert [how["build"] for *_, how in opened] == [False, True]
    ((args, spec, model, job, test_set, _),) = calls["prices"]
    assert (args.data, spec.path, model.net, model.checkpoint) == ("f.npz", "f.npz", job.net, None)
    assert (model.config.head, model.data, len(test_set)) == ("average", spec.settings, 4)
    assert capsys.readouterr().out.startswith("table\n") and len(calls["simulate_all"]) == 1


@pytest.mark.parametrize("hosts", [0, 4])
def test_what_is_measured_for_prices(monkeypatch, tmp_path, hosts):
    """Decoding, features and flow of all videos from the files, training on a few of them out of a cache that goes."""
    work = SimpleNamespace(on=lambda n, cores, bandwidth: (n, cores, bandwidth))
    spec = DataSpec(tmp_path, 28, DataSettings(), cache=tmp_path / "cache")
    calls = recorder(
        monkeypatch, measure_videos=work, some_videos=["few"], sets_of=[["clips"] * 4, None], price_table="table",
        with_features=lambda spec, model: SimpleNamespace(source=lambda: ("features", spec.cache, model)),
        training_prices={"training": "x"}, usable_cores=8, Job=job_of,
    )  # fmt: skip
    monkeypatch.setattr(DataSpec, "source", lambda self: self)
    train_set = Videos(["a", "b", "b"])
    settings, model = Settings(epochs=3, batch=2), SimpleNamespace(net=[1])
    job = job_of("net", train_set, settings, Downpour(5))
    args = SimpleNamespace(
        data=str(tmp_path), hosts=hosts, latency=0.5, bandwidth=7.0, grow=2, counts=[1, 2], frames=6, head="conv"
    )
    assert scale.prices(args, spec, model, job, Videos(["c"])) == "table"
    n, limit = max(hosts, 1), scale.LIMIT
    kinds = {}
    for (source, of, seconds, _), name in zip(calls["measure_videos"], ("decoding", "features", "flow"), strict=True):
        kinds[name] = source
        assert (of, seconds) == (["a", "b", "b", "c"], limit)
    assert (kinds["decoding"].cache, kinds["decoding"].settings.stream) == (None, "rgb")
    assert (kinds["flow"].cache, kinds["flow"].settings.stream) == (None, "flow")
    name, cache, of = kinds["features"]
    assert (name, cache, of.net) == ("features", None, [1]) and of is not model and of.net is not model.net
    ((store, some, count, seconds, _),) = calls["some_videos"]
    assert (some, count, seconds) == (["a", "b", "b"], 2, limit) and store.settings == spec.settings
    assert store.cache not in (None, spec.cache) and not Path(store.cache).exists()
    ((of, split, source, frames, _),) = calls["sets_of"]
    assert (of, split, source, frames) == (spec, Split(["k"], ["few"], ["few"]), store, 6)
    ((few, total, counts, cluster, seconds, _),) = calls["training_prices"]
    assert (few.net, few.dataset, few.settings, few.downpour) == ("net", ["clips"] * 4, settings, Downpour(5))
    assert (total, counts, seconds) == (3 * 2, [1, 2], limit)
    assert cluster == Cluster(hosts=n, latency=0.5, bandwidth=7.0, grow=2)
    ((found, told, _),) = calls["price_table"]
    each = [(1, 8, 7.0), (n, 8, 7.0)]
    assert (found, told) == ({**dict.fromkeys(("decoding", "features", "flow"), each), "training": "x"}, n)
