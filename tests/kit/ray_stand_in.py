"""A cluster of Ray in this process: an actor or a task does what it is asked at once, and how it was asked is noted."""

import sys
from contextlib import nullcontext
from copy import deepcopy
from types import SimpleNamespace


class RayError(Exception):
    """What Ray itself raises."""


class RayActorError(RayError):
    """The process of an actor is gone."""

    actor_init_failed = False


class RayTaskError(RayError):
    """What an actor or a task has raised."""

    def __init__(self, cause):
        super().__init__(f"in a task\n{type(cause).__name__}: {cause}")
        self.cause = cause


class AuthenticationError(RayError):
    """The token is not that of the cluster."""


class Ref:
    """A value that is there already, or an error; of what was `put`, everybody gets a copy."""

    def __init__(self, value=None, error=None, put=False):
        self.value, self.error, self.put = value, error, put


class Stream:
    """What a task yields, one value after the other; an error is its last one."""

    def __init__(self, ray, host, values):
        self.ray, self.host, self.values = ray, host, values

    def __next__(self):
        found = self.ray.call(self.host, next, (self.values, Stream))
        if found.value is Stream:
            raise StopIteration
        return found


class Remote:
    """A class or a function, and how Ray is asked to start it."""

    def __init__(self, ray, what, options):
        self.ray, self.what, self.how = ray, what, options

    def options(self, **more):
        return Remote(self.ray, self.what, self.how | more)

    def remote(self, *args):
        where = self.how.get("scheduling_strategy")
        host = where.node_id.removeprefix("id of ") if hasattr(where, "node_id") else self.ray.hosts[0]
        self.ray.made.append((self.what.__name__, host, self.how, args))
        if self.how.get("num_returns") == "streaming":
            return Stream(self.ray, host, self.what(*args))
        if not isinstance(self.what, type):
            return self.ray.call(host, self.what, args)
        actor = Actor(self.ray, host, self.what.__name__)
        actor.instance = self.ray.get(self.ray.call(host, self.what, args))
        self.ray.living.append(actor)
        return actor


class Actor:
    """An actor: `actor.method.remote(*args)`."""

    def __init__(self, ray, host, name):
        self.ray, self.host, self.name = ray, host, name

    def __getattr__(self, name):
        def remote(*args):
            self.ray.asked.append((self.name, name, args))
            instead = self.ray.instead.get(name)
            if instead:
                return self.ray.call(self.host, instead.pop(0), (self.instance, *args))
            return self.ray.call(self.host, getattr(self.instance, name), args)

        return SimpleNamespace(remote=remote)


class Ray:
    """The module `ray`, connected to a cluster of hosts, given by their addresses, this one first.

    made: what was started, [(name, host, options, arguments)]; asked: the calls of actors, [(name, method, arguments)];
    waited: the arguments of each `wait`; over: the actors and tasks that
    were ended. there: host -> a context in which it works. instead: method -> what its next calls do, one by one.
    """

    def __init__(self, *hosts):
        self.hosts, self.here, self.there = list(hosts), hosts[0], {}
        self.made, self.asked, self.waited, self.instead = [], [], [], {}
        self.living, self.over, self.free = [], [], {}
        self.reconstructed = False
        self.exceptions = SimpleNamespace(
            RayError=RayError, RayActorError=RayActorError, RayTaskError=RayTaskError,
            ActorUnschedulableError=RayActorError, AuthenticationError=AuthenticationError,
        )  # fmt: skip
        self.util = SimpleNamespace(get_node_ip_address=lambda: self.here)
        self._private = SimpleNamespace(utils=SimpleNamespace())

    def actors(self, name):
        """The objects behind the actors of a class, in the order in which they were made."""
        return [actor.instance for actor in self.living if actor.name == name]

    def is_initialized(self):
        return True

    def nodes(self):
        """Those that are there behind one that is gone, in no order; two cores each, two GPUs of all but the first."""
        found = [(host, True) for host in (*self.hosts[1:], self.hosts[0])]
        return [
            {"NodeID": f"id of {host}", "NodeManagerAddress": host, "NodeManagerHostname": f"name of {host}",
             "Alive": alive, "Resources": {"CPU": 2.0} | ({"GPU": 2.0} if host != self.hosts[0] else {})}
            for host, alive in [("10.0.0.0", False), *found]
        ]  # fmt: skip

    def get_runtime_context(self):
        return SimpleNamespace(
            get_node_id=lambda: f"id of {self.here}", was_current_actor_reconstructed=self.reconstructed
        )

    def remote(self, **options):
        return lambda what: Remote(self, what, options)

    def call(self, host, function, args):
        before, self.here = self.here, host
        try:
            with self.there.get(host, nullcontext)():
                return Ref(function(*args))
        except RayError as error:
            return Ref(error=error)
        except Exception as error:
            return Ref(error=RayTaskError(error))
        finally:
            self.here = before

    def put(self, value):
        return Ref(value, put=True)

    def get(self, ref):
        if isinstance(ref, list):
            return [self.get(one) for one in ref]
        if ref.error is not None:
            raise ref.error
        return deepcopy(ref.value) if ref.put else ref.value

    def wait(self, refs, **how):
        self.waited.append((len(refs), how))
        number = how.get("num_returns", 1)
        return refs[:number], refs[number:]

    def cancel(self, task):
        self.over.append(task)

    def available_resources(self):
        return self.free

    def kill(self, actor):
        self.over.append(actor)


def ray_stand_in(monkeypatch, *hosts):
    """`import ray` gives a `Ray` of these hosts from now on."""
    ray = Ray(*hosts)

    def where(node_id, soft):
        return SimpleNamespace(node_id=node_id, soft=soft)

    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=where)
    for name, module in (("ray", ray), ("ray.util", ray.util), ("ray.util.scheduling_strategies", strategies)):
        monkeypatch.setitem(sys.modules, name, module)
    return ray
