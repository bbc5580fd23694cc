"""A diagnosis as a page to keep: one HTML file that needs nothing else, to read, print or send."""

from __future__ import annotations

import contextlib
import html
import io
import os
import platform
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from course_lib import checks
from course_lib.show import encoding
from course_lib.show.gradients import gradient_picture
from course_lib.show.style import COLORS, house_style

__all__ = ["report"]

MARK = '<meta name="generator" content="course_lib.show.report">'
TAKES = 'a path that ends in ".html", such as "report.html"'
NEEDED = ("findings", "flow", "healthy", "summary", "time_flows", "trial", "cures", "samples")

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fdfcf8; --line: #d8d5cc; --soft: #5a5a5a;
  --fault: #b34700; --warning: #805800; --note: #005f99; --good: #00694d; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #1b1b1d; --line: #4a4a4e;
  --soft: #b8b8b8; --fault: #ff9a5c; --warning: #f0b429; --note: #7cc4f5; --good: #4fd0a5; } }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 46rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h3 { font-size: 1.05rem; margin: 0 0 .3rem; } p { margin: .4rem 0; }
.verdict { border-left: .3rem solid var(--good); padding: .2rem 0 .2rem 1rem; }
.verdict.ill { border-color: var(--fault); }
article { border: 1px solid var(--line); border-left-width: .3rem; border-radius: .25rem;
  padding: .8rem 1rem; margin: .9rem 0; break-inside: avoid; }
article.fault { border-left-color: var(--fault); } article.fault .severity { color: var(--fault); }
article.warning { border-left-color: var(--warning); }
article.warning .severity { color: var(--warning); }
article.note { border-left-color: var(--note); } article.note .severity { color: var(--note); }
.severity { font-weight: 700; } .where, figcaption, footer, caption { color: var(--soft); }
table { border-collapse: collapse; font-size: .92rem; margin: .5rem 0; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { text-align: left; padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line);
  font-weight: 400; } thead th { font-weight: 600; } td { font-variant-numeric: tabular-nums; }
td.number { text-align: right; } .wide { overflow-x: auto; }
figure { margin: 1rem 0; break-inside: avoid; }
img { max-width: 100%; height: auto; border: 1px solid var(--line); }
footer { margin-top: 3rem; font-size: .88rem; border-top: 1px solid var(--line); }
@media print { :root { --ink: #000; --paper: #fff; --soft: #444; --fault: #a33f00;
  --warning: #6b4a00; --note: #00507f; --good: #005c43; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } }
"""


def report(diagnosis: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a diagnosis as one self-contained HTML page, and return where it is.

    Verdict, findings with their figures and what to try, the gradient picture by layer and by time
    step, the trial's loss, and the table of layers. Nothing is loaded from the net; it reads in
    light and dark and prints.

    Parameters
    ----------
    diagnosis : Diagnosis
        What `gradient_flow.diagnose` returned.
    path : str or path
        Where to write, ending in ".html", in a folder that exists. A report that is there already
        is replaced; anything else is not, unless `overwrite` says so.
    overwrite : bool
        Replace whatever file is there.

    Returns
    -------
    Path
        The absolute path of the page.

    Raises
    ------
    TypeError, ValueError
        If it is no diagnosis, or nothing can or should be written there.
    """
    if not all(hasattr(diagnosis, name) for name in NEEDED):
        raise TypeError(
            f"`diagnosis` is {checks.shown(diagnosis)}; it takes what `gradient_flow.diagnose` "
            "returned."
        )
    if not isinstance(overwrite, bool):
        raise TypeError(f"`overwrite` is {checks.shown(overwrite)}; it takes True or False.")
    place = _checked(path, overwrite)
    _write(place, path, _page(diagnosis))
    return place


def _checked(path: Any, overwrite: bool) -> Path:
    """Return the absolute path, or say in one sentence why nothing is written there."""
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise TypeError(f"`path` is {checks.shown(path)}; it takes {TAKES}.")
    shown = checks.shown(str(path))
    if "\0" in str(path) or Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"`path` is {shown}; it takes {TAKES}.")
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        raise ValueError(f"`path` is {shown}, a folder; it takes {TAKES}.")
    if not place.parent.is_dir():
        raise ValueError(f"`path` is {shown}, in a folder that does not exist; make it first.")
    if place.exists() and not overwrite and not _is_report(place):
        raise ValueError(
            f"`path` is {shown}, a file that is there and no report; choose another name, or say "
            "`overwrite=True`."
        )
    return place


def _is_report(place: Path) -> bool:
    try:
        with place.open(encoding="utf-8") as file:
            return MARK in file.read(2000)
    except (OSError, UnicodeDecodeError):
        return False


def _write(place: Path, path: Any, page: str) -> None:
    """Write beside the page and move it there, so that an old one is whole or replaced."""
    name = ""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=place.parent, suffix=".part", delete=False
        ) as file:
            name = file.name
            file.write(page)
        Path(name).chmod(0o644)
        Path(name).replace(place)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise ValueError(
            f"`path` is {checks.shown(str(path))}, where nothing can be written: {error.strerror}."
        ) from None


