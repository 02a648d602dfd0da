#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The four carbon services, as far as our clients use them, replaying a table at a clock that a test sets.

    mock_feeds.py TRACE PORT-FILE [--seed N]

TRACE is a CSV: time,ZONE,ZONE... in g/kWh by the hour. The port is written to PORT-FILE. What is told of the future is the table with an error
that grows with the lead. Services: /em (Electricity Maps v3; auth-token: em-token), /wt (WattTime v3; freddo:frog), /gb (Carbon Intensity) and
/ec (Energy-Charts).
A test steers it by PUT:

    /mock/clock   2026-03-01T10:00:00Z     what time it is
    /mock/fail    0.1                      the share of requests that fail, one way or another; at 1 none gives anything
    GET /mock/counts                       how many answers of each way were given, as JSON
"""
import argparse
import csv
import datetime
import email.utils
import functools
import hashlib
import http.server
import json
import os
import random
import threading
import time
import urllib.parse

UTC = datetime.timezone.utc
HOUR = datetime.timedelta(hours=1)
POUNDS = 1 / 0.45359237
# Ways in which a request fails (few are slow, so that a test is not); those below it give an answer that is less than it should be.
FAILURES = 4 * ["401", "403", "429-seconds", "429-date", "500", "503", "cut", "garbage", "html", "empty", "wrong-zone", "wrong-unit"] + ["slow"]
FLAWS = 4 * ["nulls", "gaps", "estimated", "stale"]


def parse_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def rfc3339(when, suffix="Z"):
    return when.strftime("%Y-%m-%dT%H:%M:%S") + suffix


@functools.lru_cache(maxsize=10000)
def noise_of(*what):
    """Between -1 and 1, the same for the same hours."""
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:4], "big") / 2**31 - 1


class World:
    """The table and the clock. Guarded by its lock."""

    def __init__(self, trace, seed):
        self.lock = threading.Lock()
        with open(trace) as file:
            rows = list(csv.DictReader(file))
        self.table = {zone: {parse_time(row["time"]): float(row[zone]) for row in rows} for zone in rows[0] if zone != "time"}
        self.clock = parse_time(rows[0]["time"])
        self.seed, self.fail, self.requests, self.counts = seed, 0.0, 0, {}

    def actual(self, zone, when):
        """By the hour, straight lines between."""
        hour = when.replace(minute=0, second=0, microsecond=0)
        share = (when - hour) / HOUR
        here, after = self.table[zone].get(hour), self.table[zone].get(hour + HOUR)
        if here is None or (after is None and share > 0):
            return None
        return here if share == 0 else here * (1 - share) + after * share

    def expected(self, zone, when, issued):
        """Too low by a little, and wrong by up to a third at the end of the second day."""
        value = self.actual(zone, when)
        if value is None:
            return None
        lead = max(0.0, (when - issued) / HOUR)
        noise = noise_of(self.seed, zone, int(issued.timestamp()) // 3600, int(when.timestamp()) // 3600)
        return max(0.0, value * (0.95 + 0.3 * noise * min(1, lead / 48)))

    def way(self):
        """How the next request goes: the same for the same seed and number of request."""
        draw = random.Random(f"{self.seed} {self.requests}")
        self.requests += 1
        ways = FAILURES if self.fail >= 1 else FAILURES + FLAWS
        way = draw.choice(ways) if draw.random() < self.fail else "good"
        self.counts[way] = self.counts.get(way, 0) + 1
        return way


class Refused(Exception):
    def __init__(self, status, body):
        self.status, self.body = status, body


def times(first, count, step):
    return [first + step * i for i in range(count)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    world = None

    def log_message(self, *arguments):
        pass

    def answer(self, status, body, headers=(), cut=0):
        body = body if isinstance(body, bytes) else body.encode()
        head = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
        if cut:
            self.close_connection = True
        self.wfile.write("\r\n".join(head).encode() + b"\r\n\r\n" + body[:len(body) - cut])

    def do_PUT(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode().strip()
        with self.world.lock:
            if self.path == "/mock/clock":
                self.world.clock = parse_time(text)
            elif self.path == "/mock/fail":
                self.world.fail = float(text)
        self.answer(200, "{}")

    def do_GET(self):
        if self.path == "/mock/counts":
            with self.world.lock:
                return self.answer(200, json.dumps(self.world.counts))
        with self.world.lock:
            way = self.world.way()
            now = self.world.clock
        url = urllib.parse.urlsplit(self.path)
        query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        if way == "slow":
            time.sleep(0.6)  # longer than the client waits
            self.close_connection = True
            return None
        try:
            body = self.served(url.path.split("/")[1:], query, now, way)
        except Refused as refused:
            return self.answer(refused.status, refused.body)
        if way in ("401", "403", "500", "503"):
            return self.answer(int(way), json.dumps({"message": f"mock says {way}"}))
        if way == "429-seconds":
            return self.answer(429, "{}", ["Retry-After: 120"])
        if way == "429-date":
            return self.answer(429, "{}", ["Retry-After: " + email.utils.format_datetime(now + HOUR / 4, usegmt=True)])
        text = json.dumps(body)
        if way == "cut":
            return self.answer(200, text, cut=len(text) // 2)
        if way == "garbage":
            return self.answer(200, bytes(random.Random(text).randbytes(len(text))))
        if way == "html":
            return self.answer(200, "<html><body>Bad gateway</body></html>")
        if way == "empty":
            return self.answer(200, "")
        return self.answer(200, text)

    def served(self, parts, query, now, way):
        service, rest = parts[0], parts[1:]
        if service == "em":
            return self.electricity_maps(rest, query, now, way)
        if service == "wt":
            return self.watttime(rest, query, now, way)
        if service == "gb":
            return self.gb(rest, now, way)
        if service == "ec":
            return self.energy_charts(query, now, way)
        raise Refused(404, "{}")

    def thinned(self, rows, way):
        """With nulls or gaps, where it is to have them. A row is a list whose last value is the intensity."""
        draw = random.Random(f"{self.world.seed} {len(rows)}")
        if way == "gaps":
            rows = [row for row in rows if draw.random() > 0.3] or rows[:1]
        if way == "nulls":
            rows = [row if draw.random() > 0.3 else [*row[:-1], None] for row in rows]
        return rows

    def electricity_maps(self, parts, query, now, way):
        if self.headers.get("auth-token") != "em-token":
            raise Refused(401, '{"message":"Invalid auth-token"}')
        zone, hour = query.get("zone"), now.replace(minute=0, second=0, microsecond=0)
        if zone not in self.world.table:
            raise Refused(404, '{"message":"Zone not found"}')
        told = "XX" if way == "wrong-zone" else zone
        kind = "direct" if way == "wrong-unit" else "lifecycle"
        issued = hour - 12 * HOUR if way == "stale" else hour

        def row(when, value):
            return {"zone": told, "carbonIntensity": value, "datetime": rfc3339(when, ".000Z"), "updatedAt": rfc3339(now, ".000Z"),
                    "emissionFactorType": kind, "isEstimated": way == "estimated", "estimationMethod": None}
        if parts == ["v3", "carbon-intensity", "latest"]:
            return row(hour, self.world.actual(zone, hour))
        if parts == ["v3", "carbon-intensity", "history"]:
            rows = self.thinned([[when, self.world.actual(zone, when)] for when in times(hour - 23 * HOUR, 24, HOUR)], way)
            return {"zone": told, "history": [row(*one) for one in rows]}
        if parts == ["v3", "carbon-intensity", "forecast"]:
            rows = self.thinned([[when, self.world.expected(zone, when, issued)] for when in times(issued, 48, HOUR)], way)
            scale = 1000 if way == "wrong-unit" else 1  # a row of a forecast does not say what it counts
            forecast = [{"carbonIntensity": value and value * scale, "datetime": rfc3339(when, ".000Z")} for when, value in rows]
            return {"zone": told, "forecast": forecast, "updatedAt": rfc3339(issued, ".000Z")}
        raise Refused(404, "{}")

    def watttime(self, parts, query, now, way):
        if parts == ["login"]:
            if self.headers.get("Authorization") != "Basic ZnJlZGRvOmZyb2c=":
                raise Refused(401, '{"error":"unauthorized"}')
            return {"token": f"token-{int(now.timestamp())}"}
        authorization = self.headers.get("Authorization", "")
        if not authorization.startswith("Bearer token-") or now.timestamp() - int(authorization[13:]) >= 1800:
            raise Refused(401, '{"error":"token has expired"}')
        zone = {"CAISO_NORTH": "US-CAL-CISO"}.get(query["region"])
        if zone is None:
            raise Refused(403, '{"error":"region is not in your plan"}')
        step = datetime.timedelta(minutes=5)
        here = now - (now - now.replace(minute=0, second=0)) % step
        issued = here - 12 * HOUR if way == "stale" else here
        if parts == ["v3", "forecast"]:
            rows = [[when, self.world.expected(zone, when, issued)] for when in times(issued, int(query["horizon_hours"]) * 12, step)]
        else:
            first, last = parse_time(query["start"]), parse_time(query["end"])
            first = first - (first - first.replace(minute=0, second=0)) % step
            rows = [[when, self.world.actual(zone, when)] for when in times(first, int((last - first) / step), step)]
        rows = self.thinned([row for row in rows if row[1] is not None], way)
        meta = {"data_point_period_seconds": 300, "region": "XX" if way == "wrong-zone" else query["region"], "warnings": [],
                "signal_type": query["signal_type"], "model": {"date": "2026-01-01"}, "generated_at": rfc3339(issued, "+00:00"),
                "units": "kg_co2_per_kwh" if way == "wrong-unit" else "lbs_co2_per_mwh"}
        data = [{"point_time": rfc3339(when, "+00:00"), "value": None if value is None else value * POUNDS} for when, value in rows]
        return {"data": data, "meta": meta}

    def gb(self, parts, now, way):
        first, step = parse_time(parts[1].replace("Z", ":00Z")), HOUR / 2
        if way == "wrong-zone":
            return {"data": {"regionid": 13, "dnoregion": "UKPN London", "shortname": "London", "data": []}}
        if way == "wrong-unit":
            step = HOUR
        if parts[2] == "pt24h":
            first -= 24 * HOUR
        rows = [[when, self.world.expected("GB", when, now)] for when in times(first, 48 if parts[2] == "pt24h" else 96, step)]
        rows = self.thinned([row for row in rows if row[1] is not None], way)
        actual = {when: self.world.actual("GB", when) for when, _ in rows if when + step <= now}
        return {"data": [{"from": when.strftime("%Y-%m-%dT%H:%MZ"), "to": (when + step).strftime("%Y-%m-%dT%H:%MZ"),
                          "intensity": {"forecast": value and round(value), "actual": actual.get(when) and round(actual[when]),
                                        "index": "moderate"}} for when, value in rows]}

    def energy_charts(self, query, now, way):
        zone = query["country"].upper()
        if zone not in self.world.table:
            raise Refused(422, '{"detail":[{"loc":["query","country"],"msg":"no such country","type":"enum"}]}')
        midnight = now.replace(hour=0, minute=0, second=0)
        rows = self.thinned([[when, self.world.expected(zone, when, now)] for when in times(midnight, 48, HOUR)], way)
        past = [self.world.actual(zone, when) if when + HOUR <= now else None for when, _ in rows]
        future = [None if when + HOUR <= now else value for when, value in rows]
        if way == "wrong-unit":
            past, future = ([value and value * 1000 for value in column] for column in (past, future))
        if way == "wrong-zone":
            past = past[:-1]
        return {"unix_seconds": [int(when.timestamp()) for when, _ in rows], "co2eq": past, "co2eq_forecast": None if way == "stale" else future,
                "substitute": way == "estimated", "deprecated": False}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that stops waiting is what is tested


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("port_file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    Handler.world = World(options.trace, options.seed)
    server = Server(("127.0.0.1", 0), Handler)
    with open(options.port_file + ".new", "w") as file:
        file.write(str(server.server_address[1]))
    os.rename(options.port_file + ".new", options.port_file)
    server.serve_forever()


main()
