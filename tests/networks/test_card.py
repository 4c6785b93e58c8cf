"""What a card may say: each wrong field is named with what is allowed, all in one message."""

import json

import pytest
from support.cards import NUCLEI, THRESHOLDS, card

from cellquilt.errors import DataError
from cellquilt.networks.card import CARD, Card, card_of, check, read_card
from cellquilt.segmenters import mesmer

OUTPUT = NUCLEI["nuclear"]


def output(**changes) -> dict:
    """Return outputs of which that of nuclei is another one."""
    return {"nuclear": {k: v for k, v in (OUTPUT | changes).items() if v is not None}}


def thresholds(**changes) -> dict:
    limits = {name: value for name, value in (THRESHOLDS | changes).items() if value is not None}
    return output(thresholds=limits)


# What is changed, and what is said
WRONG = {
    "no tile": ({"tile": None}, r"tile: is missing"),
    "two are missing": ({"name": None, "licence": None}, r"name: is missing; licence: is missing"),
    "another field": (
        {"normalization": "clahe"},
        r"normalization: is not among format, name, tile,",
    ),
    "format": ({"format": 2}, r"format 2: must be 1"),
    "truth for a format": ({"format": True}, r"format true: must be 1"),
    "text for a tile": ({"tile": "320"}, r"tile 320: must be a multiple of 16 from 32 to 1024"),
    "an odd tile": ({"tile": 300}, r"tile 300: must be a multiple of 16"),
    "a huge tile": ({"tile": 10**400}, r"tile 1000+\.\.\.: must be a multiple of 16"),
    "a negative stride": ({"stride": -16}, r"stride -16: must be a multiple of 16 from 16 to 1008"),
    "a fraction": ({"stride": 240.0}, r"stride 240\.0: must be a multiple"),
    "pixels in three tiles": ({"stride": 144}, r"stride 144: must be at least half of tile, 160"),
    "nothing shared": ({"stride": 320}, r"must leave 16 px of overlap or more, so at most 304"),
    "another channel": (
        {"channels": ["DAPI"]},
        r'channels \["DAPI"\]: must be \["nuclear"\] or \["nuclear", "membrane"\]',
    ),
    "another normalisation": ({"normalisation": "zscore"}, r'zscore: must be "clahe"'),
    "another pixel": ({"um_per_pixel": 0.65}, r"um_per_pixel 0\.65: must be 0\.5, to which slides"),
    "no outputs": ({"outputs": {}}, r"outputs {}: must be an object with whole-cell or nuclear"),
    "a list of outputs": ({"outputs": [1]}, r"outputs \[1\]: must be an object"),
    "another compartment": (
        {"outputs": {"cytoplasm": {}}},
        r"outputs cytoplasm: must be whole-cell",
    ),
    "a text for an output": ({"outputs": {"nuclear": "x"}}, r"outputs nuclear: must be whole-cell"),
    "an output without kind": ({"outputs": output(kind=None)}, r"nuclear: kind is missing"),
    "another kind": (
        {"outputs": output(kind="flows")},
        r"kind flows: must be maxima_interior or class_probabilities",
    ),
    "one map twice": ({"outputs": output(maps=[1, 1])}, r"maps \[1, 1\]: must be two numbers"),
    "three maps": ({"outputs": output(maps=[0, 1, 2])}, r"must be two numbers from 0 to 63"),
    "no thresholds": ({"outputs": output(thresholds=[])}, r"thresholds \[\]: must have maxima_thr"),
    "a threshold is missing": (
        {"outputs": thresholds(radius=None)},
        r"outputs nuclear: thresholds: radius is missing",
    ),
    "another threshold": (
        {"outputs": thresholds(sigma=1)},
        r"sigma: is not among maxima_threshold",
    ),
    "not a number": (
        {"outputs": thresholds(interior_threshold=float("nan"))},
        r"interior_threshold NaN: must be a number from 0 to 1",
    ),
    "infinite": (
        {"outputs": thresholds(maxima_threshold=float("inf"))},
        r"maxima_threshold Infinity: must be a number",
    ),
    "smoother than tiles reach": (
        {"outputs": thresholds(interior_smooth=2.5)},
        r"interior_smooth 2\.5: must be a number from 0 to 2",
    ),
    "a median of heights": ({"outputs": thresholds(median=3)}, r"median: is for class_probab"),
    "an even median": (
        {"outputs": output(kind="class_probabilities", thresholds=THRESHOLDS | {"median": 4})},
        r"median 4: must be an odd number from 1, for none, to 9",
    ),
    "lines in a name": ({"name": "a\nb"}, r"name a b: must be a text on one line"),
    "half a letter": ({"licence": "\ud800"}, r"licence .*: must be a text on one line"),
    "a long licence": ({"licence": "x" * 201}, r"licence x+\.\.\.: must be a text .* 200 letters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path, name):
    changes, said = WRONG[name]
    (tmp_path / CARD).write_text(json.dumps(card(**changes)))
    with pytest.raises(DataError, match=said) as error:
        card_of(read_card(tmp_path / CARD, "net"), "net")
    assert str(error.value).startswith("net: card.json: ") and len(str(error.value)) < 1000


def test_a_card_of_everything_wrong_has_a_message_that_can_be_read():
    outputs = {f"x{n}": {"y" * 999: n} for n in range(50)} | thresholds(radius=-1)
    with pytest.raises(DataError, match=r"and \d+ more\.$") as error:
        card_of({name: [0] for name in card()} | {"z" * 999: 0, "outputs": outputs}, "net")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "cannot be read"),
        (b"[]", "no JSON object"),
        (b"\xff\xfe{}", "cannot be read"),
        (b'{"tile": 1, "tile": 2}', "'tile' stands there twice"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"a": ' + b"9" * 9999 + b"}", "cannot be read"),
        (b" " * ((1 << 20) + 1), "too long"),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / CARD).write_bytes(text)
    with pytest.raises(DataError, match=said) as error:
        read_card(tmp_path / CARD, "net")
    assert str(error.value).startswith("net: ")


def test_a_card_says_what_mesmers_does():
    """Mesmer's is written in the same terms, so that both run in the same way."""
    outputs = {
        option: {
            "kind": "maxima_interior",
            "maps": list(maps.planes),
            "thresholds": {k: v for k, v in vars(maps.thresholds).items() if k != "median"},
        }
        for option, maps in zip(
            ("whole-cell", "nuclear"), mesmer.COMPARTMENTS.values(), strict=True
        )
    }
    about = {"tile": 256, "stride": 192, "channels": ["nuclear", "membrane"], "outputs": outputs}
    said = card(**about, name="Mesmer", licence=mesmer.CARD.licence)
    assert card_of(said, "net") == mesmer.CARD


def test_what_a_network_has_not_is_refused():
    slide = {"membrane": [], "image": {"name": "slide.ome.tif"}}
    nuclei: Card = card_of(card(), "net")
    check(nuclei, ("nucleus",), slide)
    with pytest.raises(
        DataError, match=r"toy: .* --compartment nuclear only; give that, or --expand"
    ):
        check(nuclei, ("cell", "nucleus"), slide)
    both = card(channels=["nuclear", "membrane"], outputs=NUCLEI | {"whole-cell": OUTPUT})
    check(card_of(both, "net"), ("nucleus",), slide)
    with pytest.raises(
        DataError, match=r"toy: needs a membrane .* slide\.ome\.tif is given without"
    ):
        check(card_of(both, "net"), ("cell",), slide)