def _page(diagnosis: Any) -> str:
    title = f"Diagnosis of {diagnosis.model}"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            MARK,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{html.escape(title)}</h1>",
            *_parts(diagnosis),
            "</main>",
            _footer(diagnosis),
            "</body>",
            "</html>",
            "",
        ]
    )


def _parts(diagnosis: Any) -> Iterator[str]:
    ill = "" if diagnosis.healthy else " ill"
    yield f'<p class="verdict{ill}">{checks.inline(diagnosis.summary())}</p>'
    yield "<h2>Findings</h2>"
    yield from map(_finding, diagnosis.findings)
    if not diagnosis.findings:
        yield "<p>Every figure is in its range.</p>"
    yield "<h2>How much of the gradient arrives</h2>"
    yield _by_layer(diagnosis.flow)
    for name, flow in diagnosis.time_flows.items():
        yield _by_time_step(name, flow)
    if diagnosis.trial is not None:
        yield "<h2>The trial</h2>"
        yield _trials(diagnosis)
    yield "<h2>Layer by layer</h2>"
    yield _table_of_layers(diagnosis.flow)


def _finding(finding: Any) -> str:
    figures = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td class="number">{value:.3g}</td></tr>'
        for name, value in finding.evidence.items()
    )
    return (
        f'<article class="{html.escape(finding.severity, quote=True)}">'
        f'<h3><span class="severity">{html.escape(finding.severity.capitalize())}:</span> '
        f"{html.escape(finding.kind)}</h3>"
        f'<p class="where">{html.escape(finding.where)}</p>'
        f"<p>{checks.inline(finding.sentence)}</p>"
        f"<table><tbody>{figures}</tbody></table>"
        f"<p><b>Try:</b> {checks.inline(finding.advice)}</p>"
        f"<p><b>Chapter:</b> {html.escape(finding.chapter)}</p></article>"
    )


def _by_layer(flow: Any) -> str:
    alt = (
        "The logarithm of the gradient that arrives against the distance from the loss in layers. "
        f"Factor per layer: {flow.factor_per_layer:.3g}, from {flow.names[flow.latest]} back to "
        f"{flow.names[flow.earliest]}."
    )
    return _picture(flow, alt, "By layer, from the loss back to the input.")


def _by_time_step(name: str, flow: Any) -> str:
    alt = (
        f"The logarithm of the gradient that arrives at the states of {name} against the distance "
        f"from the loss in steps. Factor per step: {flow.factor_per_step:.3g}."
    )
    return _picture(flow, alt, f"By time step, in {name}.")


def _picture(flow: Any, alt: str, caption: str) -> str:
    """Draw the picture of the course; where nothing can be compared, the words alone."""
    with house_style():
        figure = Figure(figsize=(7, 3.5), layout="constrained")
        try:
            gradient_picture(flow, figure.subplots())
        except ValueError:
            return f"<p>{html.escape(caption)} There is no finite gradient to draw.</p>"
        return _figure(figure, alt, caption)


