"""From a checkpoint to a network that can be used, and from a network to its predictions for a video."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from snippets.data.layouts.splits import ALL, Video
from snippets.data.listing import shown
from snippets.data.loader import ClipSet, Preprocessing
from snippets.data.open import DataSettings, DataSpec, is_features, settings_for
from snippets.data.store.processes import Processes
from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import usable_cores
from snippets.nets.auxiliary import PLACES
from snippets.nets.expand import warm_start
from snippets.nets.frame_features import FeatureSettings, FrameFeatures
from snippets.nets.frame_predictions import clip_probabilities
from snippets.nets.frames import OverFrames, one_blas_thread
from snippets.nets.googlenet import TAPS
from snippets.nets.zoo import HEADS, TOWER_OPTIONS, NetConfig, build, options_read
from snippets.training.checkpoint import Checkpoint, CheckpointError, check_fits, check_unseen_videos, load, load_into
from snippets.training.objective import on_device
from snippets.training.parameters import move_to_device
from snippets.training.settings import Settings


@dataclass
class Model:
    """A trained network and what belongs to it."""

    net: object
    config: NetConfig
    data: DataSettings
    checkpoint: Checkpoint

    @property
    def classes(self):
        return self.checkpoint.classes

    @property
    def mode(self):
        """How its per-frame predictions become one."""
        return self.checkpoint.settings.get("inference", "weighted")


def load_model(path, threads=None, device="cpu"):
    """Rebuild the network that a checkpoint holds, on a device (`training.parameters`).

    FileNotFoundError, or CheckpointError for a file that is none.
    """
    checkpoint = load(path)
    try:
        config, data = NetConfig(**checkpoint.config), DataSettings(**checkpoint.data)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} describes a network that this version cannot build: {error}") from error
    net = build(config, threads=threads)
    load_into(net.params, checkpoint.params, str(path))
    return Model(move_to_device(net, device), config, data, checkpoint)


def check_kind(model, path, data, features_of=None):
    """Refuses videos for the model at `path` if it reads features, and features if it reads videos.

    features_of: path of the model whose tower makes features of the videos.
    """
    found = "a file of features" if is_features(data) else "a folder of videos"
    if features_of:
        found += f", with --features-of {features_of}"
    if model.config.tower != "features" and (features_of or is_features(data)):
        raise ValueError(f"{path} reads videos, but {data} is {found}")
    if model.config.tower == "features" and not (features_of or is_features(data)):
        advice = "--features-of CHECKPOINT names the network whose tower makes them"
        raise ValueError(f"{path} reads precomputed features, but {data} is {found}; {advice}")


def check_start(source, path, config, data, fold):
    """Refuses the checkpoint `source` at `path` as the start of a net in which its weights would mean another thing."""
    if None not in (source.fold, fold):  # None: trained elsewhere, or on data without folds
        check_fits(source, path, fold=fold)  # its training videos must not be this run's test videos
    if "features" in (config.tower, source.config.get("tower")):
        return
    ours, theirs = asdict(config) | asdict(data), asdict(NetConfig(1)) | source.config | source.data
    names = [n for n in ("variant", "norm", "mean", "scale") if theirs.get(n, ours[n]) != ours[n]]
    if ours["stream"] != theirs.get("stream", "rgb"):  # a flow network from a raw-frame one: its pixels are not colours
        names = [n for n in names if n not in ("mean", "scale")]  # `of_start` takes over the scale that nobody types
    if names:
        flags = " ".join(f"--{n} {' '.join(map(str, np.ravel(theirs[n])))}" for n in names)
        raise ValueError(f"{path}: its weights were trained for a network with {flags}; add that to the command")


def start_from(path, net, config, data, fold, train_set, test_set):
    """Copies into `net` what fits of the checkpoint at `path`, and says what that is; classes go by their names.

    Errors: those of `check_start`, `check_unseen_videos` and `warm_start`.
    """
    source, classes = load(path), list(train_set.classes)
    check_start(source, path, config, data, fold)
    check_unseen_videos(source.content, test_set, path)
    last = {key: a for key, a in source.params.items() if "/scores/" in f"/{key}"}
    if sorted(source.classes) == sorted(classes):
        last = {key: a[..., [source.classes.index(name) for name in classes]] for key, a in last.items()}
    else:  # as many classes, perhaps, but not these
        last = dict.fromkeys(last, np.empty(0))
    copied, new = warm_start(net, source.params | last)
    return f"{len(copied)} arrays from {path}; new: {', '.join(new) or 'none'}"


def inherit(args, team):
    """Gives options that were not typed the values of the run that is resumed, or of the network to start from.

    --resume: all settings of the run in --out. --init: those of the network and of its pixels, see `of_start`.
    team: the ranks, of which the first reads the file. FileNotFoundError or CheckpointError as `load`.
    """
    found, path = [], None
    if getattr(args, "heads", ()):
        return  # each head has settings of its own, and the run keeps them in heads.json
    if team.rank == 0 and getattr(args, "resume", False):
        out = Path(args.out or f"runs/{args.head}")
        places = [out, *((out / f"fold{n}" for n in (1, 2, 3)) if args.fold == "all" else ())]
        path = next((place / "checkpoint.npz" for place in places if (place / "checkpoint.npz").exists()), None)
        found = of_run(args, load(path)) if path else []
    elif team.rank == 0 and args.init:
        path = args.init.replace("{fold}", str(args.fold if args.fold in (1, 2, 3) else 1))
        found = of_start(args, load(path))
    given = getattr(args, "given", ())
    found = [(name, value) for name, value in found if name not in given and value != getattr(args, name)]
    if found:
        words = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in found)
        print(f"as in {shown(path)}, unless given: {words}")
    for name, value in team.same(found):
        setattr(args, name, value)


def of_run(args, checkpoint):
    """(name, value) of the options of the run that left this checkpoint."""
    classes = {NetConfig: checkpoint.config, DataSettings: checkpoint.data, Settings: checkpoint.settings}
    found = [(f.name, values[f.name]) for cls, values in classes.items() for f in fields(cls)
             if "help" in f.metadata and f.name in values]  # fmt: skip
    if args.fold is None:
        found.append(("fold", checkpoint.fold))
    if not args.lr_group and not args.freeze:
        found.append(("lr_group", [f"{key}={factor}" for key, factor in checkpoint.settings.get("groups", {}).items()]))
    if is_features(args.data) or args.features_of:
        found = [(name, value) for name, value in found if name not in ("tower", "tap")]
    if args.features_of:
        found.append(("tap", checkpoint.data.get("stored_tap", "auto")))
    return found


def of_start(args, checkpoint):
    """(name, value) of the options that a network takes over from the one that it starts from.

    What describes the pixels and the tower; the head, unless the old one was a single frame's, and what both heads
    read. Nothing of its training, no auxiliary heads, and nothing where one of the two reads features.
    """
    given, old, data = getattr(args, "given", ()), checkpoint.config, checkpoint.data
    on_features = is_features(args.data) or args.features_of is not None
    if on_features != (old["tower"] == "features"):
        return []
    head = args.head if "head" in given or old["head"] == "single" else old["head"]
    tower = args.tower if "tower" in given else old["tower"]
    names = {"head"} if head == old["head"] else set()
    both = "width", "standardise", "differences"
    names |= {*both, *options_read(head, tower)} & {*both, *options_read(old["head"], old["tower"])}
    if "single" not in (head, old["head"]):
        names.add("frames")
    if on_features:
        return sorted((name, old[name]) for name in names)
    names |= {"tower", "size"} | ({"vector"} if tower == old["tower"] else set())
    names |= {name for name, of in TOWER_OPTIONS.items() if of == tower == old["tower"]} - {"auxiliary"}
    if HEADS[head].reads != HEADS[old["head"]].reads:
        names.discard("tap")
    pixels = {field.name for field in fields(DataSettings) if "help" in field.metadata}
    if "stream" in given and args.stream != data.get("stream", "rgb"):
        pixels -= {"mean", "tvl1"}  # no motion is 127.5, whatever the mean of colours; one step of a byte is one step
    found = {name: old[name] for name in names if name in old} | {name: data[name] for name in pixels if name in data}
    return sorted(found.items())


def video_set(paths, frames, size, data):
    """Loose video files as a data set, decoded when asked for; its labels mean nothing."""
    videos = [Video(Path(path), 0, Path(path).stem, Path(path).stem) for path in paths]
    source = DataSpec(".", size, data, cache=None).source()
    return ClipSet(["unknown"], videos, source, frames, Preprocessing(size, data.mean, data.scale), data.length)


@one_blas_thread
def predict_clips(model, clips):
    """Mean class probabilities (K,) over clips x (T, ...)."""
    clips = (on_device(model.net, x[None]) for x in clips)
    return np.mean([clip_probabilities(model.net.predict(x), model.mode)[0] for x in clips], axis=0)


# Fields of DataSettings that are no affair of the tower's
OWN = ("fps", "seconds", "picture_fps", "features", "count", "dtype", "stored_tap", "stored_as")


@dataclass(frozen=True)
class TowerFeatures:
    """Makes a source of features of a source of frames: the tower of a `Model`, and see `FrameFeatures`."""

    tower: OverFrames
    about: dict
    settings: FeatureSettings
    model: Model

    def __call__(self, frames):
        return FrameFeatures(frames, self.tower, self.about, self.settings)


def with_features(spec, model):
    """The `DataSpec` of features of its videos by the tower of a `Model`; `open_data` then gives `FeatureSet`s.

    The settings named in OWN are those of spec.settings (None: the model's); all else that the tower sees is as the
    model was trained. ValueError where spec asks for something else, or for a model without a tower that sees single
    frames.
    """
    if not isinstance(model.net.layers.get("tower"), OverFrames):
        raise ValueError("the model has no tower that sees single frames: it reads features itself, or clips")
    given, own = asdict(spec.settings) | {"size": spec.size}, asdict(model.data) | {"size": model.config.size}
    for name, default in {**asdict(DataSettings()), "size": DataSpec.size}.items():
        if name not in OWN and given[name] not in (default, own[name]):
            raise ValueError(
                f"--{name.replace('_', '-')} is {given[name]}, but the tower has {own[name]}: leave it out"
            )
    settings = replace(model.data, **{name: given[name] for name in OWN if given[name] is not None})
    settings = settings_for(spec.path, settings)
    config, seen = model.config, Preprocessing(model.config.size, settings.mean, settings.scale)
    tapped = config.tapped if settings.stored_tap == "auto" else settings.stored_tap
    about = {name: getattr(config, name) for name in ("tower", "width", "norm", "vector", "variant")} | {"tap": tapped}
    how = FeatureSettings(seen, settings.dtype, settings.count)
    tower = tapped_tower(model.net.layers["tower"], config, tapped)
    spec = replace(spec, size=config.size, settings=settings, features=TowerFeatures(tower, about, how, model))
    name = replace(spec, cache=None).source().name
    if settings.stored_as not in ("", name):
        raise ValueError(f"trained on features {settings.stored_as}, but these are {name}: another tower or rate")
    return replace(spec, settings=replace(settings, stored_as=name))


def features_of(spec, path, device="cpu"):
    """`with_features` by the model at `path` ("{fold}" in it: the number of the fold), kept in the spec's cache.

    They are computed by processes on all cores, or on the `device`. ValueError where none can be kept, and
    CheckpointError for a model of another fold, besides what `with_features` and `load_model` raise.
    """
    if is_features(spec.path):
        raise ValueError(f"{spec.path} is a file of features: leave out --features-of, or name the videos")
    if spec.cache is None:
        raise ValueError("--cache none: features of videos are kept in the cache; leave it out, or name a folder")
    path = path.replace("{fold}", str(spec.fold))
    model = load_model(path, device=device)
    if model.checkpoint.fold is not None and spec.fold != ALL:
        check_fits(model.checkpoint, path, fold=spec.fold)  # its training videos must not be this run's test videos
    return replace(with_features(spec, model), executor=Processes(usable_cores() if device == "cpu" else 1))


def tapped_tower(tower, config, tap):
    """A tower that ends at `tap`, one of TAPS, with the weights of this one, which may end behind it.

    ValueError for a tower that ends before it, or is no GoogLeNet.
    """
    if tap == config.tapped:
        return tower
    if config.tower != "googlenet" or TAPS.index(tap) > TAPS.index(config.tapped):
        raise ValueError(f"tap is {tap}, but the model's tower, {config.tower}, ends at {config.tapped}")
    layers = dict(tower.layer.layers)
    names = list(layers)
    end = names.index("average") + (tap == "average")
    return OverFrames(Sequential(**{name: layers[name] for name in names[:end] if name not in PLACES}), tower.chunk)
