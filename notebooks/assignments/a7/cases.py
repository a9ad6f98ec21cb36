"""The inputs of A7's questions, and how each function is called; it has no answers.

CASES: the sizes of each case: R ranks or replicas, N clips, steps; chunk: elements in one all-reduce. CALLS: for each
question a function that draws inputs and one that calls the student's function on them.
"""

import threading
from types import SimpleNamespace

import numpy as np

from snippets.training.assignments.calls import hunt

CASES = {
    "public": {"small": {}, "views": dict(N=5, steps=5, fetch=1, push=2, clip=3.0), "float32": {}},
    "hidden": {
        "wide": dict(R=4, N=9, steps=7, fetch=3, push=2, start=2, frozen=True, clip=2.0),
        "one rank": dict(R=1, N=2, steps=1, fetch=1, push=1, rule="adagrad"),
        "one clip": dict(R=2, N=1, steps=5, fetch=5, push=1, ahead=1, zeros=True),
        "a large chunk": dict(N=4, chunk=100, steps=6, fetch=2, push=4, rule="adagrad"),
        "no limit": dict(clip=0.0, steps=8, fetch=4, push=3, bound=2, ahead=1),
        "views": dict(R=2, N=3, steps=6, fetch=3, push=3, bound=1, clip=1.0),
        "float32": {},
    },
    "own": {},
}
SHAPES = {"fc1/W": (3, 4), "fc1/b": (4,), "fc2/W": (4, 2), "fc2/b": (2,)}
SIZE = 26


def named(arrays, prefix):
    """The arrays whose names begin so, by the keys that follow: "w fc1.W" is fc1/W."""
    return {name.removeprefix(prefix).replace(".", "/"): a for name, a in arrays.items() if name.startswith(prefix)}


def dotted(prefix, arrays):
    """The other way round: {fc1/W: array} as {"w fc1.W": array}."""
    return {prefix + key.replace("/", "."): a for key, a in arrays.items()}


def draw_parameters(rng):
    return dotted("w ", {key: rng.standard_normal(shape) for key, shape in SHAPES.items()})


def owned(a):
    """A copy that may be written into, as contiguous or not as `a` is."""
    if a.flags.c_contiguous:
        return a.copy()
    return np.repeat(a, 2, axis=-1)[..., ::2]


def draw_sgd(sgd, rng, steps=4, clip=2.0, frozen=False, **unused):
    """clip 0: no limit."""
    arrays = draw_parameters(rng)
    scale = rng.uniform(0.1, 1, steps)  # of each step's gradient: some are clipped, some are not
    grads = {key: np.array([rng.standard_normal(shape) * one for one in scale]) for key, shape in SHAPES.items()}
    rates = dict(lr=rng.uniform(0.05, 0.2), decay=rng.uniform(0.6, 0.9), momentum=rng.uniform(0.5, 0.9))
    factor = 0.0 if frozen else rng.uniform(0.2, 0.8)
    return arrays | dotted("g ", grads) | rates | dict(weight_decay=rng.uniform(0.05, 0.2), clip=clip, factor=factor)


def sgd(module, lr, decay, momentum, weight_decay, clip, factor, **arrays):
    """Some steps of SGD; the rate falls by `decay` from step to step, and that of fc2 has a factor of its own."""
    params = {key: owned(a) for key, a in named(arrays, "w ").items()}
    grads = named(arrays, "g ")
    opt = module.SGD(
        params, lambda step: float(lr) * float(decay) ** step, float(momentum), float(weight_decay),
        float(clip) or None, {"fc2/": float(factor)},
    )  # fmt: skip
    norms = [opt.step({key: g[n] for key, g in grads.items()}) for n in range(len(grads["fc1/W"]))]
    return dotted("w ", params) | dotted("v ", opt.velocity) | dict(norms=norms, steps=opt.steps)