def _trials(diagnosis: Any) -> str:
    trials = {"as it is": diagnosis.trial, **diagnosis.cures}
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(trial.outcome)}</td>'
        f'<td class="number">{trial.first:.3g}</td><td class="number">{trial.last:.3g}</td>'
        f'<td class="number">{len(trial.losses)}</td></tr>'
        for name, trial in trials.items()
    )
    head = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("trained", "outcome", "loss before", "loss after", "steps")
    )
    table = (
        f'<div class="wide"><table><caption>The same {diagnosis.samples} samples in every step; '
        "the model was given back as it was.</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return _loss_picture(diagnosis.trial) + table


def _loss_picture(trial: Any) -> str:
    losses = np.asarray(trial.losses, dtype=np.float64)
    steps = np.arange(1, len(losses) + 1)
    shown = np.isfinite(losses)
    if shown.sum() < 3:
        why = "ran away at once" if trial.outcome == "diverges" else "is known at two steps at most"
        return f"<p>The loss {why}, so there is no line to draw.</p>"
    with house_style():
        figure = Figure(figsize=(7, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.plot(steps[shown], losses[shown], color=COLORS["ink"], marker=".", markersize=4)
        if losses[shown].min() > 0 and losses[shown].max() > 100 * losses[shown].min():
            axes.set_yscale("log")
        if np.isfinite(trial.baseline):
            axes.axhline(trial.baseline, color=COLORS["theory"], linestyle="--")
            axes.annotate(
                "best constant answer",
                (1, trial.baseline),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 4),
                textcoords="offset points",
                ha="right",
                color=COLORS["ink"],
            )
        axes.set(xlabel="step of the trial", ylabel="loss", title=f"The loss {_verb(trial)}")
        alt = (
            f"The loss of the trial, from {trial.first:.3g} to {trial.last:.3g} in {len(losses)} "
            f"steps{_constant_answer(trial)}."
        )
        return _figure(figure, alt, f"{trial.optimizer} at {trial.learning_rate:.2g}.")


def _constant_answer(trial: Any) -> str:
    known = np.isfinite(trial.baseline)
    return f"; the best constant answer has {trial.baseline:.3g}" if known else ""


def _verb(trial: Any) -> str:
    other = "that of the best constant answer" if np.isfinite(trial.baseline) else "the first"
    return {
        "learns": f"falls below {other}",
        "stalls": f"does not get below {other}",
        "diverges": "runs away",
        "unfinished": "had no time to fall",
        "falls": "still falls when the trial ends",
    }[trial.outcome]


def _figure(figure: Figure, alt: str, caption: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=192)
    return (
        f'<figure><img src="data:image/png;base64,{encoding.base64_text(file.getvalue())}" '
        f'alt="{html.escape(alt, quote=True)}" width="672">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _table_of_layers(flow: Any) -> str:
    rows = flow.table()
    titles = {
        "distance": "distance",
        "layer": "layer",
        "activation_norm": "‖∂L/∂h‖",
        "weight_norm": "‖∂L/∂W‖",
        "underflowed": "underflowed",
        "true_zeros": "zeros",
    }
    head = "".join(f'<th scope="col">{title}</th>' for title in titles.values())
    body = "".join(
        "<tr>" + "".join(_cell(name, row[name]) for name in titles) + "</tr>" for row in rows
    )
    return (
        '<div class="wide"><table><caption>Norms of the gradient by what each layer puts out and '
        "by its weights; underflowed: entries that the number format wrote as 0.</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(name: str, value: Any) -> str:
    if name == "layer":
        return f'<th scope="row">{html.escape(str(value))}</th>'
    text = "–" if value != value else f"{value:.3g}" if isinstance(value, float) else str(value)
    return f'<td class="number">{text}</td>'


def _footer(diagnosis: Any) -> str:
    return (
        f"<footer><p>Made on {date.today().isoformat()} from {diagnosis.samples} samples in "
        f"{diagnosis.seconds:.0f} s, with Python {platform.python_version()}{_keras_version()}. "
        "The chapters are the notebooks of the course “How much of the gradient "
        "arrives?”.</p></footer>"
    )


def _keras_version() -> str:
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return f" and Keras {metadata.version('keras')}"
    return ""
