"""The commands that try something out: data, demo, experiments, measurements; main.py knows their options."""

from pathlib import Path

from snippets.data.lock import one_run
from snippets.data.mini.make import make_mini
from snippets.data.options import chosen
from snippets.nets.zoo import NetConfig
from snippets.training.bench.run import bench
from snippets.training.cli.doctor import doctor
from snippets.training.experiments.claims import claims
from snippets.training.experiments.compare import compare
from snippets.training.experiments.demo import demo
from snippets.training.experiments.tables import parse_numbers, tables
from snippets.training.loop import Settings


def run_make_data(args):
    root = make_mini(args.root, args.seed, args.groups, args.clips, args.frames, args.side)
    print(f"{root}: {len(list(root.glob('*/*.avi')))} clips; lists in {root / 'ucfTrainTestlist'}")


def run_demo(args):
    out = args.out or ("runs/demo-quick" if args.quick else "runs/demo")
    with one_run(out):
        demo(out, args.seed, args.quick, args.device)


def run_tables(args):
    out = args.out or ("runs/tables" if args.data == "mini" else f"runs/tables-{Path(args.data).name}")
    with one_run(None if args.dry_run else out):
        tables(
            args.data, out, parse_numbers(args.table), args.seeds, args.first_seed, args.cache, args.dry_run,
            args.pretrained, measured=args.measured, device=args.device,
        )  # fmt: skip


def run_claims(args):
    with one_run(args.out):
        claims(args.out, args.claims, args.seeds, device=args.device)


def run_compare(args):
    options = [f"--{key.replace('_', '-')}={value}" for cls in (NetConfig, Settings)
               for key, value in chosen(args, cls).items() if value is not None]  # fmt: skip
    if args.device != "cpu":
        options.append(f"--device={args.device}")
    with one_run(args.out):
        compare(args.features, args.heads, args.seeds, args.out, options)


def run_bench(args):
    bench(args.rows, args.against, args.repeat, args.json, args.clips, args.quick, args.device)


def run_doctor(args):
    return doctor()
