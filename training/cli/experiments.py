"""The commands that try something out: `snippets demo`, `tables`, `claims` and `compare`; and `report`, on runs.

`tables`, `claims` and `compare` consist of other commands; they are handed `args.execute`, which runs one.
"""

from dataclasses import fields, replace
from pathlib import Path

from snippets.data.listing import shown
from snippets.data.lock import one_run
from snippets.data.mini.make import make_mini
from snippets.data.open import has_folds
from snippets.data.options import add_options, chosen
from snippets.nets.zoo import HEAD_OPTIONS, HEADS, NetConfig, check_read
from snippets.training.assignments.manifest import files_of_student
from snippets.training.cli.files import Folder, Html, Input, writable
from snippets.training.cli.options import COUNT, SEED, add_command, add_device, number, ray_tasks
from snippets.training.experiments.claims.judge import claims
from snippets.training.experiments.claims.lab import GROUNDS, QUICK, Lab
from snippets.training.experiments.clips import write_clips
from snippets.training.experiments.compare import compare
from snippets.training.experiments.demo import demo
from snippets.training.experiments.price import Hosts, price_rows
from snippets.training.experiments.report import write_report
from snippets.training.experiments.scales import MINI_DATA, MINI_IMPORTED, SCALES
from snippets.training.experiments.tables import parse_numbers, print_commands, rows_of, tables
from snippets.training.experiments.trial import Trial
from snippets.training.settings import Settings
from snippets.training.small.real import Plan, real

BESIDE = "run commands that do not need each other at the same time, by Ray"


def add_parsers(subparsers):
    """Adds the parsers of these commands."""
    p = add_command(subparsers, "demo", run_demo)
    p.add_argument("--out", type=Folder, help="folder for all that it makes (default: runs/demo or runs/demo-quick)")
    p.add_argument("--seed", **SEED, help="of the data and the networks")
    p.add_argument("--quick", action="store_true", help="under a minute, at lower accuracy")
    p.add_argument("--weights", type=Input, metavar="FILE", help="of GoogLeNet, as import takes it: a page on --videos")
    p.add_argument("--videos", type=Input, metavar="FOLDER", help="with --weights: clips of your own, best by class")
    p.add_argument("--labels", type=Input, metavar="FILE", help="with --weights: names of its classes, one per line")
    add_device(p)

    p = add_command(subparsers, "report", run_report)
    p.add_argument("runs", type=Input, nargs="+", metavar="RUN", help="folder of a training run; several: compared")
    p.add_argument("--videos", type=Input, metavar="FOLDER", help="that they were trained on, to show their frames")
    p.add_argument("--out", type=Html, metavar="FILE", help="page (default: RUN/report.html or runs/report.html)")

    p = add_command(subparsers, "tables", run_tables)
    p.add_argument("--data", type=Input, default="mini", help="'mini': rendered; or a folder: UCF-101 or Sports-1M")
    p.add_argument("--scale", choices=SCALES, help="how large networks are (default: mini for mini, else paper)")
    p.add_argument("--weights", type=Input, metavar="FILE", help="mini, laptop: of GoogLeNet, as import takes them")
    p.add_argument("--native-rate", action="store_true", help="laptop: every frame, where the paper has 30 per second")
    p.add_argument("--available", action="store_true", help="skip listed videos that are missing")
    p.add_argument("--table", nargs="+", default=["all"], metavar="N", help="1 to 7, or all")
    p.add_argument("--seeds", **COUNT, default=3, help="networks per row, of consecutive seeds")
    p.add_argument("--first-seed", **SEED, help="the first of these seeds")
    p.add_argument("--out", type=Folder, help="folder for the tables (default: runs/tables or runs/tables-DATA)")
    p.add_argument("--cache", help="folder for decoded frames (default: in --out)")
    p.add_argument("--pretrained", type=Input, metavar="FOLDER", help="start from its networks of the same names")
    p.add_argument("--price", action="store_true", help="measure for a minute, print hours, memory, disk; run nothing")
    p.add_argument("--hosts", **COUNT, default=1, help="with --price: hosts that share the work, each like this one")
    p.add_argument(
        "--bandwidth", **number(float, above=0, most=1e15), default=1.25e8, help="and bytes per second between them"
    )
    p.add_argument("--dry-run", action="store_true", help="print the commands of every row and run none")
    p.add_argument("--measured", action="store_true", help="run nothing, write the results that exist so far")
    add_device(p, BESIDE)

    p = add_command(subparsers, "claims", run_claims)
    p.add_argument("--claims", nargs="+", default=[], metavar="NAME", help="only those with one of these in their name")
    p.add_argument("--ablations", action="store_true", help="in their place choices that the paper leaves open")
    p.add_argument("--seeds", **COUNT, help="from 0 on, at most so many (default: as many as each claim takes)")
    p.add_argument("--features", type=Input, metavar="FILE", help="of real videos: some claims are tried on them, too")
    p.add_argument("--quick", action="store_true", help="two seeds and small test sets: minutes, few verdicts")
    p.add_argument("--out", type=Folder, default="runs/claims", help="folder for all that it makes")
    add_device(p, BESIDE)

    p = add_command(subparsers, "real", run_real)
    p.add_argument("videos", type=Input, help="folder of clips whose films are known, see docs/data.md")
    p.add_argument("--weights", type=Input, metavar="FILE", required=True, help="of GoogLeNet, as import takes it")
    p.add_argument("--features", type=Input, metavar="FILE.npz", help="and heads on this file of features")
    p.add_argument("--draws", **COUNT, default=3, help="ways to deal films into folds")
    p.add_argument("--folds", **COUNT, default=5, help="folds, each of which tests once")
    p.add_argument("--seeds", **COUNT, default=10, help="networks per head on --features")
    p.add_argument("--out", type=Folder, default="runs/real", help="folder for all that it makes")
    p.add_argument("--published", default="", metavar="TEXT", help="a published result on these clips, for the page")
    p.add_argument("--cache", help="folder for features (default: in --out)")

    p = add_command(subparsers, "compare", run_compare)
    p.add_argument("features", type=Input, metavar="FEATURES.npz", help="see docs/data.md")
    p.add_argument(
        "--heads", nargs="+", choices=HEADS, default=["average", "conv", "lstm"], help="the first is the baseline"
    )
    p.add_argument("--seeds", **COUNT, default=5, help="runs per head, from seed 0 on")
    p.add_argument("--out", type=Folder, default="runs/compare", help="folder for the runs and the table")
    p.add_argument("--workers", **COUNT, help="processes, each of which has the features in memory (default: one)")
    add_options(p, NetConfig, "network", only=(*HEAD_OPTIONS, "width", "differences", "standardise"))
    add_options(
        p, Settings, "training", only=[f.name for f in fields(Settings) if f.name not in ("seed", "view_starts")]
    )
    add_device(p, BESIDE)


