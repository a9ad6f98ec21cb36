"""How data sets lie on disk, and which videos train and which test. Read first `table`, which has a row per layout.

table       `LAYOUTS` and `VideoFolder`: finds the layout of a folder, lists and checks its videos
ucf101 sports1m folder     the layouts: official lists, lists of links, one folder per class
splits      the records `Video` and `Split`, groups, and lists of videos to skip
survey      `check_dataset`: decodes every video and reports what is wrong
"""
