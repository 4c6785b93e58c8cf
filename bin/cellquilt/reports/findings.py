"""What a person should know of a sample before the masks are used."""

from collections import Counter
from dataclasses import dataclass, replace

from ..compartments import PLURALS
from ..quality import checks
from ..quality.causes import Cause

# Notices of what a user may well want so; all others may make masks or measurements wrong.
MINOR = {"channel_names_made_up", "channel_names_duplicated", "no_membrane_channel", "regions"}
MINOR |= {"pages_taken_as_channels", "pixel_size_from_resolution", "own_mask"}
# Of summary.json, which checks judge too
MATCHED = ("cell_matched_fraction", "nucleus_matched_fraction")


@dataclass(frozen=True)
class Finding:
    """What was found in a sample.

    Attributes
    ----------
    urgent : bool
        Whether masks or measurements may be wrong or missing.
    code : str
        The same for all samples with such a finding; a notice's is its own.
    text : str
        A sentence.
    limit : str
        Which limit the figure in it is beyond; empty where there is none.
    causes : tuple of Cause
        The likeliest ones, the likeliest first.
    """

    urgent: bool
    code: str
    text: str
    limit: str = ""
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Group:
    """Findings that name one cause first, or one finding without a cause.

    Attributes
    ----------
    urgent : bool
        Whether any of them is.
    causes : tuple of Cause
        The one they share and, of those that they name next, the one that most name.
    findings : list of Finding
    """

    urgent: bool
    causes: tuple[Cause, ...]
    findings: list[Finding]


def by_cause(found: list[Finding]) -> list[Group]:
    """Return findings by the cause that they name first: groups with most urgent ones first."""
    parts: dict[str | int, list[Finding]] = {}
    for number, finding in enumerate(found):
        key = finding.causes[0].code if finding.causes else number
        parts.setdefault(key, []).append(finding)
    parts_in_order = sorted(parts.values(), key=lambda part: -sum(f.urgent for f in part))
    return [Group(any(f.urgent for f in part), _causes(part), part) for part in parts_in_order]


def _causes(found: list[Finding]) -> tuple[Cause, ...]:
    second = Counter(cause for finding in found for cause in finding.causes[1:2])
    return (*found[0].causes[:1], *(cause for cause, _ in second.most_common(1)))


def plural(n: int, singular: str, plural: str) -> str:
    """Return a number and what it counts."""
    return f"{n:,} {singular if n == 1 else plural}"


def findings(sample: dict) -> list[Finding]:
    """Return what needs attention in a sample, the urgent first; see `run_report.render`."""
    summary, patches = sample["summary"], sample["patches"]
    counts = {name: summary[f"n_{name}"] for name in PLURALS.values()}
    if patches["empty"]["n"] + patches["skipped"]["n"] == _n_patches(patches):
        text = "Nothing was segmented: all patches were skipped."
        found = [Finding(True, "nothing_segmented", text)]
    elif not any(counts.values()):
        found = [Finding(True, "nothing_found", "Nothing was found: the masks are empty.")]
    else:
        found = [
            Finding(True, f"no_{name}_found", f"No {name} were found.")
            for name, n in counts.items()
            if n == 0
        ]
    found += _notices(summary) + _certificate(sample)
    codes = [notice["code"] for notice in summary.get("notices", [])]
    figures = sample["checks"]["figures"] | {name: summary[name] for name in MATCHED}
    found = [replace(f, causes=checks.causes_of(f.code, figures, codes)) for f in found]
    found += [
        Finding(judged.urgent, judged.check.code, judged.text, judged.limit, judged.causes)
        for judged in checks.judge(figures, codes)
    ]
    found += _skipped(patches) + _evaluation(sample)
    return sorted(found, key=lambda finding: not finding.urgent)


def _n_patches(patches: dict) -> int:
    return sum(state["n"] for state in patches.values())


def _notices(summary: dict) -> list[Finding]:
    notices = summary.get("notices", [])
    return [
        Finding(notice["code"] not in MINOR, notice["code"], notice["text"]) for notice in notices
    ]


def _certificate(sample: dict) -> list[Finding]:
    found = []
    for singular, objects in PLURALS.items():
        if n := sample["summary"][f"n_uncertified_{objects}"]:
            objects_ = plural(n, f"{singular} is", f"{objects} are")
            text = f"{objects_} not tiling verified: a wider halo may change outlines."
            found.append(Finding(True, "not_certified", text))
    if n := sample["n_disputed_px"]:
        pixels = plural(n, "pixel was", "pixels were")
        text = f"{pixels} claimed by objects of two patches: the halo is too narrow."
        found.append(Finding(True, "pixels_claimed_twice", text))
    return found


def _evaluation(sample: dict) -> list[Finding]:
    problem = (sample.get("evaluation") or {}).get("problem")
    text = f"There is no quality score: {problem}."
    return [Finding(False, "no_quality_score", text)] if problem else []


def _skipped(patches: dict) -> list[Finding]:
    endings = {
        "skipped": "without segmentation; that no object lies there is not proved.",
        "empty": "as empty, which is proved.",
    }
    codes = {"skipped": "patches_skipped", "empty": "patches_proved_empty"}
    total = plural(_n_patches(patches), "patch", "patches")
    return [
        Finding(
            False,
            codes[state],
            f"{patches[state]['n']:,} of {total} ({patches[state]['area_fraction']:.1%} of the "
            f"slide) {'was' if patches[state]['n'] == 1 else 'were'} skipped {ending}",
        )
        for state, ending in endings.items()
        if patches[state]["n"]
    ]