def run_demo(args):
    """Render the mini data set, train three networks, write a report with pictures."""
    out = writable(args.out or ("runs/demo-quick" if args.quick else "runs/demo"))
    if bool(args.weights) != bool(args.videos) or args.labels and not args.weights:
        raise ValueError("--weights FILE and --videos FOLDER belong together, --labels to both: give them all, or none")
    with one_run(out):
        if args.weights:
            print(shown(write_clips(out, args.weights, args.videos, args.labels, args.device, args.execute)))
        demo(out, args.seed, args.quick, args.device)
    if own := files_of_student():
        print(f"computed by your {', '.join(own)}")


def run_report(args):
    """Write a page about a training run, or about several side by side."""
    place = Path(args.runs[0]) if len(args.runs) == 1 else Path("runs")
    print(write_report(args.runs, Path(args.out or place / "report.html"), args.videos))


def run_tables(args):
    """Run the rows of the paper's Tables 1 to 7, at reduced scale or on real data."""
    mini = args.data == "mini"
    name = args.scale or ("mini" if mini else "paper")
    scale = SCALES[name]
    if mini != (name == "mini"):
        raise ValueError(f"--scale {name} with --data {args.data}: scale mini is for the rendered data, the others not")
    scale = MINI_IMPORTED if mini and args.weights else scale
    if scale.weights != bool(args.weights) or args.native_rate and name != "laptop":
        raise ValueError("--scale laptop needs --weights FILE, which mini takes, too; it alone takes --native-rate")
    scale = replace(scale, fps=None) if args.native_rate else scale
    scale = scale if mini or has_folds(args.data) else replace(scale, fold="")
    numbers = parse_numbers(args.table, (2, 6, 7) if name == "laptop" else (1, 2, 3, 4, 5, 6, 7))
    out = Path(args.out or ("runs/tables" if mini else f"runs/tables-{Path(args.data).name}"))
    data = str(out / "data") if mini else args.data
    cache = args.cache or str(out / "cache")
    trial = Trial(
        data, scale, args.first_seed, out, cache, pretrained=args.pretrained, device=args.device,
        weights=args.weights, available=args.available,
    )  # fmt: skip
    trials = trial.seeds(args.seeds)
    if args.dry_run:
        print_commands(numbers, trials)
        return
    with one_run(writable(out)):
        if args.price:
            if mini:
                make_mini(data, **MINI_DATA)
            hosts = Hosts(args.hosts, args.bandwidth)
            print(price_rows(rows_of(numbers), trials, args.parse, hosts, args.execute))
            return
        execute = None if args.measured else args.execute
        tables(numbers, trials, MINI_DATA if mini else None, execute, ray_tasks(args, args.device))


def run_claims(args):
    """Test the paper's claims, or choices that it leaves open, and judge all by one rule."""
    grounds, seeds = (QUICK, args.seeds or 2) if args.quick else (GROUNDS, args.seeds)
    lab = Lab(Path(args.out), seeds, grounds, args.features, args.device)
    with one_run(args.out):
        claims(lab, args.claims, args.execute, ray_tasks(args, args.device), args.ablations)


def run_compare(args):
    """Train several heads on one file of features, over several seeds."""
    check_read(args, args.heads, "features")
    options = chosen(args, NetConfig) | chosen(args, Settings) | {"device": args.device}
    how = {"execute": args.execute, "workers": args.workers or 1, "ray": ray_tasks(args, args.device)}
    with one_run(args.out):
        compare(args.features, args.heads, args.seeds, args.out, options, **how)


def run_real(args):
    """Try the paper's networks on clips of films, tested on other films, and once more with clips dealt at random."""
    plan = Plan(
        args.videos, args.weights, args.features, Path(args.out), args.cache or str(Path(args.out) / "cache"),
        args.draws, args.folds, args.seeds, args.published,
    )  # fmt: skip
    with one_run(args.out):
        real(plan, args.execute)
