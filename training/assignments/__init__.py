"""Course assignments: the library with holes, and an autograder that needs no solution.

    read first   manifest (what an assignment.toml says) · release (the students' tree, the teacher's grader)
    a release    cut (function bodies taken out, and the search for leaks) · bugs (planted mistakes)
    grading      worker (runs one question, a process of its own) · calls (what every cases.py shares)
                 compare (what is wrong, in words) · grade (questions, points, results.json)
                 submit (the zip that a student hands in)

The assignments themselves are in notebooks/assignments/, the guide for students and teachers in docs/assignments.md.
"""
