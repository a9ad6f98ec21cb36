"""A stand-in for a function, which keeps what it is called with: to see what a command hands on."""


def record(monkeypatch, module, name, answer=None):
    """Put a stand-in at module.name; gives the list of its calls: the arguments, then (name, value) of those by name.

    answer: what it returns, or a function that is called for it.
    """
    calls = []

    def call(*args, **options):
        calls.append((*args, *options.items()))
        return answer(*args, **options) if callable(answer) else answer

    monkeypatch.setattr(module, name, call)
    return calls
