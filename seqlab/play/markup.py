"""Looks as HTML. All that comes from a run or a visitor is escaped."""

from collections.abc import Sequence
from html import escape

from seqlab.answers import Answer, Steps, quoted
from seqlab.play.looks import Inside, Look, Looked

MOST_OUTCOMES = 12  # rows of a heat map
MOST_PLACES = 60  # columns of a heat map: the last ones


def side_by_side(parts: Sequence[str]) -> str:
    """One part for each run, in columns where there is room."""
    return f'<div class="runs">{"".join(parts)}</div>'


def looked(run: Looked, look: Look) -> str:
    """A run's answer to a prompt."""
    if look.error:
        return _part(run, _error(look.error))
    found = [f'<pre class="answer">{escape(look.answer)}</pre>']
    if look.best:
        found.append(f'<p class="best"><b>best possible</b> {escape(look.best)}</p>')
    if look.steps is None:
        found.append("<p>This run has no distribution over what comes next.</p>")
    else:
        found.append(heat_map(look))
    for name, answers in (("greedy", look.greedy), ("sampled", look.samples)):
        if answers:
            found.append(f"<h4>{name}</h4><ul>{''.join(f'<li>{completion(answer)}</li>' for answer in answers)}</ul>")
    return _part(run, "".join(found))


def watched(run: Looked, inside: Inside, picture: str) -> str:
    """What goes on inside a run's model: `picture` is the address of the figure, if there is one."""
    if inside.error:
        return _part(run, _error(inside.error))
    if not picture:
        return _part(run, "<p>This model has neither attention nor a state to show.</p>")
    there = {"attention weights": inside.attention, "norms of the state": inside.norms}
    shown = " and ".join(name for name, part in there.items() if part)
    return _part(run, f'<img src="{picture}" alt="{shown} of {escape(run.title)}, step by step">')


def _part(run: Looked, content: str) -> str:
    return f'<section><h3>{escape(run.title)}</h3><p class="place">{escape(run.place)}</p>{content}</section>'


def _error(line: str) -> str:
    return f'<p role="alert" class="error">{escape(line)}</p>'


def heat_map(look: Look) -> str:
    """The distribution at each step as a table: a column for each place, a row for each outcome and each rule."""
    steps = look.steps
    assert steps is not None
    first = max(0, len(steps.places) - MOST_PLACES)
    places = steps.places[first:]
    rows = [f'<tr><th scope="col">next</th>{"".join(f"<th scope=col>{_name(place)}</th>" for place in places)}</tr>']
    for outcome in outcomes(steps):
        cells = "".join(_cell(p) for p in steps.probabilities[first:, outcome].tolist())
        rows.append(f'<tr><th scope="row">{_name(steps.outcomes[outcome])}</th>{cells}</tr>')
    for rule, left in look.rules.items():
        marks = "".join('<td class="kept">✓</td>' if one else '<td class="lost">✗</td>' for one in left[first:])
        rows.append(f'<tr class="rule"><th scope="row">{escape(rule)}</th>{marks}</tr>')
    more = "" if not first else f" (the last {MOST_PLACES} of {len(steps.places)})"
    kept = "; below: can the rule still be kept?" if look.rules else ""
    caption = f"probability in % of what comes next, after each place{more}{kept}"
    return f'<div class="wide" tabindex="0"><table><caption>{caption}</caption>{"".join(rows)}</table></div>'


def outcomes(steps: Steps) -> list[int]:
    """The outcomes that are shown: those with the highest probability at any step, in their own order."""
    highest = steps.probabilities.amax(0)
    return sorted(highest.topk(min(MOST_OUTCOMES, len(highest))).indices.tolist())


def _cell(probability: float) -> str:
    light = " light" if probability > 0.85 else ""
    return f'<td class="p{light}" style="--p:{probability:.3f}">{100 * probability:.0f}</td>'


def _name(text: str) -> str:
    return escape(quoted(text))


def completion(answer: Answer) -> str:
    """Prompt and completion, with the symbols that decide a fault marked, and the faults in words below."""
    places: dict[int, list[str]] = {}
    for fault in answer.faults:
        places.setdefault(fault.place, []).append(fault.reason)
    whole, begins = [*answer.prompt, *answer.completion], len(answer.prompt)
    pieces = [_piece(text, places.get(place)) for place, text in enumerate(whole)]
    if ends := places.get(len(whole)):
        pieces.append(_piece("■", ends))
    blank = escape(answer.blank)
    line = f'<span class="given">{blank.join(pieces[:begins])}</span>{blank}<b>{blank.join(pieces[begins:])}</b>'
    notes = [*dict.fromkeys(fault.reason for fault in answer.faults), *([answer.note] if answer.note else [])]
    below = f'<span class="note">{escape("; ".join(notes))}</span>' if notes else '<span class="note fine"></span>'
    return f'<code class="string">{line}</code>{below}'


def _piece(text: str, reasons: list[str] | None) -> str:
    return escape(text) if reasons is None else f'<mark title="{escape("; ".join(reasons))}">{escape(text)}</mark>'
