"""Start a network from another one's parameters: network expansion (section 3.3) and everything like it.

Parameters that have the same name and shape in both networks are copied: a single-frame network into one of 30 frames,
that into one of 120, a raw-frame network into one for optical flow. The fully connected layers stand behind the pool
in a pooling network and inside the tower of an LSTM (`fc1` and `tower/fc1`); they are the same layers and are copied
as such.
"""

from snippets.layers.device.xp import xp_of


def other_name(key):
    """The name that the same layer has on the other side of the temporal pool."""
    return key.removeprefix("tower/") if key.startswith("tower/") else f"tower/{key}"


def warm_start(net, params):
    """Copy what fits from the flat dict `params` into `net`, in place; returns the names copied and the names left new.

    Raises ValueError if nothing fits at all, or nothing but the last layer.
    """
    copied, new = [], []
    for key, a in net.params.items():
        source = next((params[k] for k in (key, other_name(key)) if k in params and params[k].shape == a.shape), None)
        if source is None:
            new.append(key)
        else:
            a[...] = xp_of(a).asarray(source)
            copied.append(key)
    if len(copied) < len(net.params) and all(key.startswith("scores/") for key in copied):  # these fit by accident
        raise ValueError(
            f"none of the {len(params)} parameters given fits this network (its first is {next(iter(net.params))}); "
            "expected a network with the same tower and width"
        )
    return copied, new


def expand(net, params):
    """Network expansion proper: every array of `net` is one of `params`, and none of these is left over.

    ValueError says what is missing, for example where parameters depend on the number of frames.
    """
    copied, new = warm_start(net, params)
    if new:
        key = new[0]
        there = next((params[k].shape for k in (key, other_name(key)) if k in params), "absent")
        raise ValueError(
            f"the network cannot be expanded to this one: {len(new)} arrays would be new, the first {key}, "
            f"{net.params[key].shape} in the new network and {there} in the old one; train it with --init, which "
            "starts from what fits"
        )
    left = [key for key in params if not {key, other_name(key)} & set(copied) and "/aux" not in key]
    if left:
        raise ValueError(
            f"the network cannot be expanded to this one: {', '.join(left)} of the old network would be left behind"
        )
