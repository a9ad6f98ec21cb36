"""Where pictures begin: the one place that imports matplotlib, and only when something is drawn.

It takes half a second and some 400 modules, which `snippets --help` and a training run have no use for.
"""


def new_figure(width, height, **options):
    """An empty matplotlib Figure of width × height inches that draws without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), **options)
    FigureCanvasAgg(figure)
    return figure