class Meeting:
    """Where ranks meet that are threads of this process; one that waits for a rank that is gone is told so."""

    def __init__(self, R):
        self.changed, self.arrived, self.gone = threading.Condition(), [0] * R, set()

    def meet(self, rank):
        with self.changed:
            self.arrived[rank] += 1
            turn = self.arrived[rank]
            self.changed.notify_all()
            self.changed.wait_for(lambda: all(n >= turn or r in self.gone for r, n in enumerate(self.arrived)))
            missing = [r for r, n in enumerate(self.arrived) if n < turn]
        if missing:
            raise RuntimeError(f"rank {rank} waits in finish() for rank {missing[0]}, which has returned without it")

    def leave(self, rank):
        with self.changed:
            self.gone.add(rank)
            self.changed.notify_all()


class Rank:
    """What Reducer asks of training.distributed.ranks.MPIRanks; `team` is the list of all ranks."""

    def __init__(self, rank, team, meeting):
        self.rank, self.size, self.team, self.meeting = rank, len(meeting.arrived), team, meeting
        self.sent, self.early, self.first_layer_is_done = [], 0, False

    def start(self, part):
        self.sent.append(part.copy())  # what is sent is what stands there now
        self.early += 0 if self.first_layer_is_done else part.size
        return len(self.sent) - 1, part

    def finish(self, pending):
        self.meeting.meet(self.rank)
        sizes = [[a.size for a in rank.sent] for rank in self.team]
        if differs := [r for r in range(self.size) if sizes[r] != sizes[0]]:
            raise ValueError(f"rank 0 has sent parts of {sizes[0]} elements, rank {differs[0]} of {sizes[differs[0]]}")
        for number, part in pending:
            part[...] = np.sum([rank.sent[number] for rank in self.team], axis=0)
        self.meeting.meet(self.rank)


def network(arrays):
    """Two layers with these parameters."""
    from snippets.layers.core.base import Sequential
    from snippets.layers.linear import Linear
    from snippets.layers.relu import ReLU

    rng = np.random.default_rng(0)
    net = Sequential(fc1=Linear(3, 4, rng), relu1=ReLU(), fc2=Linear(4, 2, rng))
    for name in ("fc1", "fc2"):
        net.layers[name].params = {key: a.copy() for key, a in named(arrays, f"{name}/").items()}
    return net


def draw_all_reduce(ranks, rng, R=3, N=7, chunk=5, frozen=False, **unused):
    arrays = draw_parameters(rng)
    for batch, clips in enumerate((R, N)):  # in the first one every rank has a clip
        arrays |= {f"x{batch}": rng.standard_normal((clips, 3)), f"dy{batch}": rng.standard_normal((clips, 2))}
    return arrays | dict(R=R, chunk=chunk, frozen=frozen)


