"""`snippets train --heads`: several heads on features, by cross-validation; the best one learns from all videos.

What it leaves in --out:

    heads.md, heads.json    the table
    HEAD/draw1/fold1.npz    predictions, from which an interrupted run goes on
    model.npz               the best head behind its tower: a network for `predict`, as any other
    tower.npz               imported weights (--weights)
"""

import json
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from snippets.data.features import FeatureSet, StoredFeatures
from snippets.data.files import read_json, write, write_json
from snippets.data.layouts.splits import ALL
from snippets.data.layouts.table import layout_of
from snippets.data.listing import shown
from snippets.data.loader import Subset
from snippets.data.open import DataSettings, DataSpec, is_features, open_data
from snippets.data.options import chosen, plain
from snippets.data.store.processes import in_processes
from snippets.layers.device.xp import usable_cores
from snippets.nets.inspect.fake import output_shape
from snippets.nets.zoo import NetConfig, build, check_read
from snippets.training.checkpoint import Checkpoint, check_unseen_videos, checkpoint_of, load_into, save, videos_of
from snippets.training.distributed.ray_tasks import RayTasks
from snippets.training.loop import train
from snippets.training.model import features_of
from snippets.training.settings import Conduct, Settings
from snippets.training.small.crossval import Plan, Trial, chosen_settings, new_net, run_job
from snippets.training.small.folds import folds_in
from snippets.training.small.table import records_of, table_of
from snippets.training.small.tune import Candidates


def check_small(args, team):
    """ValueError for options of this package that do not go with the others; team: the ranks."""
    if (args.heads or args.tune_lr or args.tune_weight_decay) and team.size > 1:
        raise ValueError("--heads and --tune-lr run on one rank: leave out mpiexec")
    if args.weights and not args.heads:
        raise ValueError("--weights goes with --heads; for one network, snippets import them and start with --init")


def train_heads(args, out):
    """Compare the heads of --heads, print and write the table, and train the best one on all videos.

    ValueError for options that do not go with it.
    """
    tries = Plan(**chosen(args, Plan))
    check_read(args, tries.heads, "features")
    if args.fold is not None or args.downpour or args.init or args.whole or args.device != "cpu":
        out_of_place = "--fold, --downpour, --init, --whole and --device"
        raise ValueError(f"--heads makes and tests its own folds, on CPUs: leave out {out_of_place}")
    if not (is_features(args.data) or args.features_of or args.weights):
        raise ValueError(
            f"--heads needs features: --weights FILE (trained weights, docs/weights.md) or --features-of CHECKPOINT, "
            f"or a file of features instead of {args.data}"
        )
    if (out / "heads.json").exists() and not args.resume:
        raise FileExistsError(f"{out} holds a run: go on with it by --resume, or choose another --out")
    spec = features_spec(args, out)
    trial = open_trial(args, spec, tries, out)
    content = videos_of(trial.data)  # checksums of the files
    trial = trial._replace(data=in_memory(trial.data))
    plan = plan_of(trial, spec, content)
    keep_plan(plan, out)
    if tries.regressions and not trial.baselines:
        print('no regression beside the heads: it needs scikit-learn (pip install -e ".[svm]", then --resume adds it)')
    found = {}
    jobs = in_processes(run_job, trial, trial.jobs(), usable_cores())
    for (name, draw, _), result in tqdm(jobs, desc="heads", unit="fold", total=len(trial.jobs()), disable=None):
        found.setdefault(name, {}).setdefault(draw, []).append(result)
    names = (*trial.configs, *trial.baselines)
    by_name = {name: [found[name][d] for d in sorted(found[name])] for name in names}
    records = records_of(by_name, trial.baselines, bool(trial.given))
    page = report(args, trial, records)
    print(page)
    write(out / "heads.md", page)
    write_json(out / "heads.json", plan | {"rows": records})
    best = max((r for r in records if r["head"] in trial.configs), key=lambda r: r["mean"])["head"]
    finish(trial, best, spec, content, out)


