"""The page of what the remedies did, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from gradclinic.trials.outcome import LEAST_EFFECT
from gradclinic.trials.statistics import SIGNIFICANT
from tools.evidence.claims import ARTICLES, CLAIMS, Judged, Standing, judge
from tools.evidence.faults import RULES, STEPS, Kind
from tools.evidence.measuring import CURED, HELPS, Cell, Ground, Measured, Word
from tools.evidence.picture import percent
from tools.evidence.remedies import REMEDIES

STANDINGS: Mapping[Standing, str] = {
    "holds": "holds as measured",
    "depends": "depends",
    "WRONG": "**WRONG as measured**",
    "not tried": "not tried",
}

ABOUT = (
    "Made by `make evidence`. Articles on vanishing gradients name a long list of remedies. Each of them is trained here on {faults} "
    "small trainings that each have one kind of fault, beside the unchanged spec on the same seeds ({seeds}): {trainings} trainings of "
    "at most {steps} steps. No number on this page is typed in."
)

ABOUT_CLAIMS = (
    f"{ARTICLES[:1].upper()}{ARTICLES[1:]} name every remedy against vanishing gradients; what is claimed of the other faults is from "
    "the literature. Each claim is in our words, and taken at its word: that the remedy cures. Shares of the gap are those of each "
    "fault of the kind, in the order of the picture."
)

HOW = (
    "Each fault is a spec of its own (`tools/evidence/faults.py`), and whether it has its fault is asked of the diagnosis, on every seed: see "
    "the headings below. Each remedy is a plain change of that spec (`tools/evidence/remedies.py`) at one to three settings that "
    "textbooks give, and **the setting with the best outcome counts**, so that none fails for how it was set. A remedy that is there "
    "already, or has no place in a network (a normalisation between the layers of an RNN), is not applicable. Activations are tried alone and with "
    "the initialization that belongs to them: where the second was better it is part of what they did.\n\n"
    "The outcome is accuracy, or r2 of a regression, on the validation part after the last step, at least that of a trivial predictor. The "
    "share is what a remedy gained over what there was to gain: up to the best mean outcome that any remedy reached on that fault. The "
    "interval is that of the paired t-test. The words follow from one rule:\n\n"
    "| word | rule |\n| --- | --- |\n"
    "| cured | better by the test, at least {cured} of the gap closed, and the fault's own finding gone or harmless on most seeds |\n"
    "| helps | better by the test, and at least {helps} of the gap closed |\n"
    "| unclear | at least {helps} of the gap closed in the mean, but not better by the test |\n"
    "| nothing | less than that |\n"
    "| harms | worse by the test |\n\n"
    "By the test: a two-sided paired t-test over the seeds, p < {significant:.2g} after Holm's correction for the settings of the remedy, and a "
    "difference of at least {least}. The verdict is the one that jobs give to fixes. A claim **holds** where the remedy cured every fault "
    "of the kind, is **wrong** where it did nothing to any of them, or harm, and in between it **depends**."
)

LIMITS = (
    "- The networks are small, the trainings short, the data few. That a remedy does nothing here says nothing of large models, where some of "
    "them (warmup, clipping) are there for other reasons.\n"
    "- What is measured is a cure of these faults. Dropout, L1, L2 and early stopping are made against overfitting, which no fault here "
    "is, and are not judged as such.\n"
    "- Seeds change the initialization and the order of the batches; the split of the data stays. With {seeds} seeds the test sees large "
    "effects alone.\n"
    "- An optimizer comes with a learning rate of its own: where the posted rate is the fault, part of what Adam and its like do is that "
    "other rate.\n"
    "- Most unchanged trainings end where a trivial predictor is, and less than that does not count: harm can show only on the others.\n"
    "- A training that stands still for all of its steps might move later. What is said is what a remedy did within them.\n"
    "- Each remedy is tried alone. Two that help a little may cure together.\n"
    "- The test is not corrected over the whole table: of its {cells} cells about {chance} could be called better or worse by chance.\n"
    "- The best known outcome is the best of what was tried, and may be below what is possible."
)


def write_page(measured: Measured, picture: str) -> str:
    """Return the whole page; `picture` is the file name of the heat map beside it."""
    judged = [judge(claim, measured) for claim in CLAIMS]
    cells = len(measured.cells)
    about = ABOUT.format(
        faults=len(measured.grounds), seeds=_listed(measured.seeds), trainings=measured.trainings, steps=STEPS
    )
    limits = LIMITS.format(seeds=len(measured.seeds), cells=cells, chance=round(SIGNIFICANT * cells))
    how = HOW.format(cured=percent(CURED), helps=percent(HELPS), significant=SIGNIFICANT, least=LEAST_EFFECT)
    parts = [
        "# What the articles claim, put to the test",
        about,
        _headline(judged),
        f"![Share of the gap that each remedy closed, by fault]({picture})",
        "## Claims",
        ABOUT_CLAIMS,
        _claims(judged),
        "## Remedies against faults",
        "Per kind of fault: of how many trainings the remedy cured, and the mean share of the gap that it closed.",
        _by_kind(measured),
        "## How it was done",
        how,
        "## What it cannot say",
        limits,
        "## Fault by fault",
        *(part for ground in measured.grounds for part in _fault(ground, measured)),
    ]
    return "\n\n".join(parts) + "\n"


def _headline(judged: Sequence[Judged]) -> str:
    articles = [one for one in judged if one.claim.source == ARTICLES]
    stands = Counter(one.standing for one in articles)
    named = {
        standing: _listed([one.claim.remedy for one in articles if one.standing == standing]) for standing in stands
    }
    lines = [
        f"- {STANDINGS[standing]}: {stands[standing]} ({named[standing]})" for standing in STANDINGS if stands[standing]
    ]
    return f"Of {len(articles)} claims that a remedy cures vanishing gradients:\n\n" + "\n".join(lines)


def _claims(judged: Sequence[Judged]) -> str:
    rows = []
    for one in judged:
        claim = f"{one.claim.remedy} cures {_NAMES[one.claim.kind]}"
        shares = ", ".join(percent(cell.share) for cell in one.cells)
        rows.append((claim, one.claim.source, _counted(one.cells), shares or "-", STANDINGS[one.standing]))
    return _table(("claim", "from", "measured", "gap closed", ""), rows)


_NAMES: Mapping[Kind, str] = {
    "vanishing": "vanishing gradients",
    "exploding": "exploding gradients",
    "dead units": "dead units",
    "saturation": "saturated activations",
    "rate too high": "a learning rate that is too high",
    "rate too low": "a learning rate that is too low",
}


def _counted(cells: Sequence[Cell]) -> str:
    words: tuple[Word, ...] = ("cured", "helps", "unclear", "nothing", "harms")
    counted = Counter(cell.word for cell in cells)
    said = [f"{word} {counted[word]}" for word in words if counted[word]]
    return f"{', '.join(said)} of {len(cells)}" if cells else "not applicable"


def _by_kind(measured: Measured) -> str:
    rows = []
    for remedy in REMEDIES:
        row = [remedy.id]
        for kind in RULES:
            cells = [one for one in measured.cells if one.remedy == remedy.id and one.fault.kind == kind]
            row.append(_summary(cells))
        rows.append(row)
    return _table(("remedy", *RULES), rows)


def _summary(cells: Sequence[Cell]) -> str:
    if not cells:
        return "-"
    cured = sum(cell.word == "cured" for cell in cells)
    harms = sum(cell.word == "harms" for cell in cells)
    share = sum(cell.share for cell in cells) / len(cells)
    said = f"{cured} of {len(cells)}, {percent(share)}" + (f", harms {harms}" if harms else "")
    return f"**{said}**" if cured == len(cells) else said


def _fault(ground: Ground, measured: Measured) -> list[str]:
    about = (
        f"{ground.fault.about} `{ground.fault.rule}` was found in the unchanged spec on {ground.found} of {ground.seeds} seeds. Mean "
        f"{ground.metric} {_number(ground.base, '.3f')}; the best known is {_number(ground.best, '.3f')} ({ground.best_by})."
    )
    rows = []
    for remedy in REMEDIES:
        cell = measured.cell(remedy.id, ground.fault.id)
        rows.append((remedy.id, *_detail(cell)) if cell else (remedy.id, "-", "", "", "", "", "not applicable"))
    headings = ("remedy", "best setting", ground.metric, "gap closed", "95 % interval", "finding", "verdict")
    return [f"### {ground.fault.kind}: {ground.fault.id}", about, _table(headings, rows)]


def _detail(cell: Cell) -> tuple[str, ...]:
    low, high = cell.interval
    finding = "gone" if cell.resolved else "there"
    word = f"**{cell.word}**" if cell.word == "cured" else cell.word
    interval = f"{_number(low, '.2f')} to {_number(high, '.2f')}"
    return (
        cell.setting,
        _number(cell.tried, ".3f"),
        percent(cell.share),
        interval,
        finding,
        f"{word} (`{cell.verdict}`)",
    )


def _number(value: float, form: str) -> str:
    """Write a number; one that rounds to 0 has no sign."""
    text = format(value, form)
    return text if float(text) else text.removeprefix("-")


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
