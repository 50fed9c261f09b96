"""Parsing times in files: dates with or without a time of day, months, quarters, weeks.

A column has one format throughout. Month names are English in every locale. Time zones must be UTC, GMT or an offset.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone

import numpy as np

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONG_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
NUMBER_OF_MONTH = {name: n for names in (MONTHS, LONG_MONTHS) for n, name in enumerate(names, 1)} | {"sept": 9}

NAME = r"(?P<name>[a-z]{3,9})\.?"
CLOCK = (
    r"([T ](?P<hour>\d{1,2})(:(?P<minute>\d{2})(:(?P<second>\d{2})([.,](?P<fraction>\d{1,9}))?)?)?"
    r"( ?(?P<half>[ap])\.?m\.?)?( ?(?P<zone>Z|UTC|GMT|(?P<sign>[+-])(?P<east>\d{2})(:?(?P<east_minute>\d{2}))?))?)?"
)


def _form(text: str) -> re.Pattern[str]:
    return re.compile(text, re.A | re.I)


# Three numbers, the last of which is the year. The whole column decides which of the others is the month.
DAY_AND_MONTH = _form(r"(?P<one>\d{1,2})(?P<s>[-/. ])(?P<two>\d{1,2})(?P=s)(?P<year>\d{4}|\d{2})" + CLOCK)
FORMS = (
    DAY_AND_MONTH,
    _form(r"(?P<year>\d{4})(?P<s>[-/. ])(?P<month>\d{1,2})(?P=s)(?P<day>\d{1,2})" + CLOCK),
    _form(r"(?P<day>\d{1,2})[-/. ]" + NAME + r"[-/. ](?P<year>\d{4}|\d{2})" + CLOCK),
    _form(NAME + r" (?P<day>\d{1,2}),? (?P<year>\d{4})" + CLOCK),
    _form(r"(?P<year>\d{4})([-/ ]|-?M)(?P<month>\d{1,2})"),
    _form(r"(?P<month>\d{1,2})[-/](?P<year>\d{4})"),
    _form(NAME + r"[- /](?P<year>\d{4}|\d{2})"),
    _form(r"(?P<year>\d{4})[- ]?" + NAME),
    _form(r"(?P<year>\d{4})[-/ ]?Q(?P<quarter>[1-4])"),
    _form(r"Q(?P<quarter>[1-4])[-/ ]?(?P<year>\d{4})"),
    _form(r"(?P<year>\d{4})-?W(?P<week>\d{2})"),
)
# 20200131 and 202001 are times only in a column whose name suggests times.
PLAIN_FORMS = (
    _form(r"(?P<year>1[5-9]\d\d|2[0-4]\d\d)(?P<month>\d{2})(?P<day>\d{2})"),
    _form(r"(?P<year>1[5-9]\d\d|2[0-4]\d\d)(?P<month>\d{2})"),
)
SAMPLE = 50  # cells that determine the format of a column

Read = Callable[[str], datetime | None]


def readings(cells: Sequence[str], *, plain: bool = False) -> list[np.ndarray]:
    """All parses of a column as times that read more than half of its cells: none, one, or two (day or month first).

    Of two parses, the one that leaves more cells unread is dropped.

    Args:
        cells: the cells of the column.
        plain: parse 20200131 and 202001 as times, and nothing else.

    Returns:
        Per parse (cells,) datetime64[us], with NaT for cells in another format or with an impossible date. Times are
        in UTC if cells have time zones and local times of day differ; otherwise they are local.

    >>> readings(["31/01/2020", "01/02/2020"])[0].astype("datetime64[D]").astype(str).tolist()
    ['2020-01-31', '2020-02-01']
    >>> len(readings(["01/02/2020", "01/03/2020"])), len(readings(["20200131"])), len(readings(["2.5"]))
    (2, 0, 0)
    """
    found = [_moments([read(cell) for cell in cells]) for read in _ways(cells, PLAIN_FORMS if plain else FORMS)]
    unread = [float(np.isnat(times).mean()) for times in found]
    return [times for times, missed in zip(found, unread, strict=True) if missed < 0.5 and missed == min(unread)]


def _ways(cells: Sequence[str], forms: Sequence[re.Pattern[str]]) -> Iterator[Read]:
    """Parsers for the format that most of the first cells have."""
    sample = [cell for cell in cells if cell][:SAMPLE]
    form = max(forms, key=lambda form: sum(form.fullmatch(cell) is not None for cell in sample))
    yield lambda cell: _read(form, cell, month_first=False)
    if form is DAY_AND_MONTH:
        yield lambda cell: _read(form, cell, month_first=True)


def _moments(times: Sequence[datetime | None]) -> np.ndarray:
    """Times as datetime64[us]: zoned times with differing times of day in UTC, all others in local time."""
    known = [time for time in times if time is not None]
    if zoned := sum(time.tzinfo is not None for time in known):
        rule = zoned > len(known) / 2  # if only some cells have a zone, the minority is left unread
        times = [None if time is None or (time.tzinfo is not None) != rule else time for time in times]
        if len({time.time() for time in known}) > 1:
            times = [None if time is None else _universal(time) for time in times]
    return np.array([None if time is None else time.replace(tzinfo=None) for time in times], dtype="datetime64[us]")


def _universal(time: datetime) -> datetime | None:
    try:
        return time.replace(tzinfo=None) - (time.utcoffset() or timedelta())
    except OverflowError:  # in the first or the last year of datetime
        return None


def _read(form: re.Pattern[str], cell: str, *, month_first: bool) -> datetime | None:
    if (match := form.fullmatch(cell)) is None:
        return None
    part = {name: text for name, text in match.groupdict().items() if text}
    if "one" in part:
        part["month"], part["day"] = (part["one"], part["two"]) if month_first else (part["two"], part["one"])
    try:
        return (_day(part) + _clock(part)).replace(tzinfo=_zone(part) if "zone" in part else None)
    except (KeyError, ValueError, OverflowError):  # not a month, a calendar day or a time of day
        return None


def _day(part: Mapping[str, str]) -> datetime:
    year = int(part["year"])
    if len(part["year"]) == 2:
        year += 2000 if year < 69 else 1900  # as in POSIX
    if "week" in part:
        return datetime.fromisocalendar(year, int(part["week"]), 1)
    if "quarter" in part:
        return datetime(year, 3 * int(part["quarter"]) - 2, 1)
    month = NUMBER_OF_MONTH[part["name"].lower()] if "name" in part else int(part["month"])
    return datetime(year, month, int(part.get("day", 1)))


def _clock(part: Mapping[str, str]) -> timedelta:
    hour, minute, second = (int(part.get(name, 0)) for name in ("hour", "minute", "second"))
    if "half" in part:
        if not 1 <= hour <= 12:
            raise ValueError(f"not an hour of a 12-hour clock: {hour}")
        hour = hour % 12 + (12 if part["half"].lower() == "p" else 0)
    time = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int(f"{part.get('fraction', 0):0<6}"[:6]))
    if minute > 59 or second > 59 or time > timedelta(hours=24):
        raise ValueError(f"not a time of day: {time}")
    return time


def _zone(part: Mapping[str, str]) -> timezone:
    offset = timedelta(hours=int(part.get("east", 0)), minutes=int(part.get("east_minute", 0)))
    return timezone(-offset if part.get("sign") == "-" else offset)
