"""The paper again: whole experiments, each one command, from data to a page with numbers.

    demo            `snippets demo`: three networks on rendered video; `demo_page` is its page. Start here.
    clips           `snippets demo --weights`: a page on real clips, seen by GoogLeNet
    report          `snippets report`: a page about a run, or several
    tables          `snippets tables`: the paper's tables; `paper` has their rows, `scales` the options at the
                    paper's scale, for a laptop and reduced, `trial` the commands of one seed, `tables_report` the page,
                    `price` what they will take
    claims/         `snippets claims`: sentences of the paper, and choices that it leaves open, tested
    compare         `snippets compare`: heads on one file of features
    runner          runs lists of commands, each once
    statistics      standard deviations and intervals

How fast things are is measured in `training.bench`; one training is `training.loop`.
"""
