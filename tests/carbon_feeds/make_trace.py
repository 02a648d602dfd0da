#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A made-up trace by the hour, as CSV: make_trace.py DAYS. Days have a shape, weekends are cleaner, weather comes and goes; the same each time."""
import datetime
import math
import random
import sys

draw = random.Random(6)
start = datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc)
zones = {"DE": (380, 90), "GB": (200, 50), "US-CAL-CISO": (420, 160)}
weather = dict.fromkeys(zones, 0.0)
print("time," + ",".join(zones))
for hour in range(int(sys.argv[1]) * 24):
    when = start + datetime.timedelta(hours=hour)
    cells = []
    for zone, (level, swing) in zones.items():
        weather[zone] = 0.97 * weather[zone] + draw.gauss(0, 8)
        sun = -swing * math.exp(-((when.hour - 12.5) / 3.2) ** 2)
        evening = 0.4 * swing * math.exp(-((when.hour - 19) / 2.0) ** 2)
        value = level + sun + evening + weather[zone] - (0.1 * level if when.weekday() >= 5 else 0)
        cells.append(f"{max(20.0, value):.1f}")
    print(when.strftime("%Y-%m-%dT%H:%M:%SZ,") + ",".join(cells))
