"""Downpour over two hosts of one core each: what `snippets simulate --price` says beforehand, and what it takes.

    python -m tests.price_on_hosts                                    the table of docs/scale-out.md; eight minutes
    python -m tests.price_on_hosts --links 50ms --counts 1 --congestion bbr

The hosts are those of tests/kit/two_hosts.py, which needs root. A link has no limit, or a rate (`tc tbf`), or a delay
of 25 ms each way (tests/kit/relay.c, which needs a C compiler and /dev/net/tun). TCP's congestion control is said, not
the machine's, for it decides how a message travels: bbr spreads it over half a round trip. Prints a table in Markdown.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT / "tests", ROOT / "tests" / "kit"))
from host_runs import TOKEN, events, ray_cluster  # noqa: E402
from two_hosts import two_hosts  # noqa: E402

from snippets.data.features import save_features  # noqa: E402

LINKS = {  # bytes per second, and seconds that a message takes besides: what --price is told
    "unlimited": (5e9, 3e-5), "1gbit": (1.25e8, 3e-5), "100mbit": (1.25e7, 3e-5), "50ms": (5e9, 0.025),
}  # fmt: skip
NET = "--head conv --fc 512 --frames 16 --batch 64 --lr 0.0001 --momentum 0 --epochs"
HOW = "--shards 4 --fetch 1 --push 1"
UNITS = {"s": 1, "min": 60, "h": 3600, "days": 86400}


def write_features(path):
    """1,088 videos of 16 frames of 256 numbers, 16 classes; 1,024 of them for training."""
    rng, label = np.random.default_rng(0), np.arange(1088) % 16
    feat = (rng.standard_normal((16, 1, 256))[label] + rng.standard_normal((1088, 16, 256))).astype(np.float32)
    save_features(path, np.maximum(feat, 0), label + 1, np.arange(1088) >= 1024)
    return path


def join(a, b, link, congestion, folder):
    """Make the cable what it should be; the process that holds packets back, or None."""
    for core, host in enumerate((a, b)):
        host.command = lambda *args, core=core, plain=host.command: plain("taskset", "-c", str(core), *args)
        host.ip("-w", f"net.ipv4.tcp_congestion_control={congestion}", tool="sysctl")
    if link != "50ms":
        for host in (a, b) if link != "unlimited" else ():
            host.slow(link, burst="256kb")
        return None
    relay = folder / "relay"
    subprocess.run(["cc", "-O2", "-o", relay, ROOT / "tests" / "kit" / "relay.c"], check=True)
    a.ip("link", "del", "cable")
    running = subprocess.Popen(
        ["nice", "-n", "-15", relay, str(a.pid), str(b.pid), "25"], stdout=subprocess.PIPE, text=True
    )
    assert running.stdout.readline() == "ready\n"
    for host, other in ((a, b), (b, a)):
        host.ip("address", "add", host.address, "peer", other.address, "dev", "cable")
        host.ip("link", "set", "cable", "mtu", "1500", "txqueuelen", "10000", "up")
    return running


def predicted(features, net, link, counts):
    """{replicas: (seconds, bound)} of `snippets simulate --price`, measured on one core."""
    bandwidth, latency = LINKS[link]
    words = ["snippets", "simulate", features, *net, *HOW.split(), *"--price --hosts 2 --counts".split(), *counts]
    words += ["--bandwidth", f"{bandwidth:g}", "--latency", f"{latency:g}"]
    done = subprocess.run(["taskset", "-c", "0", *words], capture_output=True, text=True, check=True)
    found = re.findall(r"training, (\d+) replicas \|[^|]*\| *([\d.]+) (\w+) *\| *([\w ]+?) *\|", done.stdout)
    return {int(count): (float(number) * UNITS[unit], bound) for count, number, unit, bound in found}


def real(a, address, words, out):
    """(seconds, share of their time that the replicas waited) of the training itself."""
    a.run("snippets", "train", *words, "--out", out, "--address", address, env=TOKEN, check=True, timeout=600)
    (end,) = events(out, "finished")
    return max(r["seconds"] for r in events(out, "done")), end["waiting"]


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--links", nargs="+", choices=LINKS, default=list(LINKS))
    p.add_argument("--counts", nargs="+", default=["1", "2", "4"], help="replicas")
    p.add_argument("--epochs", default="28", help="of 16 steps")
    p.add_argument("--congestion", default="reno", help="control of TCP on both hosts")
    args = p.parse_args(argv)
    print("| link | replicas | predicted, s | bound by | real, s | real / predicted | replicas waited, % |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder, net = Path(folder), [*NET.split(), args.epochs]
        features = write_features(folder / "f.npz")
        for link in args.links:
            price = predicted(features, net, link, args.counts)
            with two_hosts(folder / link) as (a, b):
                relay, address = join(a, b, link, args.congestion, folder), ray_cluster(a, b)
                for count, (expected, bound) in price.items():
                    words = [features, *net, "--downpour", "--replicas", count, *HOW.split()]
                    seconds, waited = real(a, address, words, folder / f"{link}-{count}")
                    cells = f"{expected:.3g} | {bound} | {seconds:.3g} | {seconds / expected:.2f} | {100 * waited:.0f}"
                    print(f"| {link} | {count} | {cells} |", flush=True)
                if relay:
                    relay.kill()
                    relay.wait()


if __name__ == "__main__":
    main()
