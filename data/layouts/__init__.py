"""How data sets lie on disk, and which videos train and which test. Read first `table`, which has a row per layout.

table       `LAYOUTS` and `VideoFolder`: finds the layout of a folder, lists and checks its videos
manifest    a table of videos, classes, groups and sides, for any data set; Kinetics' lists
ucf101 sports1m hmdb51     the lists that are published with these data sets
folder      one folder per class, also in folders of train, val and test
splits      the records `Video` and `Split`, groups, and lists of videos to skip
survey      `check_dataset`: decodes every video and reports what is wrong
"""