def all_reduce(module, R, chunk, frozen, x0, dy0, x1, dy1, **arrays):
    """Two batches over R ranks; rank r has rows r, r + R ... The results of all ranks, on the first axis."""
    R, meeting, team = int(R), Meeting(int(R)), []
    team.extend(Rank(r, team, meeting) for r in range(R))
    trained = [key for key in SHAPES if not (frozen and key == "fc1/b")]
    found, errors = [None] * R, {}

    def work(rank):
        net = network(named(arrays, "w "))
        first, backward = net.layers["fc1"], net.layers["fc1"].backward

        def watched(dy, cache):
            team[rank].first_layer_is_done = True
            return backward(dy, cache)

        first.backward = watched
        params = {key: net.params[key] for key in trained}
        reducer = module.Reducer(team[rank], params, int(chunk) * x0.itemsize)
        outputs = {}
        for n, (x, dy) in enumerate(((x0[rank::R], dy0[rank::R]), (x1[rank::R], dy1[rank::R]))):
            y, cache = net.forward(x) if len(x) else (None, None)
            grads = reducer(net, dy if len(x) else None, cache)
            outputs |= dotted(f"batch {n}: d ", {key: grads[key].copy() for key in trained})
            if n == 0:
                outputs["chunks that start before the first layer is computed"] = team[rank].early > 0
        found[rank] = outputs

    def one_rank(rank):
        try:
            work(rank)
        except Exception as error:
            errors[rank] = error
        meeting.leave(rank)

    threads = [threading.Thread(target=one_rank, args=(rank,), daemon=True) for rank in range(R)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise min(errors.values(), key=lambda error: "waits in finish" in str(error))
    return {key: np.stack([outputs[key] for outputs in found]) for key in found[0]}


def job_of(base, arrays, settings, downpour):
    """A job whose batch n has the gradient curve_n (w - goal_n); base: the class Job."""
    from snippets.training.parameters import flatten, views
    from snippets.training.step import Gradient

    class Task(base):
        seen = None  # the parameters at which gradients were computed

        def gradient(self, run, number):
            trained = self.trained()
            w = flatten(trained)
            self.seen = [*(self.seen or ()), w]
            off = w - arrays["goal"][number][: w.size]
            g = arrays["curve"][number][: w.size] * off
            found = Gradient(0.5 * (g * off).sum(), None, 1.0, views(g, trained), np.sqrt((g * g).sum()))
            return found, {"loss": float(found.loss), "weight": 1.0, "hits": 0, "clips": 1}

    videos = SimpleNamespace(classes=["left", "right"])
    task = Task.__new__(Task)
    task.net, task.dataset, task.settings, task.downpour = network(named(arrays, "w ")), videos, settings, downpour
    task.per_epoch, task.total, task.content = 3, len(arrays["goal"]), None
    return task


def settings_of(lr, frozen, clip):
    from snippets.training.settings import Settings

    return Settings(
        batch=1, lr=float(lr), decay=0.8, momentum=0.7, weight_decay=0.05, clip_norm=float(clip) or None,
        groups={"fc1/b": 0.0} if frozen else {"fc2/": 0.5},
    )  # fmt: skip


def trained_size(frozen):
    """How many parameters are trained."""
    return SIZE - (SHAPES["fc1/b"][0] if frozen else 0)


def draw_push(shard, rng, R=3, steps=4, push=2, clip=2.0, frozen=False, rule="momentum", **unused):
    """Pushes of R replicas in random order: some come twice, some never; versions of the past, one of the future."""
    arrays = draw_parameters(rng)
    done, rows, dropped = [0] * R, [], 0
    for n in range(R * (steps + 2)):
        replica = int(rng.integers(R))
        first, done[replica] = done[replica], done[replica] + push
        if n % 5 == 3:  # it never arrives
            dropped += 1
            continue
        rows.append((replica, first, first + push, max(0, len(rows) - int(rng.integers(4)))))
        if n % 4 == 1:  # and once more, or an older one
            rows.append((*rows[int(rng.integers(len(rows)))][:3], len(rows)))
    rows[-1] = (*rows[-1][:3], 99)  # the shard has gone back to a checkpoint since
    size = trained_size(frozen)
    first, end = size * 1 // 3, size * 2 // 3
    gradients = rng.standard_normal((len(rows), end - first))
    norms = np.sqrt((gradients**2).sum(axis=1)) * rng.uniform(1, 2, len(rows))
    return arrays | dict(
        pushes=np.array(rows), gradients=gradients, norms=norms, lr=0.1, clip=clip, frozen=frozen, rule=rule, R=R,
        checkpoint_every=rng.integers(2, 4),
    )  # fmt: skip


def push(module, pushes, gradients, norms, lr, clip, frozen, rule, R, checkpoint_every, **arrays):
    from snippets.training.distributed.downpour import Downpour, Job, Part

    downpour = Downpour(int(R), 3, rule=str(rule), checkpoint_every=int(checkpoint_every))
    job = job_of(Job, arrays | dict(goal=np.zeros((12, 1))), settings_of(lr, frozen, clip), downpour)
    shard, due, w, record = module.Shard(job, 1), [], [], 0
    for (replica, first, end, version), gradient, norm in zip(pushes.tolist(), gradients, norms, strict=True):
        part = Part(first, end, gradient, float(norm), version, [record])
        due.append(bool(shard.push(replica, part)))
        w.append(shard.vector.copy())
        record += 1
    lost = [(e["replica"], e["first"], e["end"]) for e in shard.events if e["event"] == "lost"]
    stale = np.array(sorted((int(k), n) for k, n in shard.staleness.items() if n)).reshape(-1, 2)
    return {
        "w after each push": w, "version": shard.opt.steps, "steps done": shard.done,
        "is a checkpoint due": due, "staleness and how often": stale,
        "lost (replica, first, end)": np.array(lost, int).reshape(-1, 3), "records": np.array(shard.records, int),
    }  # fmt: skip


def draw_replica(downpour, rng, steps=4, fetch=2, push=2, start=0, bound=-1, ahead=0, frozen=False, **given):
    """bound: of staleness, -1 for none. Answers of three shards, more than are needed."""
    batches, size, count = 2 * (start + steps), trained_size(frozen), 3 * steps + 2
    batch = dict(goal=rng.standard_normal((batches, SIZE)), curve=rng.uniform(0.5, 1.5, (batches, SIZE)))
    answers = dict(
        answers=rng.standard_normal((count, size)),
        versions=np.sort(rng.integers(1, 30, (count, 3)), axis=0),
        slowest=start + np.arange(count)[:, None] // 2 + rng.permuted(np.tile([0, 0, 1], (count, 1)), axis=1),
    )
    options = dict(fetch=fetch, push=push, start=start, bound=bound, ahead=ahead, frozen=frozen)
    options |= dict(clip=given.get("clip", 2.0), rule=given.get("rule", "momentum"), lr=0.1)
    return draw_parameters(rng) | batch | options | answers


KINDS = ("Ask", "Take", "Compute", "Push", "Wait")
MOST = 400  # requests, where a replica does not end


def replica(module, fetch, push, start, bound, ahead, frozen, clip, rule, lr, answers, versions, slowest, **arrays):
    """The requests of the second of two replicas over three shards, whose answers are made up."""
    from snippets.training.distributed.shard import Answer

    staleness = None if bound < 0 else float(bound)
    options = dict(fetch=int(fetch), push=int(push), rule=str(rule), staleness=staleness, ahead=int(ahead))
    job = job_of(module.Job, arrays, settings_of(lr, frozen, clip), module.Downpour(2, 3, **options))
    ranges, steps = [job.range(i) for i in range(3)], module.replica(job, 1, int(start))
    seen, number, answer = [], 0, None
    while len(seen) < MOST:
        try:
            request = steps.send(answer)
        except StopIteration:
            break
        seen.append(request)
        answer = None
        if type(request).__name__ == "Take":
            parts = zip(ranges, versions[number].tolist(), slowest[number].tolist(), strict=True)
            answer = [Answer(answers[number][a:b], version, least) for (a, b), version, least in parts]
            number += 1
    pushes = [request for request in seen if type(request).__name__ == "Push"]
    records = [record["batch"] for request in pushes for record in request.records]
    asks = [request.step for request in seen if type(request).__name__ == "Ask"]
    return {
        "requests (0 Ask, 1 Take, 2 Compute, 3 Push, 4 Wait)": [KINDS.index(type(r).__name__) for r in seen],
        "steps of the Asks": asks, "steps of the pushes": [(p.first, p.end) for p in pushes],
        "w of each gradient": job.seen, "gradients of the pushes": [p.gradient for p in pushes],
        "norms of the pushes": [p.norm for p in pushes], "versions of the pushes": [p.versions for p in pushes],
        "batches in the records": records,
    }  # fmt: skip


def draw_twist(module, rng, N=7, steps=4, zeros=False, **unused):
    """zeros: w begins at zero."""
    w, v = rng.standard_normal((2, N, 3))
    rates = dict(lr=rng.uniform(0.05, 0.2), momentum=rng.uniform(0.5, 0.9), weight_decay=rng.uniform(0.05, 0.2))
    return dict(w=0 * w if zeros else w, v=0.1 * v, g=rng.standard_normal((steps, N, 3)), **rates)


def twist(module, w, v, g, lr, momentum, weight_decay):
    for one in g:
        w, v = module.twist_step(w, v, one, float(lr), float(momentum), float(weight_decay))
    return dict(w=w, v=v)


CALLS = {
    "sgd": (draw_sgd, sgd),
    "all_reduce": (draw_all_reduce, all_reduce),
    "push": (draw_push, push),
    "replica": (draw_replica, replica),
    "twist": (draw_twist, twist),
    "hunt": (None, hunt),
}
HUNT = "sgd", draw_sgd  # the question whose function is run by others in the bug hunt, and its inputs
OWN = {}
