"""The options of `snippets bench`."""

from snippets.training.bench.peers import PEERS
from snippets.training.bench.run import bench
from snippets.training.cli.files import Input, Json
from snippets.training.cli.options import COUNT, add_command, add_device


def add_parsers(subparsers):
    """Adds the parser of `snippets bench`."""
    p = add_command(subparsers, "bench", run_bench)
    p.add_argument("--rows", metavar="NAME", nargs="+", default=[], help="only rows with one of these in their name")
    peers = [*PEERS, "best"]
    p.add_argument("--against", choices=peers, nargs="+", default=[], help="peers to measure beside ours; best: all")
    p.add_argument("--repeat", **COUNT, default=9, help="repetitions of each side, taken in turn")
    p.add_argument("--json", type=Json, metavar="FILE", help="write the machine and all rows to this file")
    p.add_argument("--clips", type=Input, metavar="FOLDER", help="real videos for the row decode-real (default: none)")
    p.add_argument("--quick", action="store_true", help="smoke test: all rows small and once, to see whether they run")
    add_device(p)


def run_bench(args):
    """Measure speed and memory, row by row, alone or against a peer."""
    bench(args.rows, args.against, args.repeat, args.json, args.clips, args.quick, args.device)