def plan_of(trial, spec, content):
    """All that the predictions of a run depend on, for JSON; content: lists of the videos."""
    about = {"heads": {head: asdict(config) for head, config in trial.configs.items()}, "data": asdict(spec.settings)}
    about |= {"settings": asdict(trial.settings), "candidates": asdict(trial.candidates), "plan": asdict(trial.plan)}
    about |= {"views": trial.views, "videos": content, "folds": zlib.crc32(repr(trial.given).encode())}
    return json.loads(json.dumps(plain(about)))


def keep_plan(plan, out):
    """Write what the run depends on to heads.json; ValueError if the folder has another run's."""
    file = out / "heads.json"
    if file.exists():
        there = read_json(file)
        differ = [key for key in plan if plan[key] != there.get(key)]
        if differ:
            raise ValueError(f"{out} holds a run of other {', '.join(differ)}: choose another folder, or delete it")
    write_json(file, plan)


def features_spec(args, out):
    """The `DataSpec` of what heads read: a file of features, or those by a tower, which is imported if need be."""
    settings = DataSettings(**chosen(args, DataSettings))
    spec = DataSpec(args.data, args.size, settings, None, args.cache, args.skip, args.available)
    if is_features(args.data):
        return spec
    tower = args.features_of
    if args.weights:
        tower = str(out / "tower.npz")
        if not Path(tower).exists():
            flow = ("stream", "flow_fps", "bound", "tvl1") if settings.stream == "flow" else ()
            pixels = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in flow]
            args.execute(["import", args.weights, "--keep-classifier", "--quiet", "--out", tower, *pixels])
    spec = features_of(replace(spec, settings=replace(settings, stored_tap=args.tap), fold=ALL), tower)
    return replace(spec, executor=RayTasks(args.ray)) if args.ray else spec


def open_trial(args, spec, tries, out):
    """The `Trial` of all videos, checked before anything is computed of them."""
    frames = args.frames or args.count or (None if is_features(args.data) else 30)
    settings, candidates = Settings(**chosen(args, Settings)), Candidates(**chosen(args, Candidates))
    tower = spec.features.model.checkpoint if spec.features else None

    def trial_of(learn, test):
        data, given, fold = joined(learn, test), (), None
        if tries.split_by == "video":
            data.groups = list(data.names)
        if tower:
            fold, given = folds_in(args.data, data, tower.fold)
            for _, rows in given or [((), range(len(data)))]:
                check_unseen_videos(tower.content, Subset(data, rows), args.features_of)
        configs = {head: config_of(args, head, data) for head in tries.heads}
        trial = Trial(data, configs, settings, candidates, tries, out, args.views, given, fold)
        trial.check()
        return trial

    trial = trial_of(*open_data(spec, frames, check=trial_of))
    if trial.given:
        which = f"the data's own {len(trial.given)} folds" if len(trial.given) > 1 else "the data's own test videos"
        print(f"{layout_of(args.data).name}: tested on {which}, not on folds made by group")
        if lost := trial.hopeless():
            print(f"note: {lost} of the test videos are of classes without a training video: they cannot be right")
    return trial


def joined(learn, test):
    """Two data sets of one file of features as one; of a folder all videos are in `test` already."""
    if not len(learn):
        return test
    rows, labels = np.concatenate([learn.rows, test.rows]), np.concatenate([learn.labels, test.labels])
    names, groups = learn.names + test.names, list(learn.groups) + list(test.groups)
    return FeatureSet(learn.stored, rows, labels, learn.classes, names, learn.frames, groups)


LARGEST = 2**28  # bytes of features that every process may have in memory


def in_memory(data):
    """The data set with its features in memory, if all videos have as many frames: they are read hundreds of times.

    Not if that were more than LARGEST.
    """
    if data.stored.spread is None or 4 * len(data) * data.stored.spread * data.dim > LARGEST:
        return data
    feat = np.stack([data.whole_video(i) for i in range(len(data))])
    stored = StoredFeatures(feat, np.ones(1, np.float32))
    return FeatureSet(stored, range(len(data)), data.labels, data.classes, data.names, data.frames, data.groups)


