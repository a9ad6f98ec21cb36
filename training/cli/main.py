"""The command line: `snippets COMMAND --help` says what each command takes, and what it takes when you say nothing."""

import argparse
import signal
import sys
from dataclasses import fields

from snippets.data.files import sweep
from snippets.data.open import DataSettings
from snippets.data.options import add_options
from snippets.nets.googlenet import VARIANTS
from snippets.nets.zoo import HEADS, TOWERS, NetConfig
from snippets.training import device
from snippets.training.bench.peers import PEERS
from snippets.training.cli import (
    lab as lab_commands,
)
from snippets.training.cli import (
    scale as scale_commands,
)
from snippets.training.cli import (
    train as train_commands,
)
from snippets.training.cli import (
    use as commands,
)
from snippets.training.cli import (
    weights as importing,
)
from snippets.training.cli.option_checks import check_options
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.ranks import MENDABLE, in_words
from snippets.training.distributed.simulate import Cluster
from snippets.training.evaluate import MODES
from snippets.training.interrupts import stoppable
from snippets.training.loop import Settings
from snippets.training.predictions import SIDES


def add_data(parser, fold=int, about="official split, 1 to 3 (default: the model's, else 1)"):
    """Options that say how DATA is read."""
    group = parser.add_argument_group("data")
    group.add_argument("--fold", type=fold, help=about)
    group.add_argument("--cache", default="runs/cache", help="folder for decoded frames; 'none' decodes every time")
    group.add_argument("--skip", metavar="FILE", help="list of videos to leave out, one a line")
    group.add_argument("--available", action="store_true", help="do without listed videos that are missing")
    return group


def fold_or_all(text):
    """1, 2, 3, or "all" of them."""
    return text if text == "all" else int(text)


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows each option's default, where it has one."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False, [], "") else super()._get_help_string(action)


