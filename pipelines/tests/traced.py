#!/usr/bin/env python3
"""Runs the command's tests under strace, and looks at every file that the command removed, renamed or wrote over.

usage: traced.py [TEST ...]       from the project's root, with strace installed; the tests of pipelines/tests by default

A run may remove, rename and truncate what it made itself, its partial files (.refvsr-*.part) and what lies in .refvsr and *.adapt folders. It
may rename over another file only where the command line says so: results (--json and the like), and -o with --overwrite.
"""
import os, pathlib, re, subprocess, sys, tempfile

CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
# Tests that send signals to what they start, which here is strace.
LEFT_OUT = ["a_terminal_that_goes", "killed_and_interrupted", "two_processes_do_not_write"]
RESULTS = ["--json", "--csv", "--markdown", "--report", "--strip"]


def plain(text):
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")


def own(path):
    return any(part == ".refvsr" or part.endswith(".adapt") or re.fullmatch(r"\.refvsr-[0-9a-f]{16}\.part", part) for part in path.parts)


def told(arguments, path, links):
    for option, value in zip(arguments, arguments[1:]):
        value = pathlib.Path(value)
        if option in RESULTS and os.path.normpath(value) == str(path):
            return True
        if option in ("-o", "--output") and "--overwrite" in arguments:
            for _ in links:
                value = links.get(value, value)
            beside = value.with_suffix(".png") if {"adapt", "preview"} & set(arguments) else value
            if path in (value, beside) or value in path.parents:
                return True
    return False


def look(run):
    """The wrongs of one run, and how many calls were looked at."""
    lines, wrongs, made, links, arguments, count = [], [], set(), {}, [], 0
    for file in sorted(run.glob("trace.*")):
        lines += file.read_text(errors="replace").splitlines()
    for line in lines:
        call = CALL.match(line)
        if not call or int(call[3]) < 0:
            continue
        name, text = call[1], call[2]
        if name == "execve" and not arguments:
            # The environment comes behind the arguments.
            arguments = [plain(a) for a in re.findall(r'"((?:[^"\\]|\\.)*)"', text.split('"], [')[0] + '"')[1:]]
            continue
        paths = [pathlib.Path(os.path.normpath(os.path.join(at or "", plain(path)))) for at, path in PATH.findall(text)]
        if not paths:
            continue
        path = paths[-1]
        fine = lambda p: p in made or own(p) or p.is_relative_to("/dev") or p.is_relative_to("/proc") or "registry" in p.name
        if name.startswith("readlink"):
            # strace gives the link's content as a second text; tests' folders are gone by now.
            link, content = [plain(word) for word in re.findall(r'"((?:[^"\\]|\\.)*)"', text)[:2]]
            links[pathlib.Path(link)] = pathlib.Path(os.path.normpath(os.path.join(os.path.dirname(link), content)))
        elif name in ("mkdir", "mkdirat") or "O_CREAT" in text and ("O_EXCL" in text or own(path)):
            made.add(path)
        elif name in ("unlink", "unlinkat", "rmdir") or "O_TRUNC" in text or name == "truncate":
            count += 1
            if not fine(path) and not told(arguments, path, links):
                wrongs.append(line)
        elif name.startswith("rename"):
            count += 1
            kept = "RENAME_NOREPLACE" in text
            if not fine(paths[0]) or not (kept or fine(path) or told(arguments, path, links)):
                wrongs.append(line)
            made.add(path)
    return arguments, wrongs, count


def main():
    # A killed run of the tests of interruptions cannot be traced twice over.
    tests = sys.argv[1:] or ["belongings", "collections", "sharing", "transcode", "damage", "sync", "evaluate", "compare"]
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, REFVSR_TEST_TRACE=folder)
        chosen = [word for test in tests for word in ("--test", test)]
        skipped = [word for name in LEFT_OUT for word in ("--skip", name)]
        command = ["cargo", "xtask", "test", "--", "-p", "refvsr-pipelines", *chosen, "--", *skipped]
        passed = subprocess.run(command, env=environment).returncode == 0
        runs = [look(run) for run in pathlib.Path(folder).iterdir()]
    for arguments, wrongs, _ in runs:
        for line in wrongs:
            print(f"{' '.join(arguments)}\n    {line}")
    calls, wrong = sum(run[2] for run in runs), sum(len(run[1]) for run in runs)
    print(f"{len(runs)} runs, {calls} files removed, renamed or written over, {wrong} of them not the run's own")
    sys.exit(0 if passed and runs and not wrong else 1)


if __name__ == "__main__":
    main()