UNKNOWN = (
    "**No groups are known**, so every video counts as a film of its own. If several clips are of one film, some of "
    "them trained and others tested: then these numbers are too high for videos of new films, and the intervals are "
    "too narrow. A column `group` in `videos.csv` says which clips belong together.\n\n"
)


def config_of(args, head, data):
    """The NetConfig of a head on these features."""
    own = {"head": head, "tower": "features", "tap": "auto", "variant": "paper", "features": data.dim}
    own |= {"frames": data.frames, "classes": len(data.classes)}
    if head == "single":
        own |= {"frames": 1, "differences": False}
    return NetConfig(**chosen(args, NetConfig) | own)


def report(args, trial, records):
    """The page: the table, and what it is of."""
    plan, r, also = trial.plan, records[0], ", and the regressions' C," if trial.baselines else ""
    how = f"{plan.draws} draw{'s' * (plan.draws > 1)} of {plan.folds} folds by {plan.split_by}"
    if trial.given:
        how = f"the data set's own {len(trial.given)} folds" if len(trial.given) > 1 else "the data set's own split"
    networks = f"the mean of {plan.seeds} networks" if plan.seeds > 1 else "one network"
    known = r["groups"] < r["videos"] or (not is_features(args.data) and layout_of(args.data).official)
    return (
        f"# Heads on {shown(Path(args.data).name)}\n\n{r['videos']} test videos of {r['groups']} groups, {how}. Each "
        f"head is {networks}; its settings{also} were chosen on held-out {plan.split_by}s of the training videos. All "
        f"in %.\n\n{'' if known else UNKNOWN}{table_of(records)}\n"
    )


def finish(trial, head, spec, content, out):
    """Train a head on all videos and keep it, behind its tower where it has one; prints what can be done with it."""
    data, rows = trial.data.in_clips(trial.configs[head].frames), range(len(content))
    if trial.given:
        data, rows = trial.split(head, 1, 1)[0], trial.given[0][0]
    settings, about = chosen_settings(trial, trial.configs[head], data)
    net, config = new_net(trial.configs[head], settings.seed, data), trial.configs[head]
    train(net, data, settings, progress=False)
    which = f"the {len(data)} training" if trial.given else f"all {len(data)}"
    print(f"the best head, {head}, trained on {which} videos{' of the first fold' * (len(trial.given) > 1)}; {about}")
    state = checkpoint_of(net.params, {}, data, settings, Conduct(config=asdict(config), data=asdict(spec.settings)))
    state.content, state.fold = [content[row] for row in rows], trial.fold
    path, whole = shown(out / "model.npz"), spec.features is not None and joins(spec.features.tower, config)
    save(out / "model.npz", behind_tower(state, config, spec) if whole else state)
    print(f"{path}; next: snippets predict {path} CLIP.mp4" if whole else f"{path}: reads features, not videos")


def joins(tower, config):
    """Whether a head on features is the same behind the tower: not if the tower ends in maps whose layout it reads."""
    maps = len(output_shape(tower.layer, (1, *[224] * 2, 3))) > 2
    return config.reads == "any" and not config.differences if maps else config.reads != "maps"


def behind_tower(state, config, spec):
    """The `Checkpoint` of a head on features as one of the whole network, from pixels on."""
    model, tower = spec.features.model, spec.features.tower
    whole = replace(
        model.config, **{name: getattr(config, name) for name in ("head", "frames", "classes", "fc", "dropout", "units",
        "depth", "activation", "dropout_mask", "differences", "standardise")}, auxiliary=0.0,
        tap=spec.features.about["tap"] if model.config.tower == "googlenet" else "auto",
    )  # fmt: skip
    params = {f"tower/{key}": a for key, a in tower.params.items()} | state.params
    net = build(whole)
    load_into(net.params, params, "head on features")
    pixels = replace(model.data, **{name: getattr(spec.settings, name) for name in ("fps", "seconds", "count")})
    return Checkpoint(**{**vars(state), "params": net.params, "config": asdict(whole), "data": asdict(pixels)})
