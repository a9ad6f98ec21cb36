"""What the options of several commands have in common."""

import argparse
import re

from snippets.data.options import InRange, Range
from snippets.data.store.processes import Processes
from snippets.layers.device.xp import DEVICES, usable_cores
from snippets.training.cli.files import Input
from snippets.training.distributed.ray_tasks import HERE, RayTasks


def number(kind, **within):
    """Arguments of `add_argument` for an option that is a number of this kind, `within` a Range."""
    return {"action": InRange, "type": kind, "within": Range(**within)}


COUNT = number(int, least=1, most=1e6)
BATCH = number(int, least=1, most=1e9)
WORKERS = number(int, least=0, most=1e3) | {"default": 2}
SEED = number(int, least=0, most=2**63) | {"default": 0}


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows each option's default, where it has one."""

    def _get_help_string(self, action):
        hidden = action.default is False or action.default in (None, [], "")
        return action.help if hidden else super()._get_help_string(action)


def add_command(subparsers, name, run):
    """The parser of a new command, which calls run(args); the first line of run's docstring is the command's help."""
    about = (run.__doc__ or name).partition("\n")[0]
    summary = about[0].lower() + about[1:].removesuffix(".")
    parser = subparsers.add_parser(name, help=summary, description=about, formatter_class=Help)
    parser.set_defaults(run=run)
    return parser


def add_data(parser, fold=int, about="official split, 1 to 3 (default: the model's, else 1)"):
    """Options that say how DATA is read, as a group."""
    group = parser.add_argument_group("data")
    group.add_argument("--fold", type=fold, help=about)
    group.add_argument("--cache", type=cache_folder, default="runs/cache", help="folder for decoded frames, or 'none'")
    group.add_argument("--skip", type=Input, metavar="FILE", help="list of videos to skip, one per line")
    group.add_argument("--available", action="store_true", help="skip listed videos that are missing")
    return group


def cache_folder(text):
    """The folder, or None for 'none'."""
    return None if text == "none" else text


def add_features_of(parser):
    """The option that makes features of videos, see `training.model.features_of`."""
    parser.add_argument(
        "--features-of", type=Input, metavar="CHECKPOINT",
        help="train a head only, on features by its tower, which are kept in --cache; {fold}: the number of the fold",
    )  # fmt: skip


def add_device(parser, ray=None):
    """The option that says where to compute; ray: what --ray does, None: there is no such option."""
    parser.add_argument("--device", default="cpu", help=DEVICES)
    if ray:
        add_ray(parser, ray)


def add_executor(parser):
    """The options that say which processes compute videos, see `executor`."""
    about = "processes (default: one per core; on a GPU: one)"
    parser.add_argument("--workers", **number(int, least=1, most=1e3), help=about)
    add_ray(parser, "compute the videos by Ray")


def add_ray(parser, what):
    """The option --ray; what: it does."""
    parser.add_argument(
        "--ray", nargs="?", const=HERE, type=address, metavar="HEAD:PORT",
        help=f"{what}, on all hosts of the cluster at this address (without one: on this machine)",
    )  # fmt: skip


def address(text):
    """HEAD:PORT, or argparse's error: DATA, for instance, if it stands behind --ray."""
    if text != HERE and not re.fullmatch(r"[^/\s]+:\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no HEAD:PORT, for example 10.9.0.1:6379; DATA goes before --ray")
    return text


def executor(args, device="cpu"):
    """The executor that --ray or --workers ask for, see data/store/processes.py."""
    return ray_tasks(args, device) or Processes(args.workers or (usable_cores() if device == "cpu" else 1))


def ray_tasks(args, device):
    """The executor that --ray asks for, or None; ValueError if there are --workers, too."""
    if args.ray and getattr(args, "workers", None):
        raise ValueError("--workers are processes of this machine, --ray takes the cores that Ray has: leave one out")
    return RayTasks(args.ray, device) if args.ray else None


def lr_groups(factors, frozen):
    """Key prefix -> factor on the learning rate, from --lr-group PREFIX=FACTOR ... and --freeze PREFIX ..."""
    groups = {}
    for text in factors:
        prefix, _, factor = text.rpartition("=")
        try:
            groups[prefix] = float(factor)
        except ValueError:
            prefix = ""
        if not prefix:
            raise ValueError(f"--lr-group {text}: expected PREFIX=FACTOR, for example tower/=0.1")
    return groups | dict.fromkeys(frozen, 0.0)
