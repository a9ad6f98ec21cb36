"""Ray on the two hosts of two_hosts.py."""

import shutil

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}


def ray_cluster(a, b):
    """Start Ray on both hosts; the address that --ray wants."""
    a.run("sh", "-c", "ray get-auth-token --generate && chmod 600 ~/.ray/auth_token", check=True)
    shutil.copytree(a.folder / "home" / ".ray", b.folder / "home" / ".ray")
    start = "ray start --object-store-memory 500000000 --node-ip-address".split()
    a.run(*start, a.address, "--head", "--port", "6379", "--include-dashboard=false", env=TOKEN, check=True)
    b.run(*start, b.address, "--address", f"{a.address}:6379", env=TOKEN, check=True)
    return f"{a.address}:6379"