def parser():
    """The whole command line."""
    top = argparse.ArgumentParser(
        "snippets", description="Video classification from scratch: Beyond Short Snippets (2015)."
    )
    subparsers = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, run, about):
        sub = subparsers.add_parser(
            name, help=about, description=about[0].upper() + about[1:] + ".", formatter_class=Help
        )
        sub.set_defaults(run=run)
        return sub

    p = command(
        "demo", lab_commands.run_demo, "render the mini data set, train three networks, write a report with pictures"
    )
    p.add_argument("--out", help="folder for data, checkpoints and report.html (default: runs/demo or runs/demo-quick)")
    p.add_argument("--seed", type=int, default=0, help="of the data and the networks")
    p.add_argument("--quick", action="store_true", help="under a minute, at lower accuracy")

    p = command("make-data", lab_commands.run_make_data, "render the mini data set: a small UCF-101 look-alike")
    p.add_argument("root", help="a new or empty folder")
    p.add_argument("--seed", type=int, default=0, help="of everything drawn")
    p.add_argument("--groups", type=int, default=12, help="groups a class; a third of them are each fold's test set")
    p.add_argument("--clips", type=int, default=2, help="clips a group")
    p.add_argument("--frames", type=int, default=24, help="frames a clip, at 25 a second")
    p.add_argument("--side", type=int, default=64, help="pixels")

    p = command("train", train_commands.run_train, "train a network on a folder of videos or a file of features")
    p.add_argument("data", help="folder of videos (UCF-101, Sports-1M, or one folder per class), or features.npz")
    p.add_argument("--out", help="folder for checkpoint.npz, log.jsonl and predictions.npz (default: runs/HEAD)")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    p.add_argument(
        "--init",
        metavar="CHECKPOINT",
        help="start from the parameters that fit: expansion, fine-tuning; {fold} in it stands for the fold's number",
    )
    p.add_argument("--freeze", metavar="PREFIX", nargs="*", default=[], help="parameters to leave alone, e.g. tower/")
    p.add_argument(
        "--lr-group", metavar="PREFIX=FACTOR", nargs="*", default=[],
        help="factors on the learning rate of parameters, the longest prefix counts, e.g. tower/=0.1",
    )  # fmt: skip
    p.add_argument("--views", type=int, default=1, help="clips a test video in the final evaluation")
    p.add_argument("--evaluate-every", type=int, default=1, help="epochs between evaluations")
    p.add_argument(
        "--memory", type=float, metavar="GIB", help="that training may take (default: 80 %% of what is free)"
    )
    folds = "official split, 1 to 3, or 'all': one network for each, in folders of their own, and the mean (default: 1)"
    add_data(p, fold_or_all, folds).add_argument(
        "--workers", type=int, default=2, help="threads that prepare clips ahead"
    )
    add_options(p, DataSettings, "pixels")
    add_options(p, NetConfig, "network", frames=None)
    add_options(p, Settings, "training")
    group = add_options(p, Downpour, "Downpour SGD (needs Ray; for synchronous ranks start with mpiexec instead)")
    group.add_argument("--downpour", action="store_true", help="train with the replicas and shards below")
    group.add_argument("--address", metavar="HEAD:PORT", help="of a Ray cluster (default: this machine alone)")

    p = command("expand", train_commands.run_expand, "copy a trained network into one that joins more frames")
    p.add_argument("model", help="checkpoint.npz")
    p.add_argument("--head", choices=tuple(HEADS), default="conv", help="what joins the frames")
    p.add_argument("--frames", type=int, default=30, help="frames of a clip")
    p.add_argument("--out", required=True, metavar="CHECKPOINT", help="file to write, at epoch 0; train on with --init")

    p = command("evaluate", commands.run_evaluate, "test a trained network: Hit@1 and Hit@5 by clip and by video")
    p.add_argument("model", help="checkpoint.npz")
    p.add_argument("data", help="folder of videos, or features.npz")
    p.add_argument("--views", type=int, default=1, help="clips a video, averaged; 240 in the paper")
    p.add_argument("--whole", action="store_true", help="each video in one pass instead of views")
    p.add_argument(
        "--save", metavar="FILE", help="write every video's class probabilities there (.npz), for snippets fuse"
    )
    p.add_argument("--side", choices=SIDES, default="test", help="videos to run on; train: to train a fusion's SVM")
    p.add_argument("--batch", type=int, default=16, help="clips at a time")
    p.add_argument("--mode", choices=MODES, help="how frames' predictions become one (default: as trained)")
    add_data(p)

    p = command("fuse", commands.run_fuse, "join two or more networks' predictions on the same videos")
    p.add_argument("files", nargs="+", metavar="FILE", help="predictions, as evaluate --save and train write them")
    p.add_argument("--weights", type=float, nargs="+", metavar="W", help="of the mean, one a file (default: equal)")
    p.add_argument(
        "--svm", nargs="+", metavar="FILE", help="predictions of training videos, as many: fuse by linear SVM"
    )
    p.add_argument("--svm-c", type=float, default=1.0, help="the SVM's C: how much a training error costs")
    p.add_argument("--save", metavar="FILE", help="write the weighted mean there, as predictions")

    p = command("check-data", commands.run_check_data, "decode every video and report what is wrong with a data set")
    p.add_argument("data", help="folder of videos, or features.npz")
    p.add_argument("--write-skip", metavar="FILE", help="write a list of the damaged and missing videos there")
    p.add_argument("--skip", metavar="FILE", help="list of videos that are known to be bad")
    p.add_argument("--frames", type=int, default=30, help="shorter videos are counted as short")
    p.add_argument("--fps", type=float, help="frames per second to count in (default: native; Sports-1M: 1)")
    p.add_argument("--seconds", type=float, help="look at the first so many (default: all; Sports-1M: 300)")
    p.add_argument("--workers", type=int, default=2, help="threads that decode")

    p = command("predict", commands.run_predict, "name the classes of video files")
    p.add_argument("model", help="checkpoint.npz")
    p.add_argument("videos", nargs="+", metavar="VIDEO", help="video files")
    p.add_argument("--views", type=int, default=5, help="clips spread over the video, averaged")
    p.add_argument("--whole", action="store_true", help="all frames in one pass instead of views")
    p.add_argument("--top", type=int, default=5, help="classes to name")
    p.add_argument("--render", metavar="FILE", help="draw one video's predictions over time into an .mp4, .avi or .png")

    p = command("features", commands.run_features, "compute the tower's features of frames, to train heads alone")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="one data folder, or video files")
    p.add_argument("--out", default="features.npz", help="file to write")
    p.add_argument("--model", metavar="CHECKPOINT", help="whose tower to use; else an untrained one")
    p.add_argument("--count", type=int, default=25, help="frames a video, evenly spaced")
    p.add_argument(
        "--tower", choices=[t for t in TOWERS if t != "features"], default="googlenet", help="untrained tower"
    )
    p.add_argument("--size", type=int, default=220, help="its input side in pixels")
    p.add_argument("--width", type=float, default=1.0, help="multiplier on its channels")
    p.add_argument("--seed", type=int, default=0, help="of its weights")
    add_data(p)
    add_options(p, DataSettings, "pixels", only=[f.name for f in fields(DataSettings) if f.name != "features"])

    p = command("import", importing.run_import, "turn GoogLeNet's weights from Caffe or torchvision into a checkpoint")
    p.add_argument("weights", help="file that ends in .onnx, .safetensors or .npz; see docs/weights.md")
    p.add_argument("--out", default="googlenet.npz", help="checkpoint to write")
    last = p.add_mutually_exclusive_group()
    last.add_argument("--classes", type=int, default=101, help="K of a new, untrained last layer")
    last.add_argument("--keep-classifier", action="store_true", help="keep the classes that the network was trained on")
    p.add_argument("--labels", metavar="FILE", help="names of the classes kept, one a line (default: their numbers)")
    p.add_argument("--variant", choices=VARIANTS, help="how the network pads and pools (default: as the file says)")
    p.add_argument("--mean", type=float, nargs="+", help="pixel that is 0 to the network (default: as it was trained)")
    p.add_argument("--scale", type=float, nargs="+", help="pixels that are 1 (default: as it was trained)")
    p.add_argument("--size", type=int, default=224, help="input side in pixels")

    p = command(
        "tables", lab_commands.run_tables, "run the rows of the paper's Tables 1 to 7, on the mini or real data"
    )
    p.add_argument("--data", default="mini", help="'mini': rendered, in minutes; or a folder, UCF-101 or Sports-1M")
    p.add_argument("--table", nargs="+", default=["all"], metavar="N", help="1 to 7, or all")
    p.add_argument("--seeds", type=int, default=3, help="networks a row, which differ in their seed")
    p.add_argument("--first-seed", type=int, default=0, help="of these seeds, which are in a row")
    p.add_argument("--out", help="folder of the networks and the tables (default: runs/tables, runs/tables-DATA)")
    p.add_argument("--cache", help="folder for decoded frames (default: in --out)")
    p.add_argument(
        "--pretrained", metavar="FOLDER", help="networks of the same names to start from: another run's seed0"
    )
    p.add_argument("--dry-run", action="store_true", help="print the commands of every row and run none")
    p.add_argument("--measured", action="store_true", help="run nothing, write what has been measured so far")

    p = command("claims", lab_commands.run_claims, "try the paper's claims on rendered video, judge them by one rule")
    p.add_argument("--claims", nargs="+", default=[], metavar="NAME", help="only those with one of these in their name")
    p.add_argument("--seeds", type=int, default=3, help="networks a side, from seed 0 on")
    p.add_argument("--out", default="runs/tables", help="folder; networks that snippets tables left there are used")

    p = command("compare", lab_commands.run_compare, "train several heads on one file of features, over several seeds")
    p.add_argument("features", metavar="FEATURES.npz", help="see docs/data.md")
    p.add_argument(
        "--heads", nargs="+", choices=tuple(HEADS), default=["average", "conv", "lstm"],
        help="the others are compared with the first",
    )  # fmt: skip
    p.add_argument("--seeds", type=int, default=5, help="runs a head, from seed 0 on")
    p.add_argument("--out", default="runs/compare", help="folder for the runs and the table")
    network = ("fc", "dropout", "units", "depth", "activation", "width")
    add_options(p, NetConfig, "network", only=network)
    add_options(p, Settings, "training", only=[f.name for f in fields(Settings) if f.name != "seed"])

    p = command(
        "flow", commands.run_flow, "compute optical flow: into the cache for a folder, or a picture of one video"
    )
    p.add_argument("data", help="folder of videos, as for train; or a video file, with --render")
    p.add_argument(
        "--render", metavar="FILE", help="write frames and flow of the video there: a picture, or .mp4, .avi"
    )
    p.add_argument("--size", type=int, default=220, help="crops to be taken; images are larger, 256 pixels for 220")
    p.add_argument("--cache", default="runs/cache", help="folder for the flow images")
    p.add_argument("--skip", metavar="FILE", help="list of videos to leave out, one a line")
    add_options(p, DataSettings, "flow", only=("fps", "flow_fps", "bound", "tvl1"))

    p = command(
        "summary", commands.run_summary, "print a network: layer, output shape, parameters, multiply-adds, memory"
    )
    p.add_argument("model", nargs="?", metavar="CHECKPOINT", help="show this network, and not the one of the options")
    p.add_argument("--classes", type=int, default=101, help="K")
    p.add_argument("--draw", metavar="FILE", help="also draw it there (.png, .svg, .pdf)")
    p.add_argument(
        "--batch", type=int, help="foretell the memory of a training step of so many clips (default: do not)"
    )
    add_options(p, NetConfig, "network", frames=1)

    p = command("bench", lab_commands.run_bench, "measure speed and memory, row by row, alone or against a peer")
    p.add_argument("--rows", metavar="NAME", nargs="+", default=[], help="only rows with one of these in their name")
    p.add_argument("--against", choices=PEERS, nargs="+", default=[], help="peers to measure in turn with ours")
    p.add_argument("--repeat", type=int, default=9, help="repetitions of each side, taken in turn")
    p.add_argument("--json", metavar="FILE", help="write the machine and all rows there")
    p.add_argument("--clips", metavar="FOLDER", help="real videos for the row decode-real (default: no such row)")
    p.add_argument("--quick", action="store_true", help="smoke test: all rows small and once, to see whether they run")

    on_a_device = ("demo", "train", "evaluate", "predict", "features", "flow", "tables", "claims", "compare", "bench")
    for name in on_a_device:
        subparsers.choices[name].add_argument("--device", default="cpu", help=device.HELP)

    p = command("scaling", scale_commands.run_scaling, "time a synchronous step; under mpiexec, of many ranks")
    p.add_argument("--batch", type=int, default=16, help="clips a step, of all ranks together")
    p.add_argument("--classes", type=int, default=101, help="K")
    p.add_argument("--seed", type=int, default=0, help="of weights and clips")
    p.add_argument("--repeat", type=int, default=9, help="repetitions, of which the median is told")
    add_options(p, NetConfig, "network", frames=1)

    p = command("simulate", scale_commands.run_simulate, "Downpour SGD on simulated time, beside synchronous training")
    p.add_argument("data", help="folder of videos, or features.npz")
    p.add_argument("--out", default="runs/simulate", help="folder for simulate.json and simulate.png")
    p.add_argument("--counts", type=int, nargs="+", default=[1, 10, 50], help="numbers of replicas, one run each")
    p.add_argument("--momenta", type=float, nargs="*", default=[], help="values of momentum to try for each of them")
    p.add_argument("--init", metavar="CHECKPOINT", help="start from the parameters that fit")
    p.add_argument("--measure", action="store_true", help="take this machine's costs, with Ray, instead of those below")
    p.add_argument("--real", action="store_true", help="run it on Ray, too, and compare (implies --measure)")
    add_data(p)
    add_options(p, DataSettings, "pixels")
    add_options(p, Cluster, "cluster")
    add_options(
        p, Downpour, "Downpour SGD", only=[f.name for f in fields(Downpour) if f.name != "replicas"]
    )  # --counts
    add_options(p, NetConfig, "network", frames=None)
    add_options(p, Settings, "training")

    command("doctor", lab_commands.run_doctor, "check the installation: versions, BLAS, cores, memory, codec")
    return top


def main(argv=None):
    """Run one command; returns the exit status. Errors that a user can mend are one line, without a traceback."""
    for stream in (sys.stdout, sys.stderr):  # what their encoding lacks is escaped, and no error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    args = parser().parse_args(argv)
    sweep.cache_clear()
    try:
        with stoppable() as signals:
            check_options(args)
            return args.run(args) or 0
    except KeyboardInterrupt as stop:
        print(f"\n{stop}" if str(stop) else "\nstopped", file=sys.stderr)
        return 128 + int(signals[0] if signals else signal.SIGINT)
    except MemoryError as error:
        print(f"snippets: out of memory ({error}); try a smaller --size, --frames or --batch", file=sys.stderr)
        return 1
    except MENDABLE as error:
        print(f"snippets: {in_words(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
