#!/usr/bin/env python3
"""Writes zones.txt: what every zone's clocks do, as CPython's zoneinfo reads the tzdata package. An independent reading of the
same release that is built in, to compare with: pip install --target DIR tzdata; PYTHONTZPATH= PYTHONPATH=DIR zones.py > zones.txt
One line a zone: its name, and the SHA-256 of `instant:offset` lines, one for each change of the offset from 1970 to 2037."""
import hashlib, zoneinfo
from datetime import datetime, timedelta, timezone

import tzdata

zoneinfo.reset_tzpath(to=[])
START, END, DAY = 0, 2145916800, 86400
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def changes(zone):
    def offset(instant):
        return int((EPOCH + timedelta(seconds=instant)).astimezone(zone).utcoffset().total_seconds())

    before = offset(START)
    yield START, before
    for day in range(START + DAY, END + 1, DAY):
        after = offset(day)
        if after != before:
            low, high = day - DAY, day
            while high - low > 1:
                middle = (low + high) // 2
                if offset(middle) == after:
                    high = middle
                else:
                    low = middle
            yield high, after
            before = after


print(f"# {tzdata.IANA_VERSION}")
for name in sorted(zoneinfo.available_timezones()):
    text = "".join(f"{instant}:{offset}\n" for instant, offset in changes(zoneinfo.ZoneInfo(name)))
    print(name, hashlib.sha256(text.encode()).hexdigest())
