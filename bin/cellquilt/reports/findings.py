"""What a person should know of a sample before the masks are used."""

from dataclasses import dataclass

from ..compartments import PLURALS

# Of cells with a nucleus, or of nuclei with a cell; where Mesmer works well it is above 0.9.
LOW_MATCHED = 0.7
# Notices of what a user may well want so; all others may make masks or measurements wrong.
MINOR = {"channel_names_made_up", "channel_names_duplicated", "no_membrane_channel"}
MINOR |= {"pages_taken_as_channels", "pixel_size_from_resolution"}


@dataclass(frozen=True)
class Finding:
    """A sentence on a sample; urgent where the masks may be wrong or missing.

    The code is the same for all samples with such a finding; a notice's is its own.
    """

    urgent: bool
    code: str
    text: str


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
    found += (
        _notices(summary)
        + _certificate(sample)
        + _matching(summary)
        + _skipped(patches)
        + _evaluation(sample)
    )
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


def _matching(summary: dict) -> list[Finding]:
    partners = {"cell": ("cells", "nucleus"), "nucleus": ("nuclei", "cell")}
    shares = {name: summary[f"{name}_matched_fraction"] for name in partners}
    return [
        Finding(
            True,
            "few_matched",
            f"Only {share:.1%} of the {partners[name][0]} have a {partners[name][1]}.",
        )
        for name, share in shares.items()
        if share is not None and share < LOW_MATCHED
    ]


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
