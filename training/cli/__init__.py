"""The command line: one module per family of commands, with their options beside the functions that they run.

Read `main` first: it collects the commands, runs one, and turns errors that a user can correct into one line. `options`
has what several commands share, `errors` the words for an error; `files` says which options are files, and checks them
before any work:

    train         train, expand                 experiments   demo, report, tables, claims, compare
    evaluate      evaluate, fuse                scale         scaling, simulate
    predict       predict                       weights       import
    features      features                      summary       summary
    assignment    assignment                    doctor        doctor, bench
    dataset       make-data, check-data, flow, flow-error

Options that are settings of a network, of data or of a training are no concern of this package: they are fields of the
dataclasses NetConfig, DataSettings, Settings, Downpour and Cluster, each with its default, range and help text. Nothing
outside of this package imports it.
"""
