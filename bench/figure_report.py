# SPDX-License-Identifier: Apache-2.0
"""What the scripts that run programs of figures share: traces, a machine's name, and tables of the lines that bench/figure_lines.h prints."""
import datetime
import gzip
import os
import platform
import shutil
import subprocess


def unpack(data, scratch):
    for name in sorted(os.listdir(data)):
        path = os.path.join(data, name)
        if name.endswith(".csv.gz"):
            with gzip.open(path) as packed, open(os.path.join(scratch, name[:-3]), "wb") as plain:
                shutil.copyfileobj(packed, plain)
        elif name.startswith("ref_"):
            shutil.copy(path, scratch)


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}"


def report(title, made_by, program, titles, notes, output):
    """Runs a program, writes its tables; returns 1 if a figure is not as expected, 2 if the program could not run."""
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        return 2
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    out = [f"# {title}", "", f"{datetime.date.today()}, {machine()}.", "", f"Made by `{made_by}`", ""]
    for figure in sorted({row[0] for row in rows}):
        out += [f"## {titles[figure]}", "", notes[figure], "", "| | expected | got | rule | as expected |", "| --- | ---: | ---: | --- | --- |"]
        for _, name, expected, got, rule, passed in (row for row in rows if row[0] == figure):
            out.append("| " + " | ".join([name, expected, got, rule, passed if rule else ""]) + " |")
        out.append("")
    with open(output, "w") as file:
        file.write("\n".join(out))
    print("\n".join(out))
    wrong = sum(row[5] == "NO" for row in rows)
    print(f"{sum(bool(row[4]) for row in rows) - wrong} as expected, {wrong} not")
    return 1 if wrong else 0
