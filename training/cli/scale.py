"""The commands about many replicas: `snippets scaling` and `snippets simulate`."""

import tempfile
from copy import deepcopy
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np

from snippets.data.layouts.splits import Split
from snippets.data.markdown import markdown_table
from snippets.data.open import DataSettings, is_features, open_data, sets_of
from snippets.data.options import add_options, chosen
from snippets.layers.device.xp import usable_cores
from snippets.nets.zoo import NetConfig, build, input_shape, network_config
from snippets.training.alone import ALONE
from snippets.training.cli.errors import report
from snippets.training.cli.files import Folder, Input
from snippets.training.cli.options import BATCH, COUNT, SEED, add_command, add_data, add_features_of, number
from snippets.training.cli.train import clip_frames, config_for, fit_memory, new_net, spec_for
from snippets.training.distributed.costs import measured, scaling
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.price import measure_videos, price_table, some_videos, training_prices
from snippets.training.distributed.ranks import ranks
from snippets.training.distributed.simulation_report import compare, simulate_all
from snippets.training.model import Model, inherit, with_features
from snippets.training.settings import Settings

LIMIT = 5  # seconds for each measurement of a price


def add_parsers(subparsers):
    """Adds the parsers of these commands."""
    p = add_command(subparsers, "scaling", run_scaling)
    p.add_argument("--batch", **BATCH, default=16, help="clips per step, of all ranks together")
    p.add_argument("--classes", **COUNT, default=101, help="K")
    p.add_argument("--seed", **SEED, help="of weights and clips")
    p.add_argument("--repeat", **COUNT, default=9, help="repetitions, whose median is reported")
    add_options(p, NetConfig, "network", frames=1)

    p = add_command(subparsers, "simulate", run_simulate)
    p.add_argument("data", type=Input, help="folder of videos, or features.npz")
    p.add_argument("--out", type=Folder, default="runs/simulate", help="folder for simulate.json and simulate.png")
    p.add_argument("--counts", **COUNT, nargs="+", default=[1, 10, 50], help="numbers of replicas, one run each")
    p.add_argument("--momenta", **number(float, least=0, below=1), nargs="*", default=[], help="momenta to try")
    p.add_argument("--init", type=Input, metavar="CHECKPOINT", help="start from the parameters that fit")
    p.add_argument("--measure", action="store_true", help="measure the costs here, with Ray, instead of those below")
    p.add_argument("--real", action="store_true", help="also run it on Ray and compare; implies --measure")
    p.add_argument("--address", metavar="HEAD:PORT", help="--real: of a Ray cluster (default: this machine alone)")
    p.add_argument(
        "--price", action="store_true", help="how long decoding, features, flow and training take on --hosts"
    )
    p.set_defaults(device="cpu", ray=None)
    add_features_of(p)
    add_data(p)
    add_options(p, DataSettings, "pixels")
    add_options(p, Cluster, "cluster")
    others = [f.name for f in fields(Downpour) if f.name != "replicas"]  # of which --counts says how many
    add_options(p, Downpour, "Downpour SGD", only=others)
    add_options(p, NetConfig, "network", frames=None)
    add_options(p, Settings, "training", only=[f.name for f in fields(Settings) if f.name != "view_starts"])  # one view


def run_scaling(args):
    """Time a synchronous step; under mpiexec, of many ranks."""
    config = network_config(args, classes=args.classes)
    rng = np.random.default_rng(args.seed)
    with ranks(report) as team:
        shape = input_shape(config, args.batch)
        fit_memory(config, shape, Settings(), processes=team.host.size)
        x = rng.standard_normal(shape, dtype=np.float32)
        found = scaling(build(config, args.seed), x, rng.integers(0, args.classes, args.batch), team, args.repeat)
    head = ("ranks", "cores per rank", "step ms", "alone ms", "reduce ms", "MB", "memcpy ms", "clips/s")
    step, alone, reduce, memcpy = (f"{1e3 * found[name]:.1f}" for name in ("step", "alone", "reduce", "memcpy"))
    cells = [found["ranks"], found["cores"], step, alone, reduce, f"{found['bytes'] / 1e6:.1f}", memcpy]
    print(markdown_table(head, [[*cells, f"{args.batch / found['step']:.1f}"]]))


def run_simulate(args):
    """Run Downpour SGD on simulated time, beside synchronous training."""
    inherit(args, ALONE)
    settings, cluster = Settings(**chosen(args, Settings)), Cluster(**chosen(args, Cluster))
    d = Downpour(**chosen(args, Downpour))

    def check(train_set, _):
        config = config_for(args, train_set)
        shape = input_shape(config, min(settings.batch, len(train_set)))
        fit_memory(config, shape, settings, more=4 * max(args.counts))  # replicas: net, vector, gradients, pushes

    spec = spec_for(args, args.fold)
    if args.price and args.features_of:
        raise ValueError("--price prices features, too: leave out --features-of, or price a file of features")
    train_set, test_set = open_data(spec, clip_frames(args), build=not args.price, check=check)
    net, config = new_net(args, spec, train_set, test_set)
    job = Job(net, train_set, settings, d)
    given = {name: getattr(args, name) for name in ("latency", "bandwidth", "grow", "mtbf", "cluster_seed")}
    if args.price:
        print(prices(args, spec, Model(net, config, spec.settings, None), job, test_set))
        return
    if args.real:
        print(compare(job, args.counts, dict(given, hosts=args.hosts or 1), args.address))
        return
    if args.measure:
        cluster = measured(job, **given, hosts=args.hosts, cores=args.cores)
        print(", ".join(f"{key} {value:.3g}" for key, value in asdict(cluster).items()))
    print(simulate_all(job, test_set, cluster, args.counts, args.out, args.momenta))
    print(f"{Path(args.out) / 'simulate.png'}")


def prices(args, spec, model, job, test_set):
    """How long decoding, features, flow and the training of `job` take on --hosts machines like this one: a table."""
    hosts, train_set, found = args.hosts or 1, job.dataset, {}
    cluster = Cluster(hosts=hosts, **{name: getattr(args, name) for name in ("latency", "bandwidth", "grow")})
    with tempfile.TemporaryDirectory() as folder:
        if not is_features(args.data):
            videos, uncached = train_set.videos + test_set.videos, replace(spec, cache=None)
            flow = replace(uncached, settings=replace(spec.settings, stream="flow"))
            sources = {"decoding": uncached, "features": with_features(uncached, deepcopy(model)), "flow": flow}
            for name, of in sources.items():
                work = measure_videos(of.source(), videos, LIMIT)
                found[name] = [work.on(n, usable_cores(), args.bandwidth) for n in (1, hosts)]
            source = replace(spec, cache=folder).source()
            few = some_videos(source, train_set.videos, job.settings.batch, LIMIT)
            split = Split(train_set.classes, few, few)
            job = Job(job.net, sets_of(spec, split, source, clip_frames(args))[0], job.settings, job.downpour)
        total = job.settings.epochs * job.settings.steps_per_epoch(len(train_set))
        found |= training_prices(job, total, args.counts, cluster, LIMIT)
    return price_table(found, hosts)
