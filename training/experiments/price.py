"""`snippets tables --price`: hours, memory and disk of every row before anything runs, from a minute of measurement.

    features   a few videos are decoded and seen by the tower, on all cores                 seconds per frame
    frames     the same without a tower; optical flow: the first pairs of a few videos      seconds per frame
    trainings  steps of the network itself, in one process: a + b (frames of a batch)       seconds
    tests      the same without a backward pass

`training.bench.seconds` measures. Networks on features of videos are trained in processes, one per core. Not counted:
what a command needs to start, some seconds, and a disk that is slower than the network.

On N hosts, each like this one: frames and features in 1/N of the time; the frames of a step in 1/N, and then gradients
go round, 2 (N - 1) / N of their bytes over every link (ring all-reduce).
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from snippets.data.layouts.table import VideoFolder
from snippets.data.markdown import markdown_table
from snippets.data.open import DataSettings, DataSpec, frames_per_video, is_features, settings_for
from snippets.data.options import chosen
from snippets.layers.device.xp import usable_cores
from snippets.nets.inspect.memory import GIB, bytes_of, plan_memory, prediction_memory
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.bench.seconds import frame_seconds, reading_seconds, short, step_seconds
from snippets.training.experiments.runner import run
from snippets.training.model import Model, load_model, with_features
from snippets.training.parameters import move_to_device
from snippets.training.settings import Settings
from snippets.training.sgd import multiplier

SAMPLE = 200  # videos whose headers say how long videos are
PROCESS = 0.2 * GIB  # of the interpreter and its libraries


class Price(NamedTuple):
    """Seconds of frames and features, seconds of trainings and tests, bytes of memory and of disk."""

    frames: float = 0.0
    training: float = 0.0
    memory: float = 0.0
    disk: float = 0.0


class Hosts(NamedTuple):
    """How many hosts share the work, and bytes per second of a link between them."""

    count: int = 1
    bandwidth: float = 1.25e8

    def reduce(self, size):
        """Seconds until gradients of `size` bytes have gone round."""
        return 2 * (self.count - 1) / self.count * size / self.bandwidth


@dataclass
class Prices:
    """Prices of the commands of a `Trial`; what has been measured is kept.

    parse: words of the command line -> parsed arguments. commands: all that are to be priced, by what they make.
    """

    trial: object
    parse: object
    commands: list
    hosts: Hosts = Hosts()
    known: dict = field(default_factory=dict)

    def __post_init__(self):
        folder = VideoFolder(self.trial.data)
        self.folds = {fold: folder.load(fold, (), self.trial.available) for fold in folder.layout.folds}
        self.videos = list({v.name: v for s in self.folds.values() for v in (*s.train, *s.test)}.values())
        self.classes = len(next(iter(self.folds.values())).classes)
        self.makers = {}
        for c in self.commands:
            self.makers |= {str(c.folder / "checkpoint.npz"): c} if c.folder else {str(c.product): c}

    def of(self, command):
        """{what: Price} of a command: frames or features that others may need, too, and its own work."""
        args = self.parse(list(command.arguments))
        if args.command == "features":
            return self.frames(self.features(args, args.model))
        if args.command != "train":  # an import takes a second; the SVM's `evaluate` as long as an epoch's forward pass
            return {}
        if is_features(args.data):
            made = self.parse(list(self.makers[args.data].arguments))
            source, found = self.features(made, made.model), {}
        else:
            source = self.features(args, args.features_of) if args.features_of else self.spec(args).source()
            found = self.frames(source)
        return found | {str(command): self.training(args, source)}

    def spec(self, args):
        """The `DataSpec` of the pixels that a command reads, kept nowhere."""
        return DataSpec(self.trial.data, args.size, settings_for(self.trial.data, pixels(args)), cache=None)

    def features(self, args, tower):
        """The source of the features that a command reads or makes; a tower that is not there yet is untrained."""
        if tower not in self.known:
            maker, device = self.makers[tower], self.trial.device
            self.known[tower] = load_model(tower, device=device) if maker.done else self.untrained(maker)
        spec = DataSpec(self.trial.data, args.size, replace(pixels(args), features="raw"), cache=None)
        return with_features(spec, self.known[tower]).source()

    def untrained(self, command):
        """The `Model` that a command will train, as it begins."""
        args = self.parse(list(command.arguments))
        config = NetConfig(**chosen(args, NetConfig) | {"classes": self.classes})
        return Model(move_to_device(build(config), self.trial.device), config, pixels(args), None)

    def frames(self, source):
        """{name: Price} of what a source gives of all videos."""
        if source.name not in self.known:
            self.known[source.name] = frame_seconds(source, self.videos)
        count = len(self.videos) * frames_per_video(self.videos, source, SAMPLE)
        size = int(np.prod(source.shape)) * source.dtype.itemsize
        memory = PROCESS + 64 * size
        if tower := getattr(source, "tower", None):
            side = source.settings.seen.size
            memory += prediction_memory(tower, (1, 32, side, side, 3))
        return {source.name: Price(self.known[source.name] * count / self.hosts.count, 0.0, memory, count * size)}

    def training(self, args, source):
        """The Price of the networks of a `train` command, one for each of its folds, with their tests."""
        vectors, settings = len(source.shape) == 1, Settings(**chosen(args, Settings))
        own = {"frames": args.frames, "classes": self.classes}
        own |= {"tower": "features", "features": source.shape[0], "tap": "auto"} if vectors else {}
        config = NetConfig(**chosen(args, NetConfig) | own)
        settings = replace(settings, groups=dict.fromkeys(args.freeze, 0.0))
        key = config, settings.batch, settings.loss, tuple(settings.groups)
        if key not in self.known:
            net = move_to_device(build(config if vectors else replace(config, frames=short(config))), args.device)
            read = reading_seconds(self.videos, config) if vectors else 0.0
            self.known[key] = step_seconds(net, config, settings), read
        (fixed, per_frame, forward, saving), read = self.known[key]
        net, seconds, per_frame = build(config, seed=None), 0.0, per_frame + read / config.frames
        trained = bytes_of(a for name, a in net.params.items() if multiplier(name, settings.groups) > 0)
        length = frames_per_video(self.videos, source, SAMPLE) if args.whole else 0
        folds = list(self.folds) if args.fold == "all" else [None if None in self.folds else int(args.fold or 1)]
        for split in map(self.folds.get, folds):
            steps = settings.epochs * settings.steps_per_epoch(len(split.train))
            seen = settings.epochs * len(split.train) * config.frames
            last = length if args.whole else args.views * config.frames
            tested = len(split.test) * (config.frames + last)
            seconds += steps * (fixed + self.hosts.reduce(trained)) + settings.epochs * saving
            seconds += (seen * per_frame + tested * (forward + read / config.frames)) / self.hosts.count
        at_once = usable_cores() if self.trial.scale.all_imported else 1
        memory = PROCESS + plan_memory(net, input_shape(config, settings.batch), ahead=settings.batch).total
        kept = 2 if args.evaluate_every < settings.epochs else 1  # the best network, too, where there are several tests
        disk = len(folds) * (kept * bytes_of(net.params.values()) + trained)  # and momenta
        return Price(0.0, seconds / at_once, at_once * memory, disk)


def price_rows(rows, trials, parse, hosts, execute):
    """A line of text for each row of the tables, and one for all: what is shared counts at the first row that needs it.

    execute: imports the towers, which takes a second; nothing else is run.
    """
    commands = [c for trial in trials for row in rows for c in trial.row_commands(row)]
    run([c for c in commands if c.arguments[0] == "import"], execute, trials[0].out / "output.txt")
    prices, paid, lines, total = Prices(trials[0], parse, commands, hosts), set(), [], Price()
    for row in rows:
        why = trials[0].missing(row)
        found = {}
        for c in dict.fromkeys(c for trial in trials for c in trial.row_commands(row)):
            found |= {what: price for what, price in prices.of(c).items() if what not in paid}
        paid |= found.keys()
        own = summed(found.values())
        total = summed([total, own])
        lines.append([row.table, row.title, *([why, "", "", ""] if why else cells(own))])
    lines.append(["", "all", *cells(total)])
    return markdown_table(("table", "row", "frames, features", "trainings, tests", "memory", "disk"), lines)


def summed(prices):
    """Of several, one after the other."""
    columns = list(zip(*prices, strict=True)) or [(0.0,)] * 4
    return Price(sum(columns[0]), sum(columns[1]), max(columns[2]), sum(columns[3]))


def cells(price):
    """A Price in words."""
    return [
        duration(price.frames),
        duration(price.training),
        f"{price.memory / GIB:.1f} GiB",
        f"{price.disk / 1e9:.2f} GB",
    ]


def duration(seconds):
    """Hours, or minutes where it is less than two hours."""
    return f"{seconds / 3600:.1f} h" if seconds >= 7200 else f"{seconds / 60:.1f} min"


def pixels(args):
    """The DataSettings of a command."""
    return DataSettings(**chosen(args, DataSettings))
