#!/usr/bin/env python3
"""Writes slots.tsv: slots of many schedules around changes of time zones, found by watching the wall clock.

    pip install tzdata==2026.6        # the edition that is compiled in: 2026f, of `aurora --version`
    PYTHONTZPATH= python3 slots.py > slots.tsv

Nothing is computed as the planner does it. Minute by minute of UTC, the wall clock is read; a slot is where it first
gets to a minute that the schedule names, or past one. So a minute that is skipped in spring counts as soon as the clock
is past it, and one that is shown twice in autumn counts once, the first time.

Columns: schedule, zone, the minute since 1970 after which it is looked, and how many minutes after it the slots are.
"""

import importlib.resources
import random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

CASES = 4_000
SLOTS = 4
YEARS = 30
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split()


def values(field, first, last, names=()):
    """The values that a field names; None for any."""
    if field == "*":
        return None
    number = {name: first + index for index, name in enumerate(names)}
    found = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            begin, end = first, last
        elif "-" in span:
            begin, end = (number.get(part) if part in number else int(part) for part in span.split("-"))
            if end < begin and span.endswith("SUN"):
                end = 7
        else:
            begin = number[span] if span in number else int(span)
            end = max(last, begin) if step else begin
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


class Schedule:
    def __init__(self, text):
        minute, hour, day, month, weekday = text.split()
        self.minutes = values(minute, 0, 59)
        self.hours = values(hour, 0, 23)
        self.days = values(day, 1, 31)
        self.months = values(month, 1, 12, MONTHS)
        self.weekdays = values(weekday, 0, 6, WEEKDAYS)

    def names_hour(self, wall):
        if self.months and wall.month not in self.months or self.hours and wall.hour not in self.hours:
            return False
        by_day = self.days and wall.day in self.days
        by_weekday = self.weekdays and {wall.isoweekday(), wall.isoweekday() % 7} & self.weekdays
        if self.days and self.weekdays:
            return bool(by_day or by_weekday)
        return bool(by_day if self.days else by_weekday if self.weekdays else True)

    def names(self, wall):
        return (not self.minutes or wall.minute in self.minutes) and self.names_hour(wall)

    def names_any(self, wall, until):
        """Whether a minute from `wall` to `until` is named, both included."""
        while wall <= until:
            if not self.names_hour(wall):
                wall = wall.replace(minute=0) + HOUR
            elif self.names(wall):
                return True
            else:
                wall += MINUTE
        return False


def slots(schedule, zone, after):
    """The first slots after a minute of UTC."""

    def wall(at):
        return at.replace(tzinfo=timezone.utc).astimezone(zone).replace(tzinfo=None, fold=0)

    at = after.replace(minute=0) - timedelta(days=3)
    highest = wall(at - MINUTE)
    end = after + timedelta(days=366 * YEARS)
    found = []
    while at < end and len(found) < SLOTS:
        last = at + HOUR - MINUTE
        is_even = wall(last) - wall(at) == last - at and wall(at) - highest == MINUTE
        if is_even and not schedule.names_any(wall(at), wall(last)):
            highest = wall(last)
            at += HOUR
            continue
        for minute in range(60):
            now = at + minute * MINUTE
            shown = wall(now)
            if shown > highest:
                if schedule.names_any(highest + MINUTE, shown) and now > after:
                    found.append(now)
                highest = shown
        at += HOUR
    return found[:SLOTS]


def changes(zone, year):
    """The hours of a few years in which a zone changes its offset."""
    at = datetime(year, 1, 1, tzinfo=timezone.utc)
    offset = at.astimezone(zone).utcoffset()
    for _ in range(366 * 3):
        later = at + timedelta(days=1)
        if later.astimezone(zone).utcoffset() != offset:
            while (at + HOUR).astimezone(zone).utcoffset() == offset:
                at += HOUR
            yield at.replace(tzinfo=None)
            offset = later.astimezone(zone).utcoffset()
        at = later


def some(draw, first, last, count):
    return ",".join(str(value) for value in sorted(draw.sample(range(first, last + 1), count)))


def expression(draw):
    minute = draw.choice(
        ["*", "0", "0", "30", "59", "*/5", "*/20", "7/13", "10-20", some(draw, 0, 59, 3), some(draw, 0, 59, 1)]
    )
    hour = draw.choice(
        ["*", "*/2", "*/6", "0", "1", "2", "2", "3", "0-3", "1-5/2", "23", "22-23", some(draw, 0, 23, 2), some(draw, 0, 23, 4)]
    )
    rare = draw.random() < 0.15
    day = draw.choice(["1", "15", "28-31", "*/2", "29", "31", some(draw, 1, 28, 2)]) if draw.random() < 0.3 else "*"
    month = draw.choice(["3", "MAR,OCT", "4-11", "*/5", "FEB", "10/1"]) if rare else "*"
    weekday = (
        draw.choice(["SUN", "0", "7", "SAT-SUN", "MON-FRI", "1-5", "SUN-SUN", "0-SUN", "7/2", "5-7", "*/3", "FRI-SUN/2"])
        if draw.random() < 0.35
        else "*"
    )
    if day == "31" and month == "FEB":
        day = "29"
    return f"{minute} {hour} {day} {month} {weekday}"


def main():
    draw = random.Random(20261128)
    zones = sorted(name for name in available_timezones() if name not in ("Factory", "localtime", "posixrules"))
    edition = (importlib.resources.files("tzdata") / "zoneinfo" / "tzdata.zi").read_text().split("\n")[0].split()[-1]
    print(f"# IANA {edition}")
    epoch = datetime(1970, 1, 1)
    for case in range(CASES):
        name = zones[case % len(zones)]
        zone = ZoneInfo(name)
        near = list(changes(zone, draw.randrange(2007, 2060)))
        if near and draw.random() < 0.8:
            after = draw.choice(near) - draw.randrange(0, 60 * 36) * MINUTE
        else:
            after = datetime(2007, 1, 1) + draw.randrange(0, 60 * 24 * 366 * 60) * MINUTE
        text = expression(draw)
        found = slots(Schedule(text), zone, after)
        minutes = [str((slot - after) // MINUTE) for slot in found]
        print(text, name, (after - epoch) // MINUTE, ",".join(minutes), sep="\t")


main()
